"""A world that was written is read back as the very same; what a file cannot say is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_worldmodel.sim.crowds.tracks import RecordedTracks
from edge_worldmodel.sim.fields import WorldError
from edge_worldmodel.sim.robots import PRESETS
from edge_worldmodel.sim.shapes import Box, Cylinder
from edge_worldmodel.sim.wind import WindSpec
from edge_worldmodel.sim.world import CrowdSpec, Person, RobotPlacement, World, load_world
from edge_worldmodel.sim.world_writer import write_world

WORLD = World(
    name="both",
    seed=7,
    bounds=(-5.0, -4.0, 5.0, 4.0),
    solids=(Box(1.0, 2.0, 0.3, 0.4, 0.1 + 0.2, 1.5), Cylinder(-2.0, 1.0, 1 / 3, 0.7)),
    people=(
        Person((0.0, -2.0), ((3.0, -2.0), (0.0, -1.0)), None, 1.3, 0.22, 2.5, False, 4.0, 2.0, 6.0),
        Person((2.0, 0.0), area=(-1.0, -1.0, 2.0, 2.0)),
    ),
    crowd=CrowdSpec("jupedsim", False, 0.05),
    robots=(RobotPlacement(PRESETS["generic"], (-3.0, -2.0, 0.5), (3.0, 3.0, 0.0)),),
    step_s=0.01,
    wind=WindSpec(2.0, 0.3, 5.0, 3.0),
)


def test_the_same_world_comes_back(tmp_path: Path) -> None:
    write_world(WORLD, tmp_path / "world.yaml")
    assert load_world(tmp_path / "world.yaml") == WORLD


@pytest.mark.parametrize(
    "world",
    [
        replace(WORLD, crowd=CrowdSpec("replay", False, tracks=RecordedTracks(np.zeros((3, 2, 2)), 0.1))),
        replace(WORLD, robots=(replace(WORLD.robots[0], spec=replace(PRESETS["generic"], max_speed_mps=0.3)),)),
    ],
    ids=["recorded tracks", "changed robot"],
)
def test_what_a_file_cannot_say_is_refused(tmp_path: Path, world: World) -> None:
    with pytest.raises(WorldError):
        write_world(world, tmp_path / "world.yaml")
    assert not (tmp_path / "world.yaml").exists()
