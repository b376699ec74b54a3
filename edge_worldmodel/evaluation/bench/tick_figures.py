"""Time planning ticks on seeded scenes, beside another checkout where one is given, tick by tick in turn.

``git archive COMMIT edge_worldmodel | tar -x -C DIR`` makes such a checkout. The time counted is the thread's own
processor time, so that other work on the machine does not count; poses and reasons are compared as well.

    scripts/with-ros python -m edge_worldmodel.evaluation.bench.tick_figures --ticks 100 --against DIR
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_worldmodel.backends import open_backend
from edge_worldmodel.core.grid import render
from edge_worldmodel.core.model.world_model import WorldModel
from edge_worldmodel.core.perception.config import PerceptionConfig
from edge_worldmodel.core.perception.perception import Observation, Perception
from edge_worldmodel.core.planner.planner import Planner
from edge_worldmodel.core.sweep import Sweep
from edge_worldmodel.core.types import Floats, LatentFrame, Tensor
from edge_worldmodel.models.manifest import load_model

_PARTS = ("tick", "propose", "networks", "score")
_WARM_UP = 5
_RANGE_M = 10.0
_NOW_NS = 10**10
_ROOT = Path(__file__).resolve().parents[3]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the median and the 95th percentile of each part of a tick, in milliseconds."""
    options = _options(arguments)
    if options.serve:
        _serve(options)
        return
    places = [_ROOT, *([Path(options.against).resolve()] if options.against else [])]
    workers = [_worker(place, options) for place in places]
    ticks: list[list[dict[str, Any]]] = [[] for _ in workers]
    for seed in range(options.ticks + _WARM_UP):
        # Who goes first alternates, or the second would find a warm cache.
        for which in sorted(range(len(workers)), key=lambda k: (k + seed) % len(workers)):
            ticks[which].append(_ask(workers[which], seed))
    for place, results in zip(places, ticks, strict=True):
        times = {part: 1e3 * np.array([tick[part] for tick in results[_WARM_UP:]]) for part in _PARTS}
        figures = {part: f"{np.median(t):.2f} / {np.percentile(t, 95):.2f}" for part, t in times.items()}
        print(f"{place.name}: p50 / p95 in ms: " + ", ".join(f"{part} {text}" for part, text in figures.items()))
    if len(ticks) > 1:
        same = sum(a["plan"] == b["plan"] for a, b in zip(*ticks, strict=True))
        print(f"the same plan in {same} of {len(ticks[0])} ticks")


def scene(seed: int) -> tuple[Tensor, Floats, Floats, Floats]:
    """Return a room with posts as seen from inside (2, 64, 64), a pose, a twist and a goal (2,)."""
    rng = np.random.default_rng(seed)
    posts = rng.uniform(-6.0, 6.0, (rng.integers(3, 14), 2))
    posts = posts[np.hypot(*posts.T) > 1.2]
    radius = rng.uniform(0.2, 0.5, len(posts))
    bearings = np.linspace(-np.pi, np.pi, 360, endpoint=False)
    rays = np.stack([np.cos(bearings), np.sin(bearings)], axis=-1)
    room = rng.uniform(3.0, 9.0, 2)
    walls = (room / np.maximum(np.abs(rays), 1e-9)).min(axis=1)
    along = rays @ posts.T
    miss = (posts**2).sum(axis=1) - along**2
    depth = along - np.sqrt(np.maximum(radius**2 - miss, 0.0))
    first = np.where((miss < radius**2) & (along > 0.0), depth, np.inf).min(axis=1, initial=np.inf)
    ranges = np.minimum(np.minimum(walls, first), _RANGE_M)
    look = Sweep(0, np.zeros(2), rays * ranges[:, None], ranges < _RANGE_M)
    twist = np.array([rng.uniform(0.0, 1.0), 0.0, rng.uniform(-1.0, 1.0)])
    return render([look], np.zeros((1, 3))), rng.uniform(-3.0, 3.0, 3), twist, rng.uniform(-10.0, 10.0, 2)


