"""Forecast quality, open loop."""
