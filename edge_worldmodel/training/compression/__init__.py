"""Makes trained models smaller and faster, offline: fusion, quantisation, pruning, search; each reports its losses."""
