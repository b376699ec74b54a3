"""The rollout planner node."""
