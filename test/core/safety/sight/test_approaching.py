"""Which returns are static and which approach: walls never do, at any rate of scans and at any speed; people do."""

import numpy as np
import pytest

from edge_worldmodel.core.geometry import transform_points
from edge_worldmodel.core.safety.motion.approach import Movers
from edge_worldmodel.core.safety.motion.braking import arc_pose
from edge_worldmodel.core.safety.sight.approaching import Approaching
from edge_worldmodel.core.safety.sight.static_returns import StaticReturns

from ..person_and_robot import PERSON_RADIUS_M, World, scan_of

CLUTTER = World(
    walls=np.array(
        [((-3, -1), (7, -1)), ((2, 1.2), (7, 1.2)), ((7, -1), (7, 1.2)), ((2, 1.2), (2, 6)), ((-3, 6), (2, 6))]
    ),
    posts=np.array([(0.5, 1.0, 0.05), (1.5, 1.1, 0.08), (4.0, 0.6, 0.1), (-1.0, 2.0, 0.2)]),
)


class Scene:
    """A robot with a given motion, and people who walk past it."""

    def __init__(
        self,
        world=None,
        people=(),
        twist=(0.0, 0.0, 0.0),
        rate_hz=10.0,
        noise_m=0.03,
        measured=None,
        fov_rad=2 * np.pi,
    ):
        self.world, self.twist, self.rate_hz, self.noise_m = world or World(), np.array(twist), rate_hz, noise_m
        self.fov_rad = fov_rad
        self.people = np.array(people, dtype=float).reshape(-1, 4)
        self.measured = self.twist if measured is None else np.array(measured)
        self.rng, self.offset = np.random.default_rng(3), (np.zeros(3), np.zeros(3))
        self.static, self.approaching = StaticReturns(), Approaching(1.6)
        self.ns, self.returns = 10**9, None

    def look(self, duration_s: float) -> Movers:
        for _ in range(round(duration_s * self.rate_hz)):
            elapsed_s = self.ns / 1e9 - 1.0
            place, measured = arc_pose(self.twist, elapsed_s), arc_pose(self.measured, elapsed_s)
            place, measured = place + self.offset[0], measured + self.offset[1]
            sweep = scan_of(self.world, place, self.people, self.ns, 720, self.noise_m, self.rng, self.fov_rad)
            self.returns = self.static.look(sweep, np.hypot(*sweep.endpoints.T), measured)
            self.approaching.look(self.returns, measured[:2], self.ns)
            self.last = Movers(self.approaching.movers(measured, self.ns)), place
            self.people[:, :2] += self.people[:, 2:] / self.rate_hz
            self.ns += round(1e9 / self.rate_hz)
        return self.last[0]


@pytest.mark.parametrize("rate_hz", [5.0, 10.0, 20.0, 40.0])
@pytest.mark.parametrize(
    "twist", [(0, 0, 0), (1.5, 0, 0), (0.8, 0, 0.5), (0, 0, 1.0)], ids=["rest", "fast", "arc", "turn"]
)
def test_walls_posts_and_what_a_corner_reveals_never_approach(rate_hz, twist):
    scene = Scene(CLUTTER, twist=twist, rate_hz=rate_hz)
    seen = [len(scene.look(1.0 / rate_hz).rows) for _ in range(round(2.0 * rate_hz))]
    assert sum(seen) == 0
    assert scene.returns.static.mean() > 0.8


def posts_around() -> World:
    """Posts in all directions, some hidden by others."""
    places = np.random.default_rng(0).uniform(-5, 5, (60, 2))
    return World(posts=np.column_stack((places, np.full(60, 0.075)))[np.hypot(*places.T) > 0.8])


@pytest.mark.parametrize("turn_radps", [2.0, -1.0])
def test_what_a_turn_brings_into_the_field_of_view_does_not_approach(turn_radps):
    scene = Scene(posts_around(), twist=(0.0, 0.0, turn_radps), noise_m=0.01, fov_rad=np.radians(270))
    assert sum(len(scene.look(0.1).rows) for _ in range(30)) == 0


def test_an_error_of_the_measured_turn_does_not_make_walls_approach():
    scene = Scene(CLUTTER, twist=(0.5, 0.0, 1.0), measured=(0.52, 0.0, 1.04))
    assert sum(len(scene.look(0.1).rows) for _ in range(20)) == 0


def test_hard_turns_whose_heading_is_two_degrees_wrong_do_not_make_posts_approach():
    scene = Scene(posts_around(), noise_m=0.01)
    assert scene.look(0.6) is not None
    rates = np.array([1.0, 2.2, 3.4, 3.5, 3.5, 2.3, 1.1, -0.1, -1.3, -2.5, -3.5])
    for rate, turn in zip(rates, np.cumsum(0.1 * rates), strict=True):
        # The heading lags by a hundredth of a second.
        scene.offset = np.array((0.0, 0.0, turn)), np.array((0.0, 0.0, turn + 0.01 * rate))
        assert not len(scene.look(0.1).rows)


