"""The clairvoyant: a search that knows where everybody will be; what it can drive, a planner could have driven."""
