"""The cache offers what still holds, says why when nothing does, and moves latents with the robot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_worldmodel.core import tensors
from edge_worldmodel.core.cache.latent_cache import LatentCache, LatentCacheConfig, embed, warp
from edge_worldmodel.core.errors import TensorMismatchError
from edge_worldmodel.core.types import LatentFrame, WarmStart

SECOND_NS = 10**9


def _context(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(tensors.CONTEXT.shape).astype(np.float32)


def _frame(
    t_s: float,
    pose: tuple[float, float, float] = (0.0, 0.0, 0.0),
    seed: int = 0,
    surprise: float = 0.0,
    model: str = "m",
) -> LatentFrame:
    stamp_ns = round((100.0 + t_s) * SECOND_NS)
    sequence = round(t_s * 1000) + 1
    twist = np.array([1.0, 0.0, 0.0])
    return LatentFrame(
        stamp_ns, "odom", "base_link", np.array(pose), twist, _context(seed), 0.0, surprise, model, sequence
    )


def _solution(frame: LatentFrame, value: float = 1.0) -> LatentFrame:
    return replace(frame, tensor=np.full((4, 8, 16, 16), value, np.float32))


def _solve(cache: LatentCache, frame: LatentFrame, value: float = 1.0) -> WarmStart:
    answer = cache.warm_start(frame)
    assert cache.remember(_solution(frame, value))
    return answer


def test_first_frame_starts_cold_and_the_next_warm() -> None:
    cache = LatentCache()
    first = _solve(cache, _frame(0.0), 3.0)
    assert not first.valid and first.reason == "no solution yet" and len(first.latents) == 0
    second = cache.warm_start(_frame(0.1))
    assert second.valid and second.reason.startswith("last solution continued: 0.10 s old, similarity 1.00")
    assert second.latents.shape == (4, 8, 16, 16) and second.latents.dtype == np.float32
    np.testing.assert_allclose(second.latents, 3.0, rtol=1e-6)
    assert second.sequence == _frame(0.1).sequence
    assert second.noise_level == pytest.approx(0.4 + 0.2 * 0.1, abs=1e-3)
    assert cache.hit_rate == 0.5 and len(cache) == 1


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (_frame(0.1, model="other"), "solved by 'm', encoded by 'other'"),
        (_frame(2.0, seed=1), "last solution 2.00 s old"),
        (_frame(0.5, (0.7, 0.0, 0.0), seed=1), "moved 0.70 m"),
        (_frame(0.1, (0.6, 0.0, 0.0)), "odometry jumped by 0.50 m"),
        (_frame(0.1, (0.0, 0.0, 1.0)), "odometry jumped by -0.10 m, 1.00 rad"),
        (_frame(0.1, surprise=1.5), "surprise 1.50 above 1.00"),
        (_frame(0.1, seed=1), "scene changed"),
        (_frame(-1.0), "time jumped by -1.000 s"),
    ],
)
def test_every_refusal_has_its_reason(frame: LatentFrame, reason: str) -> None:
    cache = LatentCache()
    _solve(cache, _frame(0.0))
    answer = cache.warm_start(frame)
    assert not answer.valid
    assert answer.reason.startswith(reason)
    assert len(answer.latents) == 0 and answer.noise_level == 1.0
    assert cache.answers.total() == 2


def test_unknown_surprise_is_no_reason_to_refuse() -> None:
    cache = LatentCache()
    _solve(cache, _frame(0.0))
    assert cache.warm_start(_frame(0.1, surprise=float("nan"))).valid


def test_after_a_jump_nothing_old_is_used() -> None:
    cache = LatentCache()
    _solve(cache, _frame(0.0))
    late = _frame(0.05)
    cache.warm_start(late)
    cache.warm_start(_frame(0.1, (3.0, 0.0, 0.0)))
    assert cache.warm_start(_frame(0.2, (3.1, 0.0, 0.0))).reason == "no solution yet"
    # What was still being imagined when the odometry jumped belongs to the old frame.
    assert not cache.remember(_solution(late))


def test_a_corridor_visited_again_is_recalled() -> None:
    cache = LatentCache()
    _solve(cache, _frame(0.0), 2.0)
    for tick in range(1, 40):
        _solve(cache, _frame(0.1 * tick, (0.1 * tick, 0.0, 0.0), seed=tick))
    again = _frame(4.0, (4.0, 0.0, 0.0), seed=0)
    answer = cache.warm_start(again)
    assert answer.valid and answer.reason.startswith("scene recalled from 4.0 s ago")
    np.testing.assert_array_equal(answer.latents, 2.0)
    assert answer.noise_level > 0.5
    assert cache.answers["recalled"] == 1


def test_window_by_time_and_by_count() -> None:
    cache = LatentCache(LatentCacheConfig(window_s=1.0, capacity=5))
    for tick in range(20):
        _solve(cache, _frame(0.1 * tick, (0.1 * tick, 0.0, 0.0), seed=tick))
    assert len(cache) == 5
    cache.warm_start(_frame(2.55, (2.55, 0.0, 0.0), seed=99))
    assert len(cache) == 4  # 1.5 s fell out of the window
    cache.warm_start(_frame(9.0, (5.0, 0.0, 0.0), seed=99))
    assert len(cache) == 0


def test_solution_of_an_unknown_or_older_scene_is_not_kept() -> None:
    cache = LatentCache()
    assert not cache.remember(_solution(_frame(0.0)))
    early, late = _frame(0.0), _frame(0.1)
    cache.warm_start(early)
    cache.warm_start(late)
    assert cache.remember(_solution(late))
    assert not cache.remember(_solution(early)), "the newest solution must stay the newest"
    with pytest.raises(TensorMismatchError):
        cache.remember(late)


def test_noise_grows_with_age_and_distance() -> None:
    levels = []
    for t_s, x in ((0.1, 0.0), (0.5, 0.0), (0.5, 0.5)):
        cache = LatentCache()
        _solve(cache, _frame(0.0))
        levels.append(cache.warm_start(_frame(t_s, (x, 0.0, 0.0))).noise_level)
    assert levels[0] < levels[1] < levels[2] <= LatentCacheConfig().noise_max


def test_warp_moves_the_world_against_the_robot() -> None:
    latents = np.zeros((1, 1, 16, 16), np.float32)
    latents[0, 0, 8, 10] = 1.0
    ahead = warp(latents, np.array([0.8, 0.0, 0.0]))
    assert np.unravel_index(ahead[0, 0].argmax(), (16, 16)) == (8, 9)
    half = warp(latents, np.array([0.4, 0.0, 0.0]))
    np.testing.assert_allclose(half[0, 0, 8, 9:11], [0.5, 0.5], atol=1e-6)
    # Turning left by a quarter brings what was ahead to the right: (x, y) -> (y, -x).
    turned = warp(latents, np.array([0.0, 0.0, np.pi / 2]))
    assert np.unravel_index(turned[0, 0].argmax(), (16, 16)) == (5, 8)
    np.testing.assert_allclose(warp(latents, np.zeros(3)), latents, atol=1e-6)


def test_warp_of_a_batch_is_the_warp_of_each() -> None:
    latents = np.random.default_rng(0).standard_normal((2, 3, 16, 16)).astype(np.float32)
    moved = np.array([0.3, -0.2, 0.4])
    np.testing.assert_allclose(warp(latents, moved)[1, 2], warp(latents[1:, 2:], moved)[0, 0], atol=1e-6)


def test_embedding_is_a_unit_vector_that_tells_scenes_apart() -> None:
    first, second = embed(_context(0)), embed(_context(1))
    assert np.linalg.norm(first) == pytest.approx(1.0, abs=1e-5)
    assert first @ second < 0.3
    assert np.isfinite(embed(np.zeros(tensors.CONTEXT.shape, np.float32))).all()
