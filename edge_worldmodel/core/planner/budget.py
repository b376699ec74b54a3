"""The time that one tick may take."""

from __future__ import annotations

import math
from collections.abc import Callable

from edge_worldmodel.core.errors import EdgeWorldModelError


class LateError(EdgeWorldModelError):
    """A tick took so long that its plan would expire at once; the robot follows the previous plan."""


def no_clock() -> float:
    """Return zero: a clock for ticks whose time is not limited or measured."""
    return 0.0


class Budget:
    """Decides when to stop denoising, when to stop imagining more maneuvers, and when to abandon the tick.

    The time that the next piece of work will take is estimated from the pieces before it in the same tick.

    Attributes:
        cut_short: whether something was left out for lack of time.
    """

    def __init__(
        self, limit_s: float = math.inf, clock_s: Callable[[], float] = no_clock, give_up_s: float = math.inf
    ) -> None:
        """Begin a tick now.

        Args:
            limit_s: time that the whole tick may take.
            clock_s: monotonic seconds.
            give_up_s: time after which the plan would be of no use.
        """
        self._clock_s, self._limit_s, self._give_up_s = clock_s, limit_s, give_up_s
        self._began_s = self._batch_began_s = clock_s()
        self._longest_s = 0.0
        self.cut_short = False

    @property
    def elapsed_s(self) -> float:
        """Return the seconds since the tick began."""
        return self._clock_s() - self._began_s

    def begin_batch(self) -> bool:
        """Begin another batch if there is time for one as long as the longest so far; return whether there is."""
        now_s = self._clock_s()
        self._longest_s = max(self._longest_s, now_s - self._batch_began_s)
        self._batch_began_s = now_s
        if now_s - self._began_s + self._longest_s <= self._limit_s:
            return True
        self.cut_short = True
        return False

    def keep_going(self, steps_done: int) -> bool:
        """Return whether there is time for another denoising step and for decoding, which takes as long as a step."""
        step_s = (self._clock_s() - self._batch_began_s) / max(steps_done, 1)
        if self.elapsed_s + 2.0 * step_s <= self._limit_s:
            return True
        self.cut_short = True
        return False

    def check(self) -> None:
        """Raise LateError when the plan would be of no use any more."""
        if self.elapsed_s > self._give_up_s:
            raise LateError(
                f"a tick took {self.elapsed_s:.2f} s until decoding and was given up after {self._give_up_s:.2f} s;"
                " the backend is stalled or the machine is too busy"
            )
