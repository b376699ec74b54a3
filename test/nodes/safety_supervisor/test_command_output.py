"""The supervisor's process commands drive bases and autopilots in the form that each of them understands."""

from __future__ import annotations

import functools
import importlib.util
import math
import os
import signal
import sys
import types
from pathlib import Path

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from diagnostic_msgs.msg import KeyValue  # noqa: E402
from geometry_msgs.msg import TwistStamped  # noqa: E402
from std_srvs.srv import SetBool  # noqa: E402

from edge_worldmodel import msg  # noqa: E402
from edge_worldmodel.core.errors import ConfigError  # noqa: E402
from edge_worldmodel.core.safety.config import SupervisorConfig  # noqa: E402
from edge_worldmodel.core.safety.faults import FaultKind  # noqa: E402
from edge_worldmodel.core.safety.inputs.intake import Instant, Intake, OdometrySample  # noqa: E402
from edge_worldmodel.core.safety.states import State  # noqa: E402
from edge_worldmodel.core.types import Verdict  # noqa: E402
from edge_worldmodel.nodes.ros.qos import LATCHED, LATEST, SENSOR  # noqa: E402
from edge_worldmodel.nodes.safety_supervisor.command_output import (  # noqa: E402
    CommandOutputConfig,
    Px4Output,
    heading_rad,
    open_autopilot,
)

from ..conftest import running, watched  # noqa: E402
from .supervised_graph import Source, odom_msg, plan_msg  # noqa: E402

pytestmark = pytest.mark.live

NODE = "safety_supervisor"
STANDING_STILL = {"sensor_pose": "[0.0, 0.0, 0.0]", "drive_base_timeout_s": 0.2}
NORTH_RAD = math.pi / 2
MAVROS = "mavros/setpoint_velocity/cmd_vel"


STAND_IN = str(Path(__file__).with_name("stand_in"))


