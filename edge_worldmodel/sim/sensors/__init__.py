"""Simulated range sensors."""
