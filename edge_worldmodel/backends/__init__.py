"""Network runtimes behind one Protocol (core.world_model.Backend)."""
