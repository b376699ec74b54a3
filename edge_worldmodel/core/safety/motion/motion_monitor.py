"""Compares the measured motion with the commands.

It finds a stuck wheel or dead odometry, motion against the command, overspeed, and a stop that does not slow the robot.
The bounds follow from the configuration: the base follows a command within its reaction time, then brakes at least as
hard as configured, and is never faster than commanded by more than the slip and a tolerance.
"""

from __future__ import annotations

from collections import deque

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.faults import Fault, FaultKind
from edge_worldmodel.core.safety.motion.braking import Brakes
from edge_worldmodel.core.time_units import to_nanoseconds, to_seconds
from edge_worldmodel.core.types import Twist

_LASTS_S, _SAMPLES = 0.1, 3
"""A deviation is a fault once it has lasted so long and for so many measurements: bumps and outliers are shorter."""
_STILL_SHARE = 0.2
"""Less than this share of the commanded speed is no motion."""
_NAMES = (("forward", "m/s"), ("sideways", "m/s"), ("turning", "rad/s"))


class _Axis:
    """Speeds that a sound base may have on one axis."""

    def __init__(self, tolerance: float, slip: float) -> None:
        self._tolerance, self._share = tolerance, 1.0 + slip
        self.reset()

    def reset(self) -> None:
        """Begin at the next measured speed."""
        self._high = self._low = self._most = self._least = self._moving = 0.0
        self._begins = True

    def move(self, lowest: float, highest: float, speed: float, step: float) -> None:
        """Take the range of the commands that may be in force, the measured speed, and the least braking in this tick.

        Braking begins at the measured speed, as far as slip explains it.
        """
        if self._begins:
            self._high, self._low, self._begins = max(speed, 0.0), min(speed, 0.0), False
        most, least = max(highest, 0.0) * self._share, min(lowest, 0.0) * self._share
        self._high = max(min(max(speed, highest, 0.0), most), self._high - step)
        self._low = min(max(min(speed, lowest, 0.0), least), self._low + step)
        self._most, self._least = max(self._high, most), min(self._low, least)
        # Motors may speed up half as hard as the base brakes.
        slow_step = 0.5 * step
        expected = max(lowest, 0.0) + min(highest, 0.0)
        if expected > 0.0 > self._low or expected < 0.0 < self._high:
            expected = 0.0  # The base still brakes from the other direction.
        if abs(expected) > abs(self._moving):
            expected = self._moving + min(max(expected - self._moving, -slow_step), slow_step)
        self._moving = expected

    def problem(self, speed: float) -> str:
        """Return how a measured speed deviates; empty if it does not."""
        if abs(self._moving) > self._tolerance and abs(speed) < _STILL_SHARE * abs(self._moving):
            return "does not follow the command"
        if self._least - self._tolerance <= speed <= self._most + self._tolerance:
            return ""
        if self._high <= 0.0 <= self._low:
            return "moves although it is commanded to stand"
        if speed * (self._high + self._low) < 0.0:
            return "moves against the command"
        return "is faster than commanded"


class MotionMonitor:
    """Finds motion that does not follow from the commands.

    Call ``note_command`` with the command in force and then ``fault``, once in each tick.

    Args:
        config: reaction time, decelerations, slip and tolerances.
    """

    def __init__(self, config: SupervisorConfig) -> None:
        forward, turning = config.motion_tolerances
        # An axis without commands is not watched. A car turns as it steers, which may lag behind more than it brakes.
        watched = (True, config.max_lateral_mps > 0.0, config.max_curvature_radpm == 0.0)
        self._axes = tuple(
            (axis, _Axis(tolerance, config.slip))
            for axis, tolerance in enumerate((forward, forward, turning))
            if watched[axis]
        )
        # A command is sent up to a tick after it was decided, and a motion is measured up to a tick later.
        self._window_ns = to_nanoseconds(config.reaction_time_s + 2.0 / config.rate_hz)
        self._commands: deque[tuple[int, tuple[float, float, float]]] = deque([(0, (0.0, 0.0, 0.0))])
        self.reset()

    def reset(self) -> None:
        """Begin at the next measured motion, after a time in which the robot was not watched."""
        self._problem, self._since_ns, self._stamp_ns, self._samples, self._tick_ns = "", 0, 0, 0, 0
        for _, axis in self._axes:
            axis.reset()

    def note_command(self, twist: Twist, steady_ns: int) -> None:
        """Take the command (3,) that was in force until now."""
        vx, vy, rate = twist.tolist()
        self._commands.append((steady_ns, (vx, vy, rate)))

    def fault(self, measured: Twist, stamp_ns: int, age_s: float, steady_ns: int, brakes: Brakes) -> Fault | None:
        """Return the deviation of the measured motion; None if there is none.

        Args:
            measured: measured twist (3,).
            stamp_ns: stamp of the measurement.
            age_s: its age.
            steady_ns: time of the tick.
            brakes: decelerations on the present slope.
        """
        passed_s, self._tick_ns = to_seconds(steady_ns - (self._tick_ns or steady_ns)), steady_ns
        # The last command before the window is still in force at its beginning.
        begin_ns = steady_ns - self._window_ns - to_nanoseconds(max(age_s, 0.0))
        while len(self._commands) > 1 and self._commands[1][0] <= begin_ns:
            self._commands.popleft()
        problem = ""
        for axis, bounds in self._axes:
            commanded = [twist[axis] for _, twist in self._commands]
            braking = brakes.yaw_deceleration_radps2 if axis == 2 else brakes.deceleration(measured)
            lowest, highest, speed = min(commanded), max(commanded), float(measured[axis])
            bounds.move(lowest, highest, speed, braking * passed_s)
            if not problem and (text := bounds.problem(speed)):
                name, unit = _NAMES[axis]
                problem = f"the robot {text}: {name} {speed:.2f} {unit}, commanded {lowest:.2f} to {highest:.2f} {unit}"
        return self._lasting(problem, stamp_ns, steady_ns)

    def _lasting(self, problem: str, stamp_ns: int, steady_ns: int) -> Fault | None:
        """Return a problem as a fault once it has lasted."""
        if not problem:
            self._problem, self._samples = "", 0
            return None
        if not self._problem:
            self._since_ns = steady_ns
        self._samples += stamp_ns != self._stamp_ns
        self._problem, self._stamp_ns = problem, stamp_ns
        lasts = to_seconds(steady_ns - self._since_ns) >= _LASTS_S and self._samples >= _SAMPLES
        return Fault(FaultKind.MOTION, problem) if lasts else None
