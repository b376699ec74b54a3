"""Perception: from sensor readings to the encoder's context."""
