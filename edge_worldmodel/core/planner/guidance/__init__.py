"""The way to the goal: local map, cost-to-go, routes, outlook."""
