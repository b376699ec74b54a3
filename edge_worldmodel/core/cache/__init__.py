"""The latent cache: recent scenes, and which of them a new frame may start from."""
