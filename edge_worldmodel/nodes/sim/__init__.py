"""The MuJoCo simulator as a node; no robot needs it."""
