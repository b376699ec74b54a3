"""Inputs of the supervisor: the newest value of each, and whether it can be trusted."""
