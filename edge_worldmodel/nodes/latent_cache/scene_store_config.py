"""Parameters of the scene store."""

from __future__ import annotations

from dataclasses import dataclass

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.errors import ConfigError


@dataclass(frozen=True)
class SceneStoreConfig(Config):
    """Place and limits of the scenes on disk."""

    store: str = param("sqlite", "store of solved scenes", read_only=True, choices=("sqlite", "memory"))
    store_dir: str = param(
        "",
        "folder of the scenes, new or empty at first, of this robot only; empty:"
        " latent_cache/NAMESPACE/scene-store below $XDG_STATE_HOME/edge_worldmodel or ~/.local/state/edge_worldmodel",
        read_only=True,
    )
    flush_period_s: float = param(
        5.0, "new scenes are written together, once in this period", minimum=0.05, maximum=600.0, read_only=True
    )
    disk_scenes: int = param(
        10_000,
        "largest number of scenes on disk; the oldest are deleted first",
        minimum=1,
        maximum=100_000,
        read_only=True,
    )
    retention_s: float = param(
        604_800.0, "scenes on disk are deleted at this age (a week)", minimum=1.0, maximum=1e9, read_only=True
    )
    max_disk_mb: float = param(320.0, "largest size of all files of the store [MB]", minimum=20.0, read_only=True)
    min_free_mb: float = param(
        500.0, "nothing is written while the disk has less free space than this [MB]", minimum=0.0, read_only=True
    )
    new_scene_similarity: float = param(
        0.98,
        "a scene that is more similar than this to the last one written is not written",
        maximum=1.1,
        read_only=True,
    )
    new_scene_period_s: float = param(
        0.5, "shortest time between two scenes that are written", minimum=0.0, maximum=3600.0, read_only=True
    )

    def __post_init__(self) -> None:
        """Check every field; a value of earlier versions is refused with its replacement."""
        if self.store == "qdrant":
            raise ConfigError(
                "SceneStoreConfig.store = 'qdrant': SQLite keeps the scenes now; use 'sqlite' (default) or 'memory'"
            )
        super().__post_init__()
