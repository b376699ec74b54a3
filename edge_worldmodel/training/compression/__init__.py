"""Makes trained models smaller and faster, offline: fusion, quantisation, pruning, search; each says what it costs."""
