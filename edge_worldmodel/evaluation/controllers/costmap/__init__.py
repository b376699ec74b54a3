"""Perception of the baselines: costmap, tracked clusters, path to the goal."""
