"""Time and memory of networks, planner and live graph."""
