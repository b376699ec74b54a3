"""What the picture is drawn from survives the way through the file, in bounded memory."""

import dataclasses

import numpy as np

from edge_worldmodel.recordings.snapshot import Moment, RunOverview, load, save


def moment(**changes):
    """A robot with two candidates, one of them risky, and a person who is imagined to move."""
    grid = np.full((64, 64), np.nan, np.float32)
    grid[20:40, 30:] = 0.0
    imagined = np.zeros((64, 64), np.float32)
    imagined[30:33, 40:42] = 0.8
    corner = np.array([-6.4, -6.4, 0.0])
    candidates = np.zeros((2, 9, 3))
    candidates[0, :, 0] = np.linspace(0.0, 2.0, 9)
    values = {
        "time_s": 1.5, "ego": np.zeros(3), "speed_mps": 0.5, "grid": grid, "grid_pose": corner, "imagined": imagined,
        "imagined_pose": corner, "imagined_after_s": 0.4, "cell_size_m": 0.2, "candidates": candidates,
        "risks": np.array([0.7, 0.1]), "names": np.array(["straight", "brake"]), "selected": 1, "plan": candidates[1],
        "plan_risk": 0.1, "goal": np.array([3.0, 0.0, 0.0]), "scan_points": np.array([[1.0, 2.0]]),
        "people": np.array([[2.0, 0.5]]), "reason": "brake: least risk", "verdict": "active: free to go",
    }  # fmt: skip
    return Moment(**{**values, **changes})


def test_a_moment_and_the_overview_come_back(tmp_path):
    overview = RunOverview()
    overview.add_pose(0.0, 1.0, 2.0)
    overview.add_people(np.array([[1.0, 1.0]]))
    overview.stops.append((0.5, 0.5))
    overview.add_hits(np.array([[3.01, 4.02]]))
    save(tmp_path / "moment.npz", moment(), overview)
    read, arrays = load(tmp_path / "moment.npz")
    for field in dataclasses.fields(Moment):
        np.testing.assert_array_equal(getattr(read, field.name), getattr(moment(), field.name), err_msg=field.name)
    np.testing.assert_allclose(arrays["walls"], [[3.05, 4.05]])
    np.testing.assert_allclose(arrays["path"], [[0.0, 1.0, 2.0]])
    assert (len(arrays["people"]), len(arrays["stops"])) == (1, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["moment.npz"]


def test_a_run_without_a_plan_has_no_moment(tmp_path):
    save(tmp_path / "moment.npz", None, RunOverview())
    assert load(tmp_path / "moment.npz")[0] is None


def test_there_is_more_to_see_where_risks_differ_and_the_world_changes():
    dull = moment(risks=np.array([0.1, 0.1]), people=np.zeros((0, 2)), imagined=np.zeros((64, 64), np.float32))
    assert moment().interest() > dull.interest()
    assert moment().interest() > moment(verdict="stopped: plan expired").interest()
    assert moment(plan=moment().candidates[0]).interest() > moment().interest()
    assert np.isfinite(moment(risks=np.array([np.nan, np.nan]), selected=-1).interest())


def test_the_overview_keeps_walls_and_not_those_who_walked_by():
    overview = RunOverview()
    for step in range(20):
        overview.add_hits(np.array([[5.0, 0.0], [0.3 * step, 1.0]]))
    np.testing.assert_allclose(overview.walls(), [[5.05, 0.05]])


def test_the_overview_has_bounded_memory():
    overview = RunOverview()
    rng = np.random.default_rng(0)
    for step in range(30_000):
        overview.add_pose(float(step), 0.0, 0.0)
        overview.add_people(np.zeros((1, 2)))
    for _ in range(100):
        overview.add_hits(rng.uniform(-500.0, 500.0, (2000, 2)))
    assert (len(overview.path) <= 8000, len(overview.people) <= 16_000, len(overview.walls()) <= 70_000) == (True,) * 3
    assert overview.path[0][0] == 0.0
