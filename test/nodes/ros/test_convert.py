"""Messages and our types convert into each other without loss, and malformed messages are named."""

from __future__ import annotations

import array
import dataclasses

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from geometry_msgs.msg import Pose, Twist  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402

from edge_worldmodel.core import types  # noqa: E402
from edge_worldmodel.core.errors import InputError  # noqa: E402
from edge_worldmodel.nodes.ros import convert  # noqa: E402

STAMP_NS = 1_234_567_890_123_456_789
POSE = np.array([1.25, -2.5, 0.75])
TWIST = np.array([0.5, 0.125, -0.25])
TRAJECTORY = types.Trajectory(0.125, np.tile(POSE, (3, 1)), np.tile(TWIST, (3, 1)))


def frame() -> types.LatentFrame:
    tensor = np.random.default_rng(0).normal(size=(1, 64, 16, 16)).astype(np.float32)
    obstacles = np.array([[1.5, -0.25], [3.0, 2.0]], np.float32)
    return types.LatentFrame(STAMP_NS, "odom", "base_link", POSE, TWIST, tensor, 0.5, 0.25, "model", 7, obstacles)


def warm_start() -> types.WarmStart:
    latents = np.ones((4, 8, 16, 16), np.float32)
    return types.WarmStart(STAMP_NS, 7, True, "last solution", "model", 0.125, 0.875, 0.5, latents)


def plan() -> types.Plan:
    return types.Plan(STAMP_NS, "odom", TRAJECTORY, STAMP_NS + 5, 0.125, "brake", "why", "model", 7)


def rollout_set() -> types.RolloutSet:
    trajectory = dataclasses.replace(TRAJECTORY, twists=np.zeros((3, 3)))
    rollout = types.Rollout("brake", trajectory, 1.0, 0.125, 0.1875, 0.25, -0.5, 2.0, True)
    latency = types.LatencyBreakdown(0.125, 0.25, 0.5, 1.0, 2.0)
    return types.RolloutSet(STAMP_NS, "odom", (rollout,), 0, "why", latency, 4, 2, True, 0.5, "model", 7)


def verdict() -> types.Verdict:
    return types.Verdict(STAMP_NS, "base_link", 2, "slow", TWIST, ("velocity",), 0.5, 0.125, 0.25, 0.75)


def same(a: object, b: object) -> bool:
    """Equality of nested dataclasses that hold arrays; angles survive a quaternion to 1e-12, tensors half precision."""
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, np.ndarray):
        exact = a.dtype != np.float32
        close = np.allclose(a, b, rtol=0.0 if exact else 1e-3, atol=1e-12 if exact else 1e-6)  # type: ignore[arg-type]
        return bool(close) and a.dtype == b.dtype  # type: ignore[attr-defined]
    if isinstance(a, tuple) and a and dataclasses.is_dataclass(a[0]):
        return all(same(x, y) for x, y in zip(a, b, strict=True))  # type: ignore[call-overload]
    return a == b


@pytest.mark.parametrize(
    ("value", "to_msg", "from_msg"),
    [
        (frame(), convert.latent_frame_to_msg, convert.latent_frame_from_msg),
        (warm_start(), lambda w: convert.warm_start_to_msg(w, "odom"), convert.warm_start_from_msg),
        (plan(), convert.plan_to_msg, convert.plan_from_msg),
    ],
    ids=["latent_frame", "warm_start", "plan"],
)
def test_round_trip(value, to_msg, from_msg):
    assert same(from_msg(to_msg(value)), value)


def test_rollouts_are_sent_whole():
    message, value = convert.rollout_set_to_msg(rollout_set()), rollout_set()
    assert convert.stamp_from_msg(message.header.stamp) == value.stamp_ns and message.header.frame_id == value.frame_id
    for name in ("selected", "reason", "futures_per_maneuver", "steps", "warm_started", "noise_level", "model_id",
                 "sequence", "effort"):  # fmt: skip
        assert getattr(message, name) == getattr(value, name), name
    for name, seconds in dataclasses.asdict(value.latency).items():
        assert getattr(message.latency, name.removesuffix("_s")) == seconds, name
    (sent,), (rollout,) = message.rollouts, value.rollouts
    assert (sent.name, sent.dt_s, sent.acceptable) == (rollout.name, 0.125, True)
    assert all(getattr(sent, term) == getattr(rollout, term) for term in types.ROLLOUT_TERMS)
    poses = np.array([convert.pose_from_msg(pose) for pose in sent.poses])
    np.testing.assert_allclose(poses, rollout.trajectory.poses, atol=1e-12)


