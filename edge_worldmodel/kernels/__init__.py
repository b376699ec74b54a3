"""Compiled parts of the safety core, behind a plain C interface (kernels.h); ``library`` loads and calls them."""
