"""`edge-worldmodel generate`: make shards of training clips; the same seed gives the same bytes."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from edge_worldmodel.core.errors import ConfigError, RecordingError
from edge_worldmodel.models.inventory import commit
from edge_worldmodel.training.data.clips import Clip, make_clip
from edge_worldmodel.training.data.drives import draw_drives
from edge_worldmodel.training.data.lidar import draw_lidar
from edge_worldmodel.training.data.shards import SPLITS, Arrays, ShardError, pack, read_shard, write_shard
from edge_worldmodel.training.data.sources import SHARES, Recordings, SceneSource
from edge_worldmodel.training.workers import spread, spread_on_ray

GENERATOR = 3
"""Version of the generator; increased whenever the same seed gives other clips than before."""
SHARD_CLIPS = 500
CLIPS_PER_SCENE = 10
_HELD_OUT_SHARE = 15
"""Training clips per validation clip and per test clip, if no number is given."""


@dataclass(frozen=True)
class ShardJob:
    """One shard to make. Its bytes depend on these fields and on the content of the recordings only."""

    path: str
    split: str
    shard: int
    clips: int
    seed: int
    tracks: tuple[str, ...]
    maps: tuple[str, ...]

    @property
    def identity(self) -> str:
        """A digest of all that the clips depend on."""
        # Without folders, so that the shards of a moved data set are recognised.
        parts = asdict(self) | {"generator": GENERATOR, "path": ""}
        parts |= {name: [Path(item).name for item in parts[name]] for name in ("tracks", "maps")}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the data set; complete shards in it are kept"
    )
    parser.add_argument("--clips", type=int, required=True, help="number of training clips")
    parser.add_argument(
        "--val-clips", type=int, help=f"number of validation clips (default: clips / {_HELD_OUT_SHARE})"
    )
    parser.add_argument("--test-clips", type=int, help=f"number of test clips (default: clips / {_HELD_OUT_SHARE})")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes (default: 0)")
    parser.add_argument("--workers", type=int, default=1, help="number of processes (default: 1)")
    parser.add_argument(
        "--ray", nargs="?", const="local", metavar="ADDRESS",
        help="use Ray: --workers workers on this machine, or the cluster at ADDRESS; its machines need recordings "
        "under the same paths; shards are written on this machine",
    )  # fmt: skip
    parser.add_argument("--tracks", type=Path, help="folder of recorded tracks (*.txt, *_obstacles.xml)")
    parser.add_argument("--maps", type=Path, help="folder of recorded maps (*.yaml); the last is for test, "
                        "the one before for validation")  # fmt: skip
    parser.add_argument(
        "--leave-out", nargs="*", default=[], metavar="SCENE", help="recorded tracks for the test split only"
    )
    parser.add_argument(
        "--validate-on", nargs="*", default=[], metavar="SCENE", help="recorded tracks for the validation split only"
    )


def run(args: argparse.Namespace) -> int:
    """Make the missing shards of the data set; return the exit status."""
    if args.clips < 1 or args.workers < 1 or args.seed < 0:
        raise ConfigError(f"clips {args.clips}, workers {args.workers}, seed {args.seed}: expected at least 1, 1, 0")
    recordings = split_recordings(args.tracks, args.maps, args.leave_out, args.validate_on)
    held_out = max(1, args.clips // _HELD_OUT_SHARE)
    counts = {
        "train": args.clips,
        "val": held_out if args.val_clips is None else args.val_clips,
        "test": held_out if args.test_clips is None else args.test_clips,
    }
    jobs = [job for split in SPLITS for job in _jobs(args.out, split, counts[split], args.seed, recordings[split])]
    kept = [job for job in jobs if _is_done(job)]
    to_do = [job for job in jobs if job not in kept]
    print(f"{len(jobs)} shards, {len(kept)} exist already, {len(to_do)} to make")
    started_s = time.monotonic()
    _make_all(to_do, args.workers, args.ray)
    made, took_s = sum(job.clips for job in to_do), time.monotonic() - started_s
    if made:
        workers = f"{args.workers} worker(s)" if args.ray in (None, "local") else f"the Ray cluster at {args.ray}"
        print(f"{made} clips in {took_s:.0f} s: {made / took_s:.1f} clips/s with {workers}")
    _write_index(args.out, jobs, args.seed, recordings)
    return 0


def split_recordings(
    tracks: Path | None, maps: Path | None, leave_out: list[str], validate_on: list[str]
) -> dict[str, Recordings]:
    """Return the recordings of each split; none is in two splits.

    Raises:
        RecordingError: a folder has no recording, or a named scene does not exist.
    """
    track_files = _listed(tracks, "*.txt")
    names = {path.stem for path in track_files}
    unknown = [name for name in (*leave_out, *validate_on) if name not in names]
    if unknown or set(leave_out) & set(validate_on):
        wrong = unknown or sorted(set(leave_out) & set(validate_on))
        raise RecordingError(f"tracks {wrong}: not in {tracks}, or named twice; choose from {sorted(names)}")
    floors = _listed(maps, "*.yaml")
    # At least one map is left for training.
    held = min(2, max(0, len(floors) - 1))
    return {
        "train": Recordings(
            tuple(path for path in track_files if path.stem not in {*leave_out, *validate_on}),
            floors[: len(floors) - held],
        ),
        "val": Recordings(tuple(p for p in track_files if p.stem in validate_on), floors[-2:-1] if held == 2 else ()),
        "test": Recordings(tuple(p for p in track_files if p.stem in leave_out), floors[-1:] if held else ()),
    }


def make_shard(job: ShardJob, source: SceneSource) -> tuple[Arrays, list[str]]:
    """Return the clips of one shard and the names of their sources; depends on job and recordings only."""
    rng = np.random.default_rng((GENERATOR, job.seed, SPLITS.index(job.split), job.shard))
    clips: list[Clip] = []
    numbers: list[tuple[int, int]] = []
    names: list[str] = []
    scenes = 0
    while len(clips) < job.clips:
        scene = source.draw(rng)
        if scene is None:
            continue
        if scene.source not in names:
            names.append(scene.source)
        wanted = min(CLIPS_PER_SCENE, job.clips - len(clips))
        for drive in draw_drives(scene, wanted, rng):
            clip = make_clip(scene, drive, draw_lidar(rng), rng)
            if clip is not None:
                clips.append(clip)
                numbers.append((names.index(scene.source), scenes))
        scenes += 1
    return _stack(clips, numbers), names


def _stack(clips: list[Clip], numbers: list[tuple[int, int]]) -> Arrays:
    masks = ("history", "future", "future_known", "moving", "present_moving")
    arrays: Arrays = {name: np.stack([pack(getattr(clip, name)) for clip in clips]) for name in masks}
    arrays["maneuver"] = np.stack([clip.maneuver for clip in clips])
    arrays["agents"] = np.stack([clip.agents for clip in clips])
    arrays["reacts"] = np.array([clip.reacts for clip in clips])
    source, scene = np.array(numbers).T
    return arrays | {"source": source.astype(np.int16), "scene": scene.astype(np.int32)}


def _listed(folder: Path | None, pattern: str) -> tuple[Path, ...]:
    if folder is None:
        return ()
    found = tuple(sorted(folder.glob(pattern)))
    if not found:
        raise RecordingError(f"{folder}: no {pattern} in this folder")
    return found


def _jobs(out: Path, split: str, clips: int, seed: int, recordings: Recordings) -> list[ShardJob]:
    tracks, maps = tuple(map(str, recordings.tracks)), tuple(map(str, recordings.maps))
    jobs = []
    for shard, first in enumerate(range(0, clips, SHARD_CLIPS)):
        path = str(out / split / f"shard_{shard:05d}.npz")
        jobs.append(ShardJob(path, split, shard, min(SHARD_CLIPS, clips - first), seed, tracks, maps))
    return jobs


def _is_done(job: ShardJob) -> bool:
    if not Path(job.path).exists():
        return False
    try:
        _, _, identity = read_shard(Path(job.path))
    except ShardError as error:
        tqdm.write(f"will be made again: {error}")
        return False
    return identity == job.identity


_SOURCES: dict[tuple[tuple[str, ...], tuple[str, ...]], SceneSource] = {}
"""Scene sources of this process, so that recordings are read once."""


def _make(job: ShardJob) -> tuple[ShardJob, Arrays, list[str]]:
    """Make a shard in a worker; it is returned, because the data set may be on the disk of another machine."""
    # Several processes work at a time and already use all processors.
    cv2.setNumThreads(1)
    key = job.tracks, job.maps
    if key not in _SOURCES:
        _SOURCES[key] = SceneSource(Recordings(tuple(map(Path, job.tracks)), tuple(map(Path, job.maps))))
    return job, *make_shard(job, _SOURCES[key])


def _write(made: tuple[ShardJob, Arrays, list[str]]) -> int:
    job, arrays, names = made
    write_shard(Path(job.path), arrays, names, job.identity)
    return job.clips


def _make_and_write(job: ShardJob) -> int:
    return _write(_make(job))


def _make_all(jobs: list[ShardJob], workers: int, ray_address: str | None = None) -> None:
    with tqdm(total=sum(job.clips for job in jobs), unit="clip", disable=not jobs) as progress:
        if ray_address is not None and jobs:
            for made in spread_on_ray(_make, jobs, workers, ray_address):
                progress.update(_write(made))
            return
        for clips in map(_make_and_write, jobs) if workers == 1 else spread(_make_and_write, jobs, workers):
            progress.update(clips)


def _write_index(out: Path, jobs: list[ShardJob], seed: int, recordings: dict[str, Recordings]) -> None:
    clips: Counter[str] = Counter()
    by_source: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    for job in jobs:
        arrays, names, _ = read_shard(Path(job.path))
        clips[job.split] += len(arrays["source"])
        by_source[job.split].update({names[i]: int(n) for i, n in enumerate(np.bincount(arrays["source"]))})
    index: dict[str, Any] = {
        "schema": 1,
        "generator": GENERATOR,
        "seed": seed,
        "commit": commit() or "unknown",
        "config": {"shares": SHARES, "clips_per_scene": CLIPS_PER_SCENE, "shard_clips": SHARD_CLIPS},
        "clips": dict(clips),
        "sources": sorted({name for counter in by_source.values() for name in counter}),
        "clips_by_source": {split: dict(sorted(counter.items())) for split, counter in by_source.items()},
        "recordings": {
            split: {"tracks": [p.stem for p in r.tracks], "maps": [p.stem for p in r.maps]}
            for split, r in recordings.items()
        },
    }
    partial = out / "index.json.part"
    partial.write_text(json.dumps(index, indent=1), encoding="utf-8")
    partial.replace(out / "index.json")
