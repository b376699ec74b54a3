"""The time that one tick may take, and whether it is worth going on."""

from __future__ import annotations

import math
from collections.abc import Callable

from edge_worldmodel.core.errors import EdgeWorldModelError


class LateError(EdgeWorldModelError):
    """A tick took so long that its plan could hardly be followed any more; the plan before it goes on."""


def no_clock() -> float:
    """Stand for a clock where nobody wants to know how long it took."""
    return 0.0


class Budget:
    """Says when to stop denoising, when to stop imagining more maneuvers, and when to give the tick up.

    What the next piece of work will take is judged from the pieces before it in the same tick.
    """

    def __init__(
        self, limit_s: float = math.inf, clock_s: Callable[[], float] = no_clock, give_up_s: float = math.inf
    ) -> None:
        """Begin a tick now.

        Args:
            limit_s: time for the whole tick.
            clock_s: monotonic seconds.
            give_up_s: time after which nobody could use the plan.
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
        """Return whether there is time for another batch, as long as the longest until now; begin it if so."""
        now_s = self._clock_s()
        self._longest_s = max(self._longest_s, now_s - self._batch_began_s)
        self._batch_began_s = now_s
        if now_s - self._began_s + self._longest_s <= self._limit_s:
            return True
        self.cut_short = True
        return False

    def keep_going(self, steps_done: int) -> bool:
        """Return whether there is time for another denoising step, and for decoding, which takes as long as one."""
        step_s = (self._clock_s() - self._batch_began_s) / max(steps_done, 1)
        if self.elapsed_s + 2.0 * step_s <= self._limit_s:
            return True
        self.cut_short = True
        return False

    def check(self) -> None:
        """Raise LateError when nobody could use the plan any more."""
        if self.elapsed_s > self._give_up_s:
            raise LateError(
                f"a tick took {self.elapsed_s:.2f} s until decoding and was given up after {self._give_up_s:.2f} s;"
                " the backend is stalled or the machine is too busy"
            )
