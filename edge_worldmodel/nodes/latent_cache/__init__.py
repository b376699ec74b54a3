"""The latent cache node and its store of scenes on disk."""
