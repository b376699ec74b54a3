"""Our planner as a controller of the arena."""
