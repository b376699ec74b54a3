"""What a node tells people about itself: rejected inputs by cause, figures and problems, in /diagnostics."""

from __future__ import annotations

import functools
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import DiagnosticStatusWrapper, Updater
from rclpy.node import Node

from edge_worldmodel.core.errors import EdgeWorldModelError
from edge_worldmodel.nodes.ros.spans import spanned

CallbackT = TypeVar("CallbackT", bound=Callable[..., None])
_WARN_EVERY_S = 5.0


class Health:
    """Counts and figures of one node, published in /diagnostics at 1 Hz (REP-107).

    Args:
        node: the node that it speaks for.
        hardware_id: what the node runs on or for, for example the robot's name.
    """

    def __init__(self, node: Node, hardware_id: str = "none") -> None:
        self._node = node
        self.rejected: Counter[str] = Counter()
        self.noted: Counter[str] = Counter()
        self.figures: dict[str, Any] = {}
        self._problems: dict[str, tuple[bytes, str]] = {}
        self._updater = Updater(node)
        self._updater.setHardwareID(hardware_id)
        self._updater.add("status", self._report)

    def reject(self, error: Exception) -> None:
        """Count one input that could not be used and warn, at most once every few seconds."""
        cause = getattr(error, "kind", None) or type(error).__name__
        cause = str(getattr(cause, "name", cause)).lower()
        self.rejected[cause] += 1
        self._node.get_logger().warning(f"input dropped ({cause}): {error}", throttle_duration_sec=_WARN_EVERY_S)

    def note(self, cause: str) -> None:
        """Count something remarkable about an input that was used all the same."""
        self.noted[cause.lower()] += 1

    def problem(self, key: str, text: str, level: bytes = DiagnosticStatus.ERROR) -> None:
        """Show a problem under ``key`` until it is solved; the text says what to do."""
        if self._problems.get(key) != (level, text):
            logger = self._node.get_logger()
            # Two lines: rclpy refuses one that changes its severity.
            if level == DiagnosticStatus.WARN:
                logger.warning(text)
            else:
                logger.error(text)
        self._problems[key] = (level, text)

    def solved(self, key: str) -> None:
        """Take the problem under ``key`` back."""
        self._problems.pop(key, None)

    def _report(self, status: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        status.summary(DiagnosticStatus.OK, "running")
        for level, text in self._problems.values():
            status.mergeSummary(level, text)
        status.add("rejected_inputs", str(self.rejected.total()))
        for cause, count in sorted(self.rejected.items()):
            status.add(f"rejected_{cause}", str(count))
        for cause, count in sorted(self.noted.items()):
            status.add(f"noted_{cause}", str(count))
        for key, value in self.figures.items():
            status.add(key, f"{value:.6g}" if isinstance(value, float) else str(value))
        return status


def guarded(callback: CallbackT) -> CallbackT:
    """Keep a node method that handles a message from ever ending the node.

    Unusable input is counted under its cause. Anything else is a defect of ours: it is logged with its
    trace and counted, and the node goes on; the supervisor sees the missing output and stops the robot.
    """
    callback = spanned(callback)

    @functools.wraps(callback)
    def wrapper(self: Any, *args: Any) -> None:
        try:
            callback(self, *args)
        except EdgeWorldModelError as error:
            self.health.reject(error)
        except Exception as error:  # the last line of defence, see the docstring
            self.get_logger().error(traceback.format_exc(), throttle_duration_sec=_WARN_EVERY_S)
            self.health.reject(error)

    return wrapper  # type: ignore[return-value]
