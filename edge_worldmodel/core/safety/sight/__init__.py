"""Where the sensors have looked, and what they have seen there."""