@pytest.mark.parametrize(
    ("rate_hz", "way"), [(5.0, (-1.6, 0.0)), (10.0, (-1.1, -1.1)), (20.0, (-0.5, 0.0)), (40.0, (0.0, -1.6))]
)
def test_a_person_is_found_at_once_and_the_velocity_soon(rate_hz, way):
    scene = Scene(CLUTTER, twist=(0.4, 0.0, 0.2), rate_hz=rate_hz)
    scene.look(1.0)
    scene.people = np.array([(3.4, 0.1, *way)])
    first = scene.look(1.0 / rate_hz)
    assert len(first.rows) == 1 and first.growth_mps[0] == pytest.approx(0.8)
    assert np.hypot(*(transform_points(scene.last[1], first.centers)[0] - (3.4, 0.1))) < PERSON_RADIUS_M + 0.1
    later = scene.look(0.6)
    moving = later.rows[np.hypot(*later.velocities.T).argmax()]
    place = scene.last[1]
    over_ground = transform_points((0.0, 0.0, place[2]), moving[None, 2:4])[0]
    assert np.hypot(*(over_ground - way)) < 0.45
    assert moving[5] < 0.4


def test_what_comes_from_behind_a_screen_is_found_within_a_quarter_of_a_second():
    screen = World(walls=np.array([((2.0, 0.3), (2.0, 4.0)), ((6.0, -5.0), (6.0, 5.0))]))
    scene = Scene(screen, people=[(2.5, 1.0, 0.0, -1.6)])
    found_at = [round(scene.ns / 1e9, 2) for _ in range(12) if len(scene.look(0.1).rows)]
    # The person's edge comes into sight about 0.3 s after the start.
    assert found_at and found_at[0] <= 1.0 + 0.3 + 0.25


def test_a_person_who_was_in_sight_before_is_found_with_a_known_velocity():
    # Nothing is known yet of the places that the first sweep shows occupied.
    scene = Scene(people=[(3.0, 0.2, -1.2, 0.0)])
    for _ in range(8):
        found = scene.look(0.1)
        if len(found.rows):
            break
    assert len(found.rows) == 1 and found.growth_mps[0] < 0.5
    assert found.velocities[0, 0] < -0.5


def test_what_is_seen_in_one_sweep_only_is_dropped_and_a_person_who_was_tracked_is_kept_a_while():
    scene = Scene()
    scene.look(0.5)
    scene.people = np.array([(2.0, 0.0, 0.0, 1.6)])
    assert len(scene.look(0.1).rows) == 1
    gone = np.empty((0, 4))
    scene.people = gone
    assert not len(scene.look(0.1).rows)
    scene.people = np.array([(2.0, 0.5, 0.0, 1.6)])
    scene.look(0.3)
    scene.people = gone
    kept = [len(scene.look(0.1).rows) for _ in range(4)]
    assert kept[:2] == [1, 1] and kept[3] == 0


def test_a_person_who_stands_still_becomes_static_and_one_who_leaves_is_not_in_the_way():
    scene = Scene()
    scene.look(0.6)
    scene.people = np.array([(2.0, 0.0, -1.0, 0.0)])
    assert len(scene.look(0.5).rows) == 1
    scene.people[:, 2:] = 0.0
    scene.look(1.0)
    assert not len(scene.look(0.1).rows) and scene.returns.static.all()
    scene.people[:, 2:] = (1.2, 0.0)
    leaving = [scene.look(0.1) for _ in range(10)]
    assert all((movers.velocities[:, 0] > -0.3).all() for movers in leaving)


def test_a_place_that_nobody_saw_before_is_static_until_something_moves_there():
    scene = Scene(CLUTTER)
    assert not len(scene.look(0.1).rows)
    assert not scene.returns.static.any() and not scene.returns.moved_in.any()


def test_many_people_are_bounded_to_the_nearest():
    angles = np.linspace(0, 2 * np.pi, 44, endpoint=False)
    ring = np.stack((np.cos(angles), np.sin(angles)), axis=-1)
    far, near = np.column_stack((5.5 * ring, -ring)), np.column_stack((2.5 * ring[::4], -0.5 * ring[::4]))
    scene = Scene()
    scene.look(0.5)
    scene.people = np.concatenate((far, near))
    movers = scene.look(0.1)
    assert len(movers.rows) == 32
    assert (np.hypot(*movers.centers.T) < 3.0).sum() == 11
