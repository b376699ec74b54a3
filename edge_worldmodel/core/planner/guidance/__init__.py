"""The way to the goal: local map, outlook, cost-to-go, progress on a path."""