def walked(seed: int) -> tuple[Observation, Floats]:
    """Return what perception sees of a room with posts, half of which walk, from a moving robot, and a goal (2,)."""
    rng = np.random.default_rng(seed)
    posts = rng.uniform(-6.0, 6.0, (rng.integers(3, 14), 2))
    posts = posts[np.hypot(*posts.T) > 1.2]
    radius, room = rng.uniform(0.2, 0.5, len(posts)), rng.uniform(3.0, 9.0, 2)
    walking = rng.uniform(-1.0, 1.0, posts.shape) * (rng.random(len(posts)) < 0.5)[:, None]
    twist = np.array([rng.uniform(0.0, 1.0), 0.0, 0.0])
    perception = Perception(PerceptionConfig())
    bearings = np.linspace(-np.pi, np.pi, 721)[:-1] + 1e-6
    rays = np.stack([np.cos(bearings), np.sin(bearings)], axis=-1)
    for since_s in np.arange(-1.2, 0.001, 0.05):
        pose, stamp_ns = twist * since_s, _NOW_NS + round(since_s * 1e9)
        beside = posts + walking * since_s - pose[:2]
        walls = ((np.sign(rays) * room - pose[:2]) / rays).min(axis=1)
        along = rays @ beside.T
        miss = (beside**2).sum(axis=1) - along**2
        depth = along - np.sqrt(np.maximum(radius**2 - miss, 0.0))
        first = np.where((miss < radius**2) & (along > 0.0), depth, np.inf).min(axis=1, initial=np.inf)
        ranges = np.minimum(np.minimum(walls, first), _RANGE_M)
        perception.add_pose(stamp_ns, pose, twist)
        perception.add_sweep("scan", Sweep(stamp_ns, np.zeros(2), rays * ranges[:, None], ranges < _RANGE_M))
    return perception.observe(_NOW_NS), rng.uniform(-10.0, 10.0, 2)


def tick(planner: Planner, seed: int, walkers: bool = False) -> dict[str, Any]:
    """Plan once on a seeded scene and return the seconds of each part and a digest of the decision."""
    model = planner.world_model
    if walkers:
        seen, goal = walked(seed)
        pose, twist, history, obstacles = seen.pose, seen.twist, seen.history, seen.obstacles
    else:
        frame, pose, twist, goal = scene(seed)
        history, obstacles = np.tile(frame, (5, 1, 1))[None].astype(np.float32), np.zeros((0, 2), np.float32)
    context = model.encode(history)
    latent = LatentFrame(
        _NOW_NS, "odom", "base_link", pose, twist, context, 0.0, 0.0, model.model_id, seed, obstacles
    )  # fmt: skip
    begin_s = time.thread_time()
    output = planner.plan(latent, goal=goal, rng=np.random.default_rng(seed), clock_s=time.thread_time)
    total_s = time.thread_time() - begin_s
    latency = output.rollout_set.latency
    decided = hashlib.sha256(output.plan.trajectory.poses.tobytes() + output.plan.reason.encode())
    parts = (total_s, latency.preprocess_s, latency.compute_s, latency.postprocess_s)
    return {**dict(zip(_PARTS, parts, strict=True)), "plan": decided.hexdigest()}


def _serve(options: argparse.Namespace) -> None:
    backend, model_id = open_backend(options.backend, 1), "deterministic"
    if options.backend != "deterministic":
        model = load_model(options.model_dir)
        backend.load(model.networks)
        model_id = model.model_id
    planner = Planner(WorldModel(backend, model_id))
    for line in sys.stdin:
        print(json.dumps(tick(planner, int(line), options.walkers)), flush=True)


def _worker(place: Path, options: argparse.Namespace) -> subprocess.Popen[str]:
    network = ["--backend", options.backend, "--model-dir", options.model_dir, *(["--walkers"] * options.walkers)]
    command = [sys.executable, "-P", __file__, "--serve", *network]
    environment = dict(os.environ, PYTHONPATH=str(place), OMP_NUM_THREADS="1")
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _ask(worker: subprocess.Popen[str], seed: int) -> dict[str, Any]:
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(f"{seed}\n")
    worker.stdin.flush()
    answer: dict[str, Any] = json.loads(worker.stdout.readline())
    return answer


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ticks", type=int, default=100, help="ticks that count, after five that do not")
    parser.add_argument("--backend", default="deterministic", choices=("deterministic", "onnxruntime"))
    parser.add_argument("--model-dir", default=str(_ROOT / "models" / "small"), help="used with onnxruntime")
    parser.add_argument("--walkers", action="store_true", help="as perception sees it: points, and who walks")
    parser.add_argument("--against", default="", help="folder with another checkout of the package")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
