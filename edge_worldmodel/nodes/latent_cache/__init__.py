"""The latent cache node."""