def test_a_verdict_is_sent_whole():
    message, value = convert.verdict_to_msg(verdict()), verdict()
    assert convert.stamp_from_msg(message.header.stamp) == value.stamp_ns and message.header.frame_id == value.frame_id
    assert tuple(message.limits) == value.limits
    np.testing.assert_array_equal(convert.twist_from_msg(message.command), value.command)
    assert message.command.linear.z == value.climb_mps
    for name in ("state", "reason", "clearance_margin_m", "plan_age_s", "sensor_age_s", "risk"):
        assert getattr(message, name) == getattr(value, name), name


def test_a_context_travels_in_one_datagram():
    assert len(serialize_message(convert.latent_frame_to_msg(frame()))) < 60_000


def test_a_tensor_at_full_precision_is_read_too():
    message, tensor = convert.latent_frame_to_msg(frame()), frame().tensor
    message.dtype = "<f4"
    message.data = array.array("B", tensor.astype("<f4").tobytes())
    np.testing.assert_array_equal(convert.latent_frame_from_msg(message).tensor, tensor)


def test_numbers_beyond_half_precision_are_refused_by_the_reader():
    huge = dataclasses.replace(frame(), tensor=np.full((1, 2), 1e6, np.float32))
    with pytest.raises(InputError, match="not finite"):
        convert.latent_frame_from_msg(convert.latent_frame_to_msg(huge))


def test_tensor_of_wrong_size_is_refused():
    message = convert.latent_frame_to_msg(frame())
    message.data = message.data[:-4]
    with pytest.raises(InputError, match="malformed"):
        convert.latent_frame_from_msg(message)


def test_tensor_with_a_huge_shape_is_refused_before_memory_is_taken():
    message = convert.latent_frame_to_msg(frame())
    message.shape = array.array("I", [4_000_000_000, 4_000_000_000])
    with pytest.raises(InputError, match="malformed"):
        convert.latent_frame_from_msg(message)


@pytest.mark.parametrize(("shape", "data"), [([], b""), ([0] * 360, b""), ([1] * 65, b"\x00\x00")])
def test_a_tensor_without_dimensions_or_with_hundreds_is_refused(shape, data):
    message = convert.latent_frame_to_msg(frame())
    message.shape, message.data = array.array("I", shape), data
    with pytest.raises(InputError, match="malformed"):
        convert.latent_frame_from_msg(message)


def test_tensor_with_nan_is_refused():
    broken = dataclasses.replace(frame(), tensor=np.full((1, 2), np.nan, np.float32))
    with pytest.raises(InputError, match="not finite"):
        convert.latent_frame_from_msg(convert.latent_frame_to_msg(broken))


def test_plan_without_poses_or_with_nan_is_refused():
    message = convert.plan_to_msg(plan())
    message.twists[1].linear.x = float("nan")
    with pytest.raises(InputError, match="not finite"):
        convert.plan_from_msg(message)
    message.poses = []
    with pytest.raises(InputError, match="0 poses"):
        convert.plan_from_msg(message)


@pytest.mark.parametrize("coordinates", [[1.0], [1.0, float("nan")], [float("inf"), 0.0]])
def test_obstacles_that_are_no_points_are_refused(coordinates: list[float]) -> None:
    message = convert.latent_frame_to_msg(frame())
    message.obstacles = coordinates
    with pytest.raises(InputError, match="finite pairs"):
        convert.latent_frame_from_msg(message)


def test_pose_and_twist_must_be_finite_and_oriented():
    with pytest.raises(InputError, match="unit quaternion"):
        pose = Pose()
        pose.orientation.w = 0.0
        convert.pose_from_msg(pose)
    twist = Twist()
    twist.angular.z = float("inf")
    with pytest.raises(InputError, match="twist"):
        convert.twist_from_msg(twist)
