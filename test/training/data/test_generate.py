from __future__ import annotations

import argparse
import gzip
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jupedsim")
pytest.importorskip("shapely")

import shapely

from edge_worldmodel.core.errors import ConfigError, RecordingError
from edge_worldmodel.training.data import generate
from edge_worldmodel.training.data.crowds import simulate_crowd
from edge_worldmodel.training.data.layouts import KINDS, disc_polygon, draw_layout
from edge_worldmodel.training.data.maps import FREE, OCCUPIED, UNKNOWN, crop, read_map
from edge_worldmodel.training.data.shards import ShardSet, unpack

DOCUMENT = """image: hall.pgm
resolution: 0.05
origin: [-3.0, 2.0, 0.0]
negate: 0
occupied_thresh: 0.65
free_thresh: 0.196
"""


def arguments(out, *more, clips=24):
    parser = argparse.ArgumentParser()
    generate.add_arguments(parser)
    held_out = ["--val-clips", "12", "--test-clips", "0"]
    return parser.parse_args(["--out", str(out), "--clips", str(clips), *held_out, *more])


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(generate, "SHARD_CLIPS", 12)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.npz"))}


@pytest.fixture
def tracks(tmp_path):
    folder = tmp_path / "tracks"
    folder.mkdir()
    for name, lane in (("market", 0.0), ("station", 3.0), ("campus", 6.0)):
        lines = [f"{f} {p} {0.04 * f + p} {lane + p}" for p in range(3) for f in range(0, 400, 10)]
        (folder / f"{name}.txt").write_text("\n".join(lines))
    return folder


def test_the_same_seed_gives_the_same_bytes_whatever_is_already_there(tmp_path, small, tracks):
    for name in ("one", "two"):
        assert generate.run(arguments(tmp_path / name, "--seed", "5", "--tracks", str(tracks))) == 0
    first = bytes_of(tmp_path / "one")
    assert len(first) == 3
    assert first == bytes_of(tmp_path / "two")
    (tmp_path / "two" / "train" / "shard_00000.npz").unlink()
    generate.run(arguments(tmp_path / "two", "--seed", "5", "--tracks", str(tracks)))
    assert first == bytes_of(tmp_path / "two")
    generate.run(arguments(tmp_path / "three", "--seed", "6", "--tracks", str(tracks)))
    assert not set(first.values()) & set(bytes_of(tmp_path / "three").values())


def test_workers_do_not_change_the_bytes(tmp_path):
    # Two processes of their own: their shards are as large as usual, so one each is enough.
    jobs = ["--seed", "3"]
    generate.run(arguments(tmp_path / "one", *jobs, clips=6))
    generate.run(arguments(tmp_path / "two", *jobs, "--workers", "2", clips=6))
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


PROGRAM = """
import argparse, sys
from edge_worldmodel.training.data import generate
generate.SHARD_CLIPS = 12
parser = argparse.ArgumentParser()
generate.add_arguments(parser)
generate.run(parser.parse_args(sys.argv[1:]))
"""


def test_a_run_that_is_killed_goes_on_with_the_same_bytes(tmp_path, small):
    words = ["--clips", "36", "--val-clips", "0", "--test-clips", "0", "--seed", "9"]
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, "--out", str(tmp_path / "killed"), *words])
    first = tmp_path / "killed" / "train" / "shard_00000.npz"
    until_s = time.monotonic() + 120.0
    while not first.exists() and process.poll() is None and time.monotonic() < until_s:
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL and not (tmp_path / "killed" / "index.json").exists()
    written_ns = first.stat().st_mtime_ns
    for name in ("killed", "whole"):
        parser = argparse.ArgumentParser()
        generate.add_arguments(parser)
        assert generate.run(parser.parse_args(["--out", str(tmp_path / name), *words])) == 0
    assert bytes_of(tmp_path / "killed") == bytes_of(tmp_path / "whole")
    assert len(bytes_of(tmp_path / "whole")) == 3 and first.stat().st_mtime_ns == written_ns


def test_a_ray_cluster_of_two_workers_gives_the_same_bytes(tmp_path):
    pytest.importorskip("ray", reason="the optional extra 'cluster' is not installed")
    jobs = ["--seed", "3"]
    generate.run(arguments(tmp_path / "one", *jobs, clips=6))
    generate.run(arguments(tmp_path / "two", *jobs, "--workers", "2", "--ray", clips=6))
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def test_good_shards_are_kept_and_damaged_or_foreign_ones_made_again(tmp_path, small, capsys):
    out = tmp_path / "set"
    generate.run(arguments(out))
    before = bytes_of(out)
    kept, damaged = out / "train" / "shard_00000.npz", out / "train" / "shard_00001.npz"
    damaged.write_bytes(before["train/shard_00001.npz"][:500])
    written_ns = kept.stat().st_mtime_ns
    capsys.readouterr()
    generate.run(arguments(out))
    said = capsys.readouterr().out
    assert "3 shards, 2 exist already, 1 to make" in said
    assert "shard_00001.npz" in said
    assert "clips/s" in said
    assert bytes_of(out) == before
    assert kept.stat().st_mtime_ns == written_ns
    generate.run(arguments(out, "--seed", "1"))
    assert "0 exist already" in capsys.readouterr().out


