"""The /diagnostics of a node: rejected inputs by kind, figures and problems (REP-107)."""

from __future__ import annotations

import functools
import time
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
_LONGEST_REASON = 600
"""In letters; a reason may quote what a message says."""


class Health:
    """Counts, figures and problems of one node, published in /diagnostics at 1 Hz.

    ``rejected`` counts inputs that were not used, ``noted`` those that were used in part or left out on purpose, each
    by kind. ``reasons`` says for each kind why, and what to do.

    Args:
        node: the node that is reported on.
        hardware_id: hardware that the node belongs to, for example the name of the robot.
    """

    def __init__(self, node: Node, hardware_id: str = "none") -> None:
        self._node = node
        self.rejected: Counter[str] = Counter()
        self.noted: Counter[str] = Counter()
        self.reasons: dict[str, str] = {}
        self.figures: dict[str, Any] = {}
        self._problems: dict[str, tuple[bytes, str]] = {}
        self._logged_s: dict[str, float] = {}
        self._updater = Updater(node)
        self._updater.setHardwareID(hardware_id)
        self._updater.add("status", self._report)

    def reject(self, error: Exception) -> None:
        """Count a rejected input and log why."""
        kind = kind_of(error)
        self.rejected[kind] += 1
        self.reasons[kind] = in_words(error)
        self.log_rejection(kind, error, self.rejected[kind])

    def log_rejection(self, kind: str, error: Exception, count: int) -> None:
        """Log why an input is rejected, at most once every few seconds for each kind."""
        now_s = time.monotonic()
        if now_s - self._logged_s.get(kind, -_WARN_EVERY_S) < _WARN_EVERY_S:
            return
        self._logged_s[kind] = now_s
        if not isinstance(error, EdgeWorldModelError):
            self._node.get_logger().error("".join(traceback.format_exception(error)))
        self._node.get_logger().warning(f"input rejected ({kind}, {count} so far): {in_words(error)}")

    def note(self, kind: str, reason: str = "", count: int = 1) -> None:
        """Count inputs that were used in part, or left out on purpose; ``reason`` says why and what to do."""
        kind = kind.lower()
        self.noted[kind] += count
        if reason:
            self.reasons[kind] = reason

    def problem(self, key: str, text: str, level: bytes = DiagnosticStatus.ERROR) -> None:
        """Show a problem under ``key`` until it is solved; the text includes what to do."""
        if self._problems.get(key) != (level, text):
            logger = self._node.get_logger()
            # two calls, because rclpy refuses a call in one place that changes its severity
            if level == DiagnosticStatus.WARN:
                logger.warning(text)
            else:
                logger.error(text)
        self._problems[key] = (level, text)

    def solved(self, key: str) -> None:
        """Remove the problem under ``key``."""
        self._problems.pop(key, None)

    def _report(self, status: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        status.summary(DiagnosticStatus.OK, "running")
        for level, text in self._problems.values():
            status.mergeSummary(level, text)
        status.add("rejected_inputs", str(self.rejected.total()))
        for kind, count in sorted(self.rejected.items()):
            status.add(f"rejected_{kind}", str(count))
        for kind, count in sorted(self.noted.items()):
            status.add(f"noted_{kind}", str(count))
        for kind, reason in sorted(self.reasons.items()):
            status.add(f"why_{kind}", reason)
        for key, value in self.figures.items():
            status.add(key, f"{value:.6g}" if isinstance(value, float) else str(value))
        return status


def kind_of(error: Exception) -> str:
    """Return the kind under which an error is counted."""
    if not isinstance(error, EdgeWorldModelError):
        return "defect"
    kind = getattr(error, "kind", None) or type(error).__name__
    return str(getattr(kind, "name", kind)).lower()


def in_words(error: Exception) -> str:
    """Return an error in words for people; those of Python and of libraries stay in the log."""
    if isinstance(error, EdgeWorldModelError):
        return str(error)[:_LONGEST_REASON]
    return "this program has a defect in its handling of this input: report it with the log, which says where"


def guarded(callback: CallbackT) -> CallbackT:
    """Decorate a message callback of a node so that no exception in it ends the node.

    An unusable input is counted under its kind. Any other exception is a defect of ours: it is logged with its trace
    and counted, and the node goes on. The supervisor then misses the output and stops the robot.
    """
    callback = spanned(callback)

    @functools.wraps(callback)
    def wrapper(self: Any, *args: Any) -> None:
        try:
            callback(self, *args)
        except Exception as error:  # see the docstring
            self.health.reject(error)

    return wrapper  # type: ignore[return-value]
