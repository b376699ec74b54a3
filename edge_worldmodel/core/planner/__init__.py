"""The rollout planner: propose, imagine, score, choose."""
