"""Stands in for MAVROS' messages, which cannot be had here."""
