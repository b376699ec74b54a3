"""The picture is drawn whatever the run was like."""

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")

from edge_worldmodel.evaluation.live.picture import draw  # noqa: E402
from edge_worldmodel.recordings.snapshot import Moment, RunOverview, save  # noqa: E402

SUMMARY = {
    "plans": 10,
    "plan_rate_hz": 9.5,
    "sensor_to_command_s": {"p95": 0.06},
    "goal_reached": True,
    "contacts": 0,
    "stops": [],
}


def moment(**changes):
    """Three candidates in a half-known room."""
    grid = np.full((64, 64), np.nan, np.float32)
    grid[20:44, 30:] = 0.0
    grid[44, 30:] = 1.0
    corner, candidates = np.array([-6.4, -6.4, 0.0]), np.zeros((3, 9, 3))
    candidates[0, :, 0] = candidates[1, :, 0] = np.linspace(0.0, 2.5, 9)
    candidates[1, :, 1] = np.linspace(0.0, 1.0, 9)
    values = {
        "time_s": 1.5, "ego": np.zeros(3), "speed_mps": 0.5, "grid": grid, "grid_pose": corner,
        "imagined": np.full((64, 64), 0.3, np.float32), "imagined_pose": corner, "imagined_after_s": 0.4,
        "cell_size_m": 0.2, "candidates": candidates, "risks": np.array([0.7, 0.1, 0.0]),
        "names": np.array(["straight", "left", "brake"]), "selected": 1, "plan": candidates[1], "plan_risk": 0.1,
        "goal": np.array([30.0, 0.0, 0.0]), "scan_points": np.array([[1.0, 2.0]]), "people": np.array([[2.0, 0.5]]),
        "reason": "left: best progress", "verdict": "active: free to go",
    }  # fmt: skip
    return Moment(**{**values, **changes})


def picture(tmp_path, shown, overview=None, summary=SUMMARY):
    save(tmp_path / "moment.npz", shown, overview or RunOverview())
    draw(tmp_path / "moment.npz", tmp_path / "rollouts.png", summary)
    return matplotlib.image.imread(tmp_path / "rollouts.png")[..., :3]


def has_colour(image, colour):
    return bool((np.abs(image - matplotlib.colors.to_rgb(colour)).max(axis=-1) < 0.02).sum() > 50)


def test_plan_grid_and_imagination_are_visible(tmp_path):
    overview = RunOverview()
    for step in range(50):
        overview.add_pose(step * 0.1, step * 0.05, 0.0)
    overview.stops.append((1.0, 0.0))
    image = picture(tmp_path, moment(), overview)
    assert image.shape[0] > 600
    assert image.shape[1] > 1000
    for colour in ("#1747d1", "#30343b", "#dfe2e6", "#e0218a", "#d62728"):
        assert has_colour(image, colour), colour


@pytest.mark.parametrize(
    "changes",
    [
        {"goal": np.zeros(0), "people": np.zeros((0, 2)), "scan_points": np.zeros((0, 2))},
        {"selected": -1, "reason": "none acceptable " * 20},
        {"risks": np.array([np.nan, 0.0, 0.0])},
        {"goal": np.array([1.0, -1.0, 0.0]), "verdict": ""},
    ],
)
def test_odd_moments_are_drawn_too(tmp_path, changes):
    assert has_colour(picture(tmp_path, moment(**changes)), "#1747d1")


def test_a_run_without_plans_gives_a_picture_that_says_so(tmp_path):
    image = picture(tmp_path, None, summary={"plans": 0, "stops": []})
    assert not has_colour(image, "#30343b")
