"""Scores of imagined against true futures."""
