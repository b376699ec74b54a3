"""A planner that drives straight to the goal, and a data folder with sound and damaged files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge_worldmodel.evaluation.arena import closed_loop, tasks
from edge_worldmodel.evaluation.controllers import Command

pytest.importorskip("mujoco")


class Straight:
    """Turns to the goal and drives; blind."""

    name, knows_people = "dwa", False

    def __init__(self, speed_mps: float = 0.8) -> None:
        self.speed_mps = speed_mps

    def reset(self, robot, goal, seed, walls=()):
        self.walls = walls

    def observe(self, look):
        pass

    def act(self, look):
        away = look.goal - look.pose[:2]
        turn = (np.arctan2(away[1], away[0]) - look.pose[2] + np.pi) % (2 * np.pi) - np.pi
        return Command(self.speed_mps * max(np.cos(turn), 0.0), float(np.clip(2 * turn, -1.5, 1.5)))


@pytest.fixture
def straight(monkeypatch):
    """Put the straight driver in the place of every planner."""
    for module in (closed_loop, tasks):
        monkeypatch.setattr(module, "make_controller", lambda *_args, **_kwargs: Straight())
    tasks._controller.cache_clear()
    yield Straight
    tasks._controller.cache_clear()


@pytest.fixture
def barn_file(tmp_path: Path) -> Path:
    """Two sound worlds, a corridor and one with a wall across, and one with NaN."""
    side = [(x, y, 0.075) for x in (-4.4, -0.1) for y in np.arange(3.0, 9.0, 0.15)]
    across = [(x, 6.0, 0.075) for x in np.arange(-4.4, 0.0, 0.15)]
    way = np.array([[15, 0], [15, 29]])
    arrays = {"obs_1": np.array(side), "obs_2": np.array(side + across), "obs_3": np.full((2, 3), np.nan)}
    path = tmp_path / "worlds.npz"
    np.savez(path, **arrays, path_1=way, path_2=way, path_3=way)
    return path


@pytest.fixture
def dynabarn_file(tmp_path: Path) -> Path:
    """One sound world, and one whose obstacle has no key frames."""
    frames = [[0.0, 0.0, -5.0, 0.0], [2.0, 0.0, 0.0, 0.0], [4.0, 0.0, 5.0, 0.0]]
    sound = {"radius": 0.5, "period_s": 4.0, "keyframes_txyz": frames}
    path = tmp_path / "moving.json"
    path.write_text(json.dumps({"0": [sound], "1": [{"radius": 0.5, "period_s": 4.0}]}))
    return path


@pytest.fixture
def tracks_folder(tmp_path: Path) -> Path:
    """A recording of people who walk in lanes, and one that is cut off in the middle of a line."""
    folder = tmp_path / "tracks"
    folder.mkdir()
    lines = []
    for frame in range(0, 3000, 10):
        for person in range(6):
            phase = (frame / 25.0 * 1.2 + 3 * person) % 24
            x = phase if phase < 12 else 24 - phase
            lines.append(f"{frame}\t{person}\t{x:.3f}\t{2.4 * person:.3f}")
    (folder / "lanes.txt").write_text("\n".join(lines))
    (folder / "cut.txt").write_text("\n".join(lines[:20]) + "\n130\t2\t4.")
    return folder
