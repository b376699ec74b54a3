"""Candidate maneuvers: libraries, proposals, trajectories and random disturbances."""
