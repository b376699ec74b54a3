"""edge_worldmodel: a robot imagines before it moves."""

__version__ = "0.1.0"
