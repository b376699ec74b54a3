"""The safety supervisor node."""