@pytest.fixture
def mavros(monkeypatch, probe):
    """MAVROS with an autopilot that is armed and in guided mode, until ``mavros.mode`` and ``mavros.flags`` change."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (STAND_IN, os.environ.get("PYTHONPATH")))))
    publisher = probe.node.create_publisher(KeyValue, "mavros/state", LATCHED)
    status = types.SimpleNamespace(mode="GUIDED", flags="armed connected")
    send = lambda: status.mode and publisher.publish(KeyValue(key=status.flags, value=status.mode))  # noqa: E731
    status.timer = probe.node.create_timer(0.2, send)
    return status


class Setpoints:
    """What an autopilot or drive base hears."""

    def __init__(self, probe, topic, qos=LATEST):
        self.probe = probe
        self.heard = probe.listen(TwistStamped, topic, qos)
        self.verdicts = probe.listen(msg.Verdict, "supervisor/verdict", LATEST)

    def newest(self):
        twist = self.heard[-1][1].twist
        return np.array([twist.linear.x, twist.linear.y, twist.linear.z, twist.angular.z])

    def become(self, expected, timeout_s=20.0):
        return self.probe.wait(lambda: bool(self.heard) and np.allclose(self.newest(), expected, atol=0.02), timeout_s)

    def reach(self, state, timeout_s=10.0):
        return self.probe.wait(lambda: bool(self.verdicts) and self.verdicts[-1][1].state == state.value, timeout_s)


def source_heading_north(probe):
    """Good input for a robot that stands, looks north and is to go on that way."""
    source = Source(probe.node)
    source.send["plan"] = functools.partial(plan_msg, heading_rad=NORTH_RAD)
    source.send["odom"] = functools.partial(odom_msg, heading_rad=NORTH_RAD)
    return source


def test_twist_stamped_is_in_the_base_frame_and_has_the_time(probe):
    source_heading_north(probe)
    setpoints = Setpoints(probe, "cmd_vel")
    with running(NODE, output="twist_stamped", **STANDING_STILL), watched(output="twist_stamped"):
        assert setpoints.become([0.4, 0.0, 0.0, 0.0])
    header = setpoints.heard[-1][1].header
    assert header.frame_id == "base_link"
    assert abs(header.stamp.sec - probe.node.get_clock().now().nanoseconds // 10**9) < 30


def test_a_drone_flies_holds_lands_and_its_autopilot_hears_every_tick(probe, mavros):
    source = source_heading_north(probe)
    # MAVROS listens best effort
    setpoints = Setpoints(probe, MAVROS, SENSOR)
    drone = {"output": "mavros", "vehicle": "drone", "hold_before_land_s": 0.5, "landing_speed_mps": 0.3}
    with running(NODE, **drone, **STANDING_STILL) as process:
        assert setpoints.become([0.0, 0.4, 0.0, 0.0]), "north is y in MAVROS' local frame"
        assert setpoints.heard[-1][1].header.frame_id == "odom"
        source.send["plan"] = None
        assert setpoints.reach(State.HOLD)
        assert setpoints.become([0.0, 0.0, 0.0, 0.0], 1.0)
        assert setpoints.reach(State.LANDING)
        assert setpoints.become([0.0, 0.0, -0.3, 0.0], 1.0)
        source.send["odom"] = None
        probe.spin(1.0)
        assert setpoints.become([0.0, 0.0, -0.3, 0.0], 1.0), "an unknown heading does not end the descent"
        assert np.median(np.diff([at_s for at_s, _ in setpoints.heard])) == pytest.approx(0.02, abs=0.005)
        os.killpg(process.pid, signal.SIGKILL)
        probe.spin(0.3)
        count = len(setpoints.heard)
        probe.spin(0.5)
        assert len(setpoints.heard) == count, "the proof of life outlived the supervisor"


def test_an_emergency_stop_keeps_the_drone_hovering_under_control(probe, mavros):
    source_heading_north(probe)
    setpoints = Setpoints(probe, MAVROS, SENSOR)
    with running(NODE, output="mavros", vehicle="drone", **STANDING_STILL):
        assert setpoints.become([0.0, 0.4, 0.0, 0.0])
        assert probe.call(SetBool, "supervisor/estop", SetBool.Request(data=True)).success
        assert setpoints.reach(State.ESTOP)
        probe.spin(0.2)
        count = len(setpoints.heard)
        probe.spin(2.0)
        late = setpoints.heard[count:]
        assert len(late) > 60
        assert not any(m.twist.linear.x or m.twist.linear.y or m.twist.linear.z for _, m in late)


def test_a_rover_behind_mavros_is_commanded_in_its_body_frame(probe, mavros):
    source_heading_north(probe)
    setpoints = Setpoints(probe, MAVROS, SENSOR)
    with running(NODE, output="mavros", mav_frame="BODY_NED", **STANDING_STILL):
        assert setpoints.become([0.4, 0.0, 0.0, 0.0])
    assert setpoints.heard[-1][1].header.frame_id == "base_link"


def test_a_switch_to_offboard_or_guided_mode_meets_no_motion(probe, mavros):
    source_heading_north(probe)
    setpoints, mavros.mode = Setpoints(probe, MAVROS, SENSOR), "LOITER"
    drone = {"output": "mavros", "vehicle": "drone", "autopilot_timeout_s": 0.6, "hold_before_land_s": 0.5}
    with running(NODE, **drone, **STANDING_STILL):
        assert probe.wait(lambda: len(setpoints.heard) > 100, 20.0), "PX4 wants the stream before the mode"
        assert "waiting for offboard or guided mode, the mode is LOITER" in setpoints.verdicts[-1][1].reason
        mavros.flags, mavros.mode = "connected", "OFFBOARD"
        assert probe.wait(lambda: "to be armed" in setpoints.verdicts[-1][1].reason, 2.0)
        assert not any(m.twist.linear.x or m.twist.linear.y or m.twist.linear.z for _, m in setpoints.heard)
        mavros.flags = "armed connected"
        assert setpoints.become([0.0, 0.4, 0.0, 0.0])
        mavros.mode = "POSCTL"
        assert setpoints.become([0.0, 0.0, 0.0, 0.0], 1.0)
        count = len(setpoints.heard)
        probe.spin(1.5)
        assert not any(m.twist.linear.y or m.twist.linear.z for _, m in setpoints.heard[count:]), "nor does it land"
        mavros.mode = "OFFBOARD"
        assert setpoints.become([0.0, 0.4, 0.0, 0.0])
        mavros.mode = ""
        assert setpoints.reach(State.HOLD) and "autopilot: silent" in setpoints.verdicts[-1][1].reason


REFUSED = {
    "reverse or turn round": ({"output": "mavros"}, "BODY_NED"),
    "no heading": ({"output": "mavros", "vehicle": "drone", "unsafe_without_odometry": True}, "odometry"),
    "unknown output": ({"output": "sbus"}, "mavros"),
    "no mavros_msgs": ({"output": "mavros", "vehicle": "drone"}, "mavros_msgs"),
    "no px4_msgs": ({"output": "px4", "vehicle": "drone"}, "px4_msgs"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_commanded_is_refused_with_one_line(what):
    parameters, hint = REFUSED[what]
    if hint.endswith("_msgs") and importlib.util.find_spec(hint):
        pytest.skip(f"{hint} is installed")
    with running(NODE, **parameters) as process:
        output, _ = process.communicate(timeout=20.0)
    assert process.returncode == 1
    refusals = [line for line in output.splitlines() if line.startswith("refused to start")]
    assert len(refusals) == 1 and hint in refusals[0]
    assert "Traceback" not in output


def odometry_intake(stamp_ns=0, yaw_rate=0.0):
    intake = Intake("odometry", FaultKind.ODOMETRY, 0.2, 0.2, 0.1, repeats=False)
    odometry = OdometrySample(stamp_ns, "odom", "base_link", np.array([1.0, 2.0, 0.5]), np.array([0.0, 0.0, yaw_rate]))
    intake.offer(odometry, stamp_ns, "", Instant(stamp_ns, stamp_ns))
    return intake


def test_the_heading_is_that_of_now_and_only_known_with_odometry_to_trust():
    intake = odometry_intake(yaw_rate=1.0)
    assert heading_rad(intake, Instant(0, 0)) == pytest.approx(0.5)
    assert heading_rad(intake, Instant(100_000_000, 100_000_000)) == pytest.approx(0.6)
    assert heading_rad(intake, Instant(300_000_000, 300_000_000)) is None
    intake.reject("NaN")
    assert heading_rad(intake, Instant(0, 0)) is None


class OffboardControlMode:
    """Stands in for px4_msgs' class, which cannot be had here: only the fields of PX4's OffboardControlMode.msg."""

    __slots__ = ("timestamp", "position", "velocity", "acceleration", "attitude", "body_rate")
    __slots__ += ("thrust_and_torque", "direct_actuator")

    def __init__(self, **fields):
        for name in self.__slots__:
            setattr(self, name, fields.pop(name, 0 if name == "timestamp" else False))
        assert not fields


class TrajectorySetpoint:
    """Stands in for px4_msgs' class: only the fields of PX4's TrajectorySetpoint.msg."""

    __slots__ = ("timestamp", "position", "velocity", "acceleration", "jerk", "yaw", "yawspeed")

    def __init__(self, **fields):
        for name in self.__slots__:
            scalar = 0 if name == "timestamp" else 0.0
            default = [0.0] * 3 if name in ("position", "velocity", "acceleration", "jerk") else scalar
            setattr(self, name, fields.pop(name, default))
        assert not fields


class VehicleStatus:
    """Stands in for px4_msgs' class: the fields and constants of PX4's VehicleStatus.msg that say who flies."""

    MESSAGE_VERSION, NAVIGATION_STATE_OFFBOARD, ARMING_STATE_ARMED = 1, 14, 2

    def __init__(self, nav_state, arming_state):
        self.nav_state, self.arming_state = nav_state, arming_state


class Recorded:
    """Stands in for the node, as rclpy would refuse the classes above: keeps what is published under each topic."""

    def __init__(self):
        self.sent = {}

    def create_publisher(self, kind, topic, qos):
        values = self.sent.setdefault(topic, [])

        def publish(message):
            assert type(message) is kind
            values.append({name: getattr(message, name) for name in kind.__slots__})

        return types.SimpleNamespace(publish=publish)


@pytest.fixture
def px4(monkeypatch):
    package, messages = types.ModuleType("px4_msgs"), types.ModuleType("px4_msgs.msg")
    package.msg = messages
    for kind in (OffboardControlMode, TrajectorySetpoint, VehicleStatus):
        setattr(messages, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "px4_msgs", package)
    monkeypatch.setitem(sys.modules, "px4_msgs.msg", messages)


def verdict(state, command, climb_mps=0.0, stamp_ns=1_700_000_000_123_456_789):
    return Verdict(stamp_ns, "base_link", state.value, "", np.array(command), climb_mps=climb_mps)


def test_px4_hears_its_proof_of_life_and_a_velocity_in_ned_every_tick(px4):
    node = Recorded()
    output = open_autopilot(node, CommandOutputConfig(output="px4"), SupervisorConfig(vehicle="drone"))
    output.send(verdict(State.ACTIVE, [1.0, 0.0, 0.2]), NORTH_RAD)
    output.send(verdict(State.LANDING, [0.0, 0.0, 0.0], climb_mps=-0.5), None)
    output.send(verdict(State.ESTOP, [0.0, 0.0, 0.0]), 0.0)
    modes, setpoints = node.sent["fmu/in/offboard_control_mode"], node.sent["fmu/in/trajectory_setpoint"]
    assert len(modes) == len(setpoints) == 3
    velocities = [setpoint["velocity"] for setpoint in setpoints]
    np.testing.assert_allclose(velocities, [[1, 0, 0], [0, 0, 0.5], [0, 0, 0]], atol=1e-9)
    assert [setpoint["yawspeed"] for setpoint in setpoints] == pytest.approx([-0.2, 0.0, 0.0])
    for mode, setpoint in zip(modes, setpoints, strict=True):
        assert [name for name, value in mode.items() if value is True] == ["velocity"]
        assert mode["timestamp"] == setpoint["timestamp"] == 1_700_000_000_123_456
        assert all(type(value) is float for value in setpoint["velocity"])
        free = [*setpoint["position"], *setpoint["acceleration"], *setpoint["jerk"], setpoint["yaw"]]
        assert len(free) == 10 and all(map(math.isnan, free))


def test_px4_is_followed_when_it_is_armed_and_in_offboard_mode(px4):
    output = open_autopilot(Recorded(), CommandOutputConfig(output="px4"), SupervisorConfig(vehicle="drone"))
    status = output.status
    assert status.message_type is VehicleStatus and status.topic == "fmu/out/vehicle_status_v1"
    assert status.waiting_for(VehicleStatus(2, 2)) == "offboard mode, nav_state is 2"
    assert status.waiting_for(VehicleStatus(14, 1)) == "the autopilot to be armed"
    assert status.waiting_for(VehicleStatus(14, 2)) == ""


def test_px4_of_a_version_whose_topics_have_no_number(px4, monkeypatch):
    monkeypatch.delattr(VehicleStatus, "MESSAGE_VERSION")
    assert Px4Output(Recorded()).status.topic == "fmu/out/vehicle_status"


def test_px4_is_for_drones(px4):
    with pytest.raises(ConfigError, match="vehicle"):
        open_autopilot(Recorded(), CommandOutputConfig(output="px4"), SupervisorConfig(vehicle="ground"))


def test_px4_without_its_messages_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "px4_msgs", None)
    with pytest.raises(ConfigError, match=r"px4_msgs.*github.com/PX4/px4_msgs"):
        Px4Output(Recorded())
