"""The latent cache: earlier solutions, of the last frame or of a similar scene, as warm starts of denoising.

Each solution is checked before it is used; without a usable one the answer gives the reason. All times are stamps of
frames.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass

import numpy as np

from edge_worldmodel.core import tensors
from edge_worldmodel.core.cache.window_store import POOL, Entry, LatentStore, WindowStore
from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.geometry import relative, transform_points, wrap_angle
from edge_worldmodel.core.grid import GridSpec
from edge_worldmodel.core.time_units import to_nanoseconds, to_seconds
from edge_worldmodel.core.types import LatentFrame, Pose, Tensor, WarmStart

_LATENT_GRID = GridSpec(tensors.LATENT_CELLS, tensors.GRID_CELLS * tensors.CELL_SIZE_M / tensors.LATENT_CELLS)
_PENDING = 32
"""Number of scenes kept while they wait for their solution from the planner."""


@dataclass(frozen=True)
class LatentCacheConfig(Config):
    """How many solutions are kept, when they may be used, and their noise levels."""

    window_s: float = param(60.0, "time for which solutions are kept in memory", minimum=0.1, maximum=3600.0)
    capacity: int = param(600, "largest number of solutions in memory", minimum=1, maximum=100_000, read_only=True)
    max_memory_mb: float = param(
        64.0,
        "largest size of the solutions in memory [MB]; the oldest are dropped first",
        minimum=0.1,
        maximum=100_000.0,
    )
    max_age_s: float = param(0.6, "largest age at which the last solution is continued", minimum=0.0, maximum=5.0)
    max_distance_m: float = param(
        0.6, "largest distance moved since the last solution at which it is continued", minimum=0.0, maximum=5.0
    )
    max_turn_rad: float = param(
        0.8, "largest turn since the last solution at which it is continued", minimum=0.0, maximum=3.2
    )
    max_surprise: float = param(
        1.0, "surprise above which there is no warm start [bits per observed cell]", minimum=0.0
    )
    max_jump_m: float = param(
        0.3, "odometry counts as jumped if it moved this much farther than its twist allows", minimum=0.0, maximum=10.0
    )
    max_jump_rad: float = param(
        0.5,
        "odometry counts as jumped if it turned this much farther than its yaw rate allows",
        minimum=0.0,
        maximum=3.2,
    )
    min_similarity: float = param(
        0.6, "least similarity to the last scene at which its solution is continued", maximum=1.0
    )
    recall_similarity: float = param(
        0.95, "least similarity to an earlier scene at which its solution is recalled", maximum=1.0
    )
    noise_min: float = param(0.4, "lowest noise level of a warm start", minimum=0.0, maximum=1.0)
    noise_max: float = param(
        0.8, "highest noise level of a warm start; more would save no steps", minimum=0.0, maximum=1.0
    )
    noise_per_s: float = param(0.2, "noise added per second of age [1/s]", minimum=0.0)
    noise_per_m: float = param(0.3, "noise added per metre moved [1/m]", minimum=0.0)
    noise_unlike: float = param(0.5, "noise added at a similarity of 0; none at 1", minimum=0.0)
    noise_recall: float = param(0.2, "noise added for a recalled scene", minimum=0.0, maximum=1.0)


class LatentCache:
    """Answers each LatentFrame with a WarmStart and keeps the solutions of the planner."""

    def __init__(self, config: LatentCacheConfig | None = None, store: LatentStore | None = None) -> None:
        """Start empty; ``store`` keeps the solutions, a window in memory by default."""
        self.config = config or LatentCacheConfig()
        self.store: LatentStore = store if store is not None else window(self.config)
        self.answers: Counter[str] = Counter()
        self._scenes: OrderedDict[tuple[int, int], Tensor] = OrderedDict()
        self._last: LatentFrame | None = None

    def __len__(self) -> int:
        """Return the number of solutions."""
        return len(self.store)

    @property
    def hit_rate(self) -> float:
        """Return the share of frames that got a valid warm start, NaN before the first."""
        total = sum(self.answers.values())
        return (self.answers["continued"] + self.answers["recalled"]) / total if total else float("nan")

    def warm_start(self, frame: LatentFrame) -> WarmStart:
        """Answer a frame, and keep its scene until its solution comes back."""
        jump = self._jump(frame)
        self._last = frame
        scene = embed(frame.tensor)
        if jump:
            # Poses from before the jump cannot be compared with poses after it.
            self.store.clear()
            self._scenes.clear()
        self._scenes[frame.stamp_ns, frame.sequence] = scene
        while len(self._scenes) > _PENDING:
            self._scenes.popitem(last=False)
        if jump:
            return self._refuse(frame, "jump", jump)
        self.store.drop_before(frame.stamp_ns - to_nanoseconds(self.config.window_s))
        return self._answer(frame, scene)

    def delete_all(self) -> str:
        """Delete all solutions, also those on disk; return a text with their number."""
        self._scenes.clear()
        return self.store.delete_all()

    def remember(self, solution: LatentFrame) -> bool:
        """Keep a solution (F, Cl, 16, 16); return False if its scene is unknown, from before a jump or not newer."""
        tensors.LATENT.check(solution.tensor)
        scene = self._scenes.pop((solution.stamp_ns, solution.sequence), None)
        newest = self.store.newest()
        if scene is None or (newest is not None and newest.stamp_ns >= solution.stamp_ns):
            return False
        self.store.add(Entry(solution.stamp_ns, solution.pose, solution.model_id, scene, solution.tensor))
        return True

    def _answer(self, frame: LatentFrame, scene: Tensor) -> WarmStart:
        cfg = self.config
        # Before anything was imagined the surprise is NaN, and the comparison is false.
        if frame.surprise > cfg.max_surprise:
            return self._refuse(frame, "surprise", f"surprise {frame.surprise:.2f} above {cfg.max_surprise:.2f} bits")
        newest = self.store.newest()
        refusal = "empty", "no solution yet"
        if newest is not None:
            if newest.model_id != frame.model_id:
                return self._refuse(frame, "model", f"solved by '{newest.model_id}', encoded by '{frame.model_id}'")
            change = self._why_not_continue(frame, newest, scene)
            if change is None:
                return self._continued(frame, newest, scene)
            refusal = change
        found = self.store.nearest(scene, frame.model_id)
        if found is not None and found[1] >= cfg.recall_similarity:
            return self._recalled(frame, *found)
        return self._refuse(frame, *refusal)

    def _why_not_continue(self, frame: LatentFrame, entry: Entry, scene: Tensor) -> tuple[str, str] | None:
        cfg, moved = self.config, relative(entry.pose, frame.pose)
        age_s, distance_m = _age_s(frame, entry), float(np.hypot(moved[0], moved[1]))
        similarity = float(scene @ entry.embedding)
        if not 0.0 <= age_s <= cfg.max_age_s:
            return "age", f"last solution {age_s:.2f} s old, limit {cfg.max_age_s:.2f} s"
        if distance_m > cfg.max_distance_m or abs(moved[2]) > cfg.max_turn_rad:
            return "distance", f"moved {distance_m:.2f} m and {moved[2]:.2f} rad since the last solution"
        if similarity < cfg.min_similarity:
            return "scene", f"scene changed: similarity {similarity:.2f}, needed {cfg.min_similarity:.2f}"
        return None

    def _continued(self, frame: LatentFrame, entry: Entry, scene: Tensor) -> WarmStart:
        moved = relative(entry.pose, frame.pose)
        similarity, age_s = float(scene @ entry.embedding), _age_s(frame, entry)
        level = self._noise_level(age_s, float(np.hypot(moved[0], moved[1])), similarity)
        reason = f"last solution continued: {age_s:.2f} s old, similarity {similarity:.2f}"
        # Not shifted in time, because the noise level covers the changes of one tick.
        latents = warp(entry.latents, moved)
        return self._accept(frame, "continued", reason, age_s, similarity, level, latents)

    def _recalled(self, frame: LatentFrame, entry: Entry, similarity: float) -> WarmStart:
        level = min(self._noise_level(0.0, 0.0, similarity) + self.config.noise_recall, self.config.noise_max)
        age_s = _age_s(frame, entry)
        # Stamps in the future come from an earlier run: a simulated clock starts again in each run.
        when = f"{age_s:.1f} s ago" if age_s >= 0.0 else "an earlier run"
        reason = f"scene recalled from {when}, similarity {similarity:.2f}"
        # Not warped, because scenes are compared in the ego frame, wherever the robot was.
        return self._accept(frame, "recalled", reason, max(age_s, 0.0), similarity, level, entry.latents)

    def _noise_level(self, age_s: float, distance_m: float, similarity: float) -> float:
        cfg = self.config
        unlike = cfg.noise_unlike * max(1.0 - similarity, 0.0)
        level = cfg.noise_min + cfg.noise_per_s * age_s + cfg.noise_per_m * distance_m + unlike
        return min(level, cfg.noise_max)

    def _jump(self, frame: LatentFrame) -> str:
        """Return how time or odometry jumped since the last frame; empty if they did not."""
        last = self._last
        if last is None:
            return ""
        dt_s = to_seconds(frame.stamp_ns - last.stamp_ns)
        if dt_s <= 0.0:
            return f"time jumped by {dt_s:.3f} s"
        moved = relative(last.pose, frame.pose)
        fastest = max(float(np.hypot(*f.twist[:2])) for f in (last, frame))
        turning = max(abs(float(f.twist[2])) for f in (last, frame))
        excess_m = float(np.hypot(moved[0], moved[1])) - fastest * dt_s
        excess_rad = abs(float(wrap_angle(moved[2]))) - turning * dt_s
        if excess_m > self.config.max_jump_m or excess_rad > self.config.max_jump_rad:
            return f"odometry jumped by {excess_m:.2f} m, {excess_rad:.2f} rad more than the twist allows"
        return ""

    def _accept(
        self, frame: LatentFrame, kind: str, reason: str, age_s: float, similarity: float, level: float, latents: Tensor
    ) -> WarmStart:
        self.answers[kind] += 1
        return WarmStart(
            stamp_ns=frame.stamp_ns,
            sequence=frame.sequence,
            valid=True,
            reason=reason,
            model_id=frame.model_id,
            age_s=age_s,
            similarity=similarity,
            noise_level=level,
            latents=latents,
        )

    def _refuse(self, frame: LatentFrame, kind: str, reason: str) -> WarmStart:
        self.answers[kind] += 1
        return WarmStart(
            stamp_ns=frame.stamp_ns,
            sequence=frame.sequence,
            valid=False,
            reason=reason,
            model_id=frame.model_id,
            age_s=float("nan"),
            similarity=0.0,
            noise_level=1.0,
            latents=np.zeros(tensors.LATENT.with_batch(0), np.float32),
        )


def window(config: LatentCacheConfig) -> WindowStore:
    """Return an empty window of the configured size."""
    return WindowStore(config.capacity, round(config.max_memory_mb * 1e6))


def embed(context: Tensor) -> Tensor:
    """Return the unit embedding (EMBEDDING_SIZE,) of a context (1, Cc, 16, 16): its scene channels, pooled to 4 x 4."""
    tensors.CONTEXT.check(context)
    block = tensors.LATENT_CELLS // POOL
    scene = context[0, : tensors.SCENE_CHANNELS]
    pooled = scene.reshape(tensors.SCENE_CHANNELS, POOL, block, POOL, block).mean(axis=(2, 4)).reshape(-1)
    unit: Tensor = (pooled / max(float(np.linalg.norm(pooled)), 1e-9)).astype(np.float32)
    return unit


def warp(latents: Tensor, moved: Pose) -> Tensor:
    """Resample latents (F, Cl, 16, 16) bilinearly for a new ego pose, ``moved`` (3,) in their old ego frame."""
    points = transform_points(moved, _LATENT_GRID.cell_centres().reshape(-1, 2))
    last = tensors.LATENT_CELLS - 1
    # Cells beyond the border take the value of the outermost cell.
    position = np.clip(points / _LATENT_GRID.cell_size_m + 0.5 * tensors.LATENT_CELLS - 0.5, 0.0, last)
    low = np.minimum(np.floor(position).astype(np.intp), last - 1)
    share = (position - low).astype(np.float32)
    (x, y), (sx, sy) = low.T, share.T
    rows = latents[..., y, x] * (1 - sx) + latents[..., y, x + 1] * sx
    next_rows = latents[..., y + 1, x] * (1 - sx) + latents[..., y + 1, x + 1] * sx
    warped: Tensor = (rows * (1 - sy) + next_rows * sy).reshape(latents.shape)
    return warped


def _age_s(frame: LatentFrame, entry: Entry) -> float:
    return to_seconds(frame.stamp_ns - entry.stamp_ns)
