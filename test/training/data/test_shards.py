from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from edge_worldmodel.training.data.shards import ShardError, ShardSet, pack, read_shard, unpack, write_shard


def arrays(clips=3, seed=0):
    rng = np.random.default_rng(seed)
    masks = {name: pack(rng.random((clips, 8, 64, 64)) < 0.1) for name in ("future", "future_known", "moving")}
    return masks | {
        "history": pack(rng.random((clips, 10, 64, 64)) < 0.1),
        "present_moving": pack(rng.random((clips, 64, 64)) < 0.1),
        "maneuver": rng.normal(size=(clips, 8, 3)).astype(np.float32),
        "agents": rng.normal(size=(clips, 24, 13, 2)).astype(np.float32),
        "reacts": rng.random(clips) < 0.5,
        "source": np.arange(clips, dtype=np.int16) % 2,
        "scene": np.arange(clips, dtype=np.int32),
    }


def write(folder, count=3):
    for number in range(count):
        path = folder / "train" / f"shard_{number:05d}.npz"
        write_shard(path, arrays(seed=number), ["here", f"there{number}"], f"id{number}")
    return sorted((folder / "train").glob("*.npz"))


def test_masks_survive_packing():
    masks = np.random.default_rng(0).random((2, 3, 64, 64)) < 0.3
    assert pack(masks).shape == (2, 3, 512)
    np.testing.assert_array_equal(unpack(pack(masks)), masks)


def test_a_shard_reads_back_as_written_and_the_same_clips_give_the_same_bytes(tmp_path):
    first, second = tmp_path / "a" / "x.npz", tmp_path / "b" / "x.npz"
    for path in (first, second):
        write_shard(path, arrays(), ["here", "there"], "id")
    assert first.read_bytes() == second.read_bytes()
    assert not list(first.parent.glob("*.part"))
    found, sources, identity = read_shard(first)
    assert (sources, identity) == (["here", "there"], "id")
    for name, expected in arrays().items():
        np.testing.assert_array_equal(found[name], expected)


def test_sources_of_all_shards_are_counted_in_one_list(tmp_path):
    write(tmp_path)
    shards = ShardSet(tmp_path, "train")
    assert len(shards) == 3
    names = [[shards.sources[i] for i in loaded["source"]] for loaded in shards.iterate()]
    assert names == [["here", f"there{n}", "here"] for n in range(3)]


def damage(path, how):
    data = path.read_bytes()
    middle = len(data) // 2
    broken = {
        "cut": data[:middle],
        "empty": b"",
        "flipped": data[:middle] + bytes((data[middle] ^ 255,)) + data[middle + 1 :],
        "foreign": b"not an archive",
    }
    path.write_bytes(broken[how])


@pytest.mark.parametrize("how", ["cut", "empty", "flipped", "foreign"])
def test_a_damaged_shard_is_named_counted_and_skipped(tmp_path, caplog, how):
    paths = write(tmp_path)
    damage(paths[1], how)
    shards = ShardSet(tmp_path, "train")
    with caplog.at_level(logging.WARNING):
        good = [loaded["scene"].tolist() for loaded in shards.iterate()]
    assert len(good) == 2
    assert list(shards.damaged) == [paths[1]]
    assert "shard_00001.npz" in caplog.text
    with pytest.raises(ShardError, match="shard_00001"):
        shards.load(1)
    assert len(list(ShardSet(tmp_path, "train").iterate())) == 2


def test_wrong_contents_are_refused_by_name(tmp_path):
    wrong = arrays()
    wrong["maneuver"] = wrong["maneuver"].astype(np.float64)
    with pytest.raises(ShardError, match="maneuver"):
        write_shard(tmp_path / "x.npz", wrong, ["here", "there"], "id")
    with pytest.raises(ShardError, match="arrays"):
        write_shard(tmp_path / "x.npz", {"history": wrong["history"]}, [], "id")
    np.savez(tmp_path / "y.npz", history=np.zeros(3))
    with pytest.raises(ShardError, match=r"y\.npz"):
        read_shard(tmp_path / "y.npz")


def test_objects_are_never_unpickled(tmp_path):
    np.savez(tmp_path / "x.npz", header=np.array([{}], dtype=object))
    with pytest.raises(ShardError, match=r"x\.npz"):
        read_shard(tmp_path / "x.npz")


def test_an_empty_split_and_a_broken_index_say_what_to_do(tmp_path):
    with pytest.raises(ShardError, match="generate"):
        ShardSet(tmp_path, "train")
    write(tmp_path)
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(ShardError, match=r"index\.json"):
        ShardSet(tmp_path, "train")
    (tmp_path / "index.json").write_text(json.dumps({"clips": {"train": 9}}))
    assert ShardSet(tmp_path, "train").index["clips"]["train"] == 9
