"""The world model and the tensors it is conditioned on."""
