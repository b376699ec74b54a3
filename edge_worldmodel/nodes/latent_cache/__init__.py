"""The latent cache node: its store of scenes."""
