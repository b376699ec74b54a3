"""Data sets, networks, training and export. Offline; needs torch."""
