"""The node that injects faults; not needed on a robot."""