def test_the_index_counts_what_is_there_and_clips_are_as_promised(tmp_path, small):
    generate.run(arguments(tmp_path))
    index = json.loads((tmp_path / "index.json").read_text())
    assert index["clips"] == {"train": 24, "val": 12}
    assert sum(index["clips_by_source"]["train"].values()) == 24
    assert {"seed", "commit", "config", "generator"} <= set(index)
    shards = ShardSet(tmp_path, "train")
    assert shards.index["clips"]["train"] == 24
    for loaded in shards.iterate():
        history = unpack(loaded["history"]).reshape(-1, 5, 2, 64, 64)
        future, moving = unpack(loaded["future"]), unpack(loaded["moving"])
        assert not (history[:, :, 0] & history[:, :, 1]).any()
        assert history[:, 4].any(axis=(1, 2, 3)).all()
        assert not (moving & ~future).any()
        assert np.isfinite(loaded["maneuver"]).all()


def test_recordings_are_held_out_by_name_and_maps_by_floor(tmp_path, tracks):
    maps = tmp_path / "maps"
    maps.mkdir()
    for floor in range(4):
        (maps / f"floor{floor}.yaml").write_text("")
    split = generate.split_recordings(tracks, maps, ["market"], ["station"])
    names = {name: ([p.stem for p in r.tracks], [p.stem for p in r.maps]) for name, r in split.items()}
    assert names == {
        "train": (["campus"], ["floor0", "floor1"]),
        "val": (["station"], ["floor2"]),
        "test": (["market"], ["floor3"]),
    }
    with pytest.raises(RecordingError, match="plaza"):
        generate.split_recordings(tracks, None, ["plaza"], [])
    with pytest.raises(RecordingError, match="market"):
        generate.split_recordings(tracks, None, ["market"], ["market"])
    with pytest.raises(RecordingError, match=r"no \*\.yaml"):
        generate.split_recordings(None, tracks, [], [])


def test_numbers_that_make_no_sense_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="clips 0"):
        generate.run(arguments(tmp_path, clips=0))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_floor_plan_can_be_walked_and_driven(kind):
    rng = np.random.default_rng(2)
    for _ in range(3):
        layout = draw_layout(rng, kind)
        statics = layout.statics()
        assert layout.walkable.is_valid
        assert (np.asarray(statics.clearance_m.values) > 0.4).any()
        assert (statics.clearance_m.at(layout.goals, 0.0) > 0.0).mean() > 0.9
        # Behind the walls there is nothing: nobody could ever have seen it.
        pillars = [disc_polygon(pillar) for pillar in layout.pillars]
        assert isinstance(shapely.union_all([layout.walkable.buffer(0.01), *layout.boxes, *pillars]), shapely.Polygon)


def test_people_walk_within_the_floor_and_robots_mind_nobody():
    rng = np.random.default_rng(4)
    inside, walked_m = [], []
    for _ in range(4):
        layout = draw_layout(rng, "junction")
        crowd = simulate_crowd(layout.walkable, layout.goals, 6, 1, 6.0, rng)
        assert crowd.robots.shape[1] == 1
        np.testing.assert_array_equal(crowd.movers.people[:, -1], crowd.robots[:, 0, :2])
        clearance_m = layout.statics().clearance_m.at(crowd.movers.people, 0.0)
        inside.append((clearance_m > 0.0).mean())
        walked_m.extend(np.linalg.norm(np.diff(crowd.movers.people, axis=0), axis=-1).sum(axis=0))
    assert min(inside) > 0.99
    assert np.median(walked_m) > 1.5


def write_map(folder: Path) -> Path:
    image = np.full((160, 200), 205, np.uint8)
    image[20:140, 20:180] = 0
    image[24:136, 24:176] = 254
    data = b"P5\n200 160\n255\n" + image.tobytes()
    (folder / "hall.pgm.gz").write_bytes(gzip.compress(data))
    (folder / "hall.yaml").write_text(DOCUMENT)
    return folder / "hall.yaml"


def test_a_map_is_placed_as_its_description_says(tmp_path):
    floor = read_map(write_map(tmp_path))
    # Row 0 of the image is the top: the origin is the lower left corner of the last row.
    kinds = floor.cells.at(np.array([(-2.9, 2.1), (-1.95, 6.0), (2.0, 6.0)]), UNKNOWN)
    assert kinds.tolist() == [UNKNOWN, OCCUPIED, FREE]
    statics, known, walkable = crop(floor, np.random.default_rng(0))
    assert walkable.area == pytest.approx(7.0 * 5.0, rel=0.1)
    assert known.at((2.0, 6.0), False)
    assert not known.at((-2.9, 2.1), False)
    assert statics.solid_points.min(axis=0) == pytest.approx((-1.975, 3.025), abs=0.03)


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("resolution: 0.05", "resolution: 50", "resolution 50"),
        ("image: hall.pgm", "image: gone.pgm", "hall"),
        ("origin: [-3.0, 2.0, 0.0]", "origin: 3", "the map description cannot be used"),
        ("negate: 0", "negate: [", "the map description cannot be used"),
    ],
)
def test_a_bad_map_is_refused_by_name(tmp_path, before, after, complaint):
    path = write_map(tmp_path)
    path.write_text(path.read_text().replace(before, after))
    if "gone" in after:
        (tmp_path / "hall.pgm.gz").unlink()
    with pytest.raises(RecordingError, match=complaint) as caught:
        read_map(path)
    assert "hall.yaml" in str(caught.value)
