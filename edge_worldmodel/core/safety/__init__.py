"""The safety supervisor: which command may pass, and why not."""
