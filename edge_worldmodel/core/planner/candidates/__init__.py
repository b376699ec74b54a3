"""Candidate maneuvers: libraries, the driven motion, drawn disturbances."""
