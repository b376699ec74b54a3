"""Nodes that play and record."""
