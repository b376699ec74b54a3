"""Measures the command timeout of the drive base: how long it goes on by itself after its last command.

The robot drives straight on so slowly that it may touch something, and then nothing is sent to the base until odometry
shows it at rest, for two seconds at most. The slow motion is a plan like any other: all checks of the supervisor hold.
"""

from __future__ import annotations

import math
from dataclasses import replace
from enum import Enum

import numpy as np

from edge_worldmodel.core.geometry import compose
from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.inputs.intake import Instant
from edge_worldmodel.core.safety.states import PASSING
from edge_worldmodel.core.time_units import to_nanoseconds, to_seconds
from edge_worldmodel.core.types import Plan, Pose, Trajectory, Twist, Verdict

_SPEED_MPS = 0.08
LONGEST_S = 2.0
"""A base that goes on for longer has no timeout to rely on."""
_CONFIRM_S, _START_S, _STEADY_S = 10.0, 3.0, 0.3
_REACHED, _STOPPED, _COMMANDED = 0.6, 0.4, 0.9
"""Shares of the slow speed: measured before the silence, measured at rest, and least command during it."""
_TOLERANCE_S = 0.1
_STEP_S, _STEPS = 0.2, 5


class _Phase(Enum):
    IDLE = 0
    ASKED = 1
    DRIVING = 2
    SILENT = 3


class BaseTimeout:
    """One measurement at a time: asked for, confirmed, driven, silent, over.

    Args:
        config: frames and the time until the robot starts.
        declared_s: command timeout that the parameters declare; 0 for unknown.

    Attributes:
        measured_s: result of the last measurement; inf without a stop, NaN if there is none.
        report: result of the last measurement for people; empty before.
        is_good: whether the base stops by itself as declared.
    """

    def __init__(self, config: SupervisorConfig, declared_s: float) -> None:
        self._frame_id = config.odom_frame
        self._speed_mps = min(_SPEED_MPS, config.max_forward_mps)
        self._start_s, self._declared_s = _START_S + config.resume_after_s, declared_s
        self._phase, self._since_ns, self._steady_ns, self._last_command_ns = _Phase.IDLE, 0, 0, 0
        self.measured_s, self.report, self.is_good = math.nan, "", False

    @property
    def is_running(self) -> bool:
        """Whether the robot follows the measurement instead of the planner."""
        return self._phase in (_Phase.DRIVING, _Phase.SILENT)

    def ask(self, hindrance: str, now: Instant) -> tuple[bool, str]:
        """Ask for a measurement; the second call within ten seconds confirms that nobody is in the way.

        Args:
            hindrance: reason why the robot may not be moved now; empty if it may.
            now: time of the call.

        Returns:
            Whether it was accepted, and a text for the person.
        """
        if self.is_running:
            return False, "Refused: a measurement is running."
        if hindrance:
            self._phase = _Phase.IDLE
            return False, f"Refused: {hindrance}."
        if self._phase is _Phase.ASKED and to_seconds(now.steady_ns - self._since_ns) <= _CONFIRM_S:
            self._begin(_Phase.DRIVING, now)
            self._steady_ns, self.measured_s, self.report = now.steady_ns, math.nan, ""
            return True, "The measurement begins. Its result comes in /diagnostics and in the log."
        self._begin(_Phase.ASKED, now)
        return False, (
            f"Not yet: the robot is going to drive straight on at {self._speed_mps:g} m/s for up to"
            f" {self._start_s + LONGEST_S:.0f} s, at the end without commands. Clear 1 m ahead of it, stay at the"
            f" emergency stop, and call again within {_CONFIRM_S:.0f} s to confirm."
        )

    def plan(self, pose: Pose | None, now: Instant) -> Plan | None:
        """Return the plan to follow in this tick, straight on from the present pose (3,); None for the planner's."""
        if not self.is_running or pose is None:
            return None
        ahead_m = self._speed_mps * _STEP_S * np.arange(_STEPS)
        poses = compose(pose, np.stack((ahead_m, np.zeros(_STEPS), np.zeros(_STEPS)), axis=-1))
        trajectory = Trajectory(_STEP_S, poses, np.tile([self._speed_mps, 0.0, 0.0], (_STEPS, 1)))
        valid_until_ns = now.ros_ns + to_nanoseconds(_STEP_S)
        name = "measure the drive base's timeout"
        return Plan(now.ros_ns, self._frame_id, trajectory, valid_until_ns, 0.0, name, name, "", 0)

    def watch(self, verdict: Verdict, measured: Twist | None, watchdog: str, now: Instant) -> Verdict:
        """Take what a tick brought, and return the verdict to publish.

        In the silence it keeps the command that the base is left with, and says that the base hears nothing. When a
        measurement ends, its command is zero.

        Args:
            verdict: verdict of the tick.
            measured: measured twist (3,), None if it cannot be trusted.
            watchdog: reason for which the watchdog commands zero; empty if it does not.
            now: time of the tick.
        """
        if not self.is_running:
            return verdict
        speed_mps = 0.0 if measured is None else abs(float(measured[0]))
        follows = verdict.state in PASSING and float(verdict.command[0]) >= _COMMANDED * self._speed_mps
        if self._phase is _Phase.SILENT:
            hindrance = "" if follows else verdict.reason or "the command changed"
            return self._watch_silence(verdict, speed_mps, hindrance or watchdog, now)
        if not follows or speed_mps < _REACHED * self._speed_mps:
            self._steady_ns = now.steady_ns
        if to_seconds(now.steady_ns - self._steady_ns) >= _STEADY_S:
            self._last_command_ns = now.steady_ns
            self._begin(_Phase.SILENT, now)
        elif to_seconds(now.steady_ns - self._since_ns) > self._start_s:
            text = verdict.reason or f"odometry says {speed_mps:.2f} m/s"
            return self._end(verdict, f"Not measured: the robot did not reach {self._speed_mps:g} m/s ({text}).")
        return verdict

    def _watch_silence(self, verdict: Verdict, speed_mps: float, hindrance: str, now: Instant) -> Verdict:
        silence_s = to_seconds(now.steady_ns - self._last_command_ns)
        if hindrance:
            return self._end(verdict, f"Not measured: stopped after {silence_s:.2f} s of silence ({hindrance}).")
        if speed_mps < _STOPPED * self._speed_mps:
            self.measured_s = silence_s
            return self._end(verdict, self._judge(silence_s))
        if silence_s > LONGEST_S:
            self.measured_s, self.is_good = math.inf, False
            return self._end(
                verdict,
                f"The drive base goes on for more than {LONGEST_S:g} s without commands: set its command timeout (a"
                " cmd_vel_timeout of 0 switches it off), and keep the robot away from people until it is measured.",
            )
        return replace(verdict, silent=True)

    def _judge(self, timeout_s: float) -> str:
        declared_s = self._declared_s
        self.is_good = 0.0 < timeout_s <= declared_s + _TOLERANCE_S
        found = f"The drive base stops {timeout_s:.2f} s after its last command"
        if not declared_s:
            return f"{found}. Set drive_base_timeout_s to this."
        if self.is_good:
            return f"{found}, as drive_base_timeout_s = {declared_s:g} says."
        return f"{found}, but drive_base_timeout_s is {declared_s:g}: correct one of the two."

    def _end(self, verdict: Verdict, report: str) -> Verdict:
        self._phase, self.report = _Phase.IDLE, report
        return replace(verdict, command=np.zeros(3))

    def _begin(self, phase: _Phase, now: Instant) -> None:
        self._phase, self._since_ns = phase, now.steady_ns
