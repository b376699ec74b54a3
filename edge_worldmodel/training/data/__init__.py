"""Training data: scenes, clips, shards."""
