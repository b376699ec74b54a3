"""Every use of rclpy that goes beyond its documented interface, with the reason and the upstream issue.

Checked against rclpy 7.1 (Jazzy). When rclpy is updated, this is the module to read again.
"""

from __future__ import annotations

from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.experimental import EventsExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.subscription import Subscription

__all__ = ["EventsExecutor", "EventsOnly", "NeverExecuted", "RCLError", "RefusingLifecycleNode", "take"]

# EventsExecutor: rclpy.executors.SingleThreadedExecutor rebuilds its wait set for every callback, which costs several
# times the processor time (ros2/rclpy#1389, which added this executor). It is experimental and ignores callback groups
# (ros2/rclpy#1478).

RCLError = rclpy_implementation.RCLError
"""Error of the C layer, raised for example when the context has ended. Its class is not exported; no upstream issue
found."""


def take(subscription: Subscription) -> tuple[Any, dict[str, int]] | None:
    """Take the next waiting message of a subscription without an executor, as rclcpp's ``Subscription::take`` does.

    rclpy offers this only to its executors; no upstream issue found.

    Args:
        subscription: with ``raw=True`` its messages are taken as bytes.

    Returns:
        The message and its info (``source_timestamp`` in ns of the system clock), None when none is waiting.
    """
    with subscription.handle:
        taken: tuple[Any, dict[str, int]] | None = subscription.handle.take_message(
            subscription.msg_type, subscription.raw
        )
    return taken


class NeverExecuted(CallbackGroup):
    """Keeps its subscriptions out of the wait set of an executor; their messages are read with ``take``.

    rclpy cannot leave a callback group out of an executor (ros2/rclpy#850). EventsExecutor ignores this group.
    """

    def can_execute(self, entity: Any) -> bool:
        """Refuse."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Refuse."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Do nothing, as nothing was begun."""


class EventsOnly(CallbackGroup):
    """Executes the events of a subscription (deadline, liveliness) and leaves its messages alone.

    rclpy puts a subscription and its events into the same group; no upstream issue found.
    """

    def can_execute(self, entity: Any) -> bool:
        """Accept events."""
        return not isinstance(entity, Subscription)

    def beginning_execution(self, entity: Any) -> bool:
        """Accept events."""
        return not isinstance(entity, Subscription)

    def ending_execution(self, entity: Any) -> None:
        """Do nothing, as nothing was locked."""


class RefusingLifecycleNode(LifecycleNode):
    """A lifecycle node that refuses a transition which its present state does not offer.

    In rclpy 7.1 such a request to the service ``change_state`` raises out of the service callback and ends the process
    (ros2/rclpy#1209, fixed later by ros2/rclpy#1319). The method to guard is private, so its mangled name is used.
    """

    def _LifecycleNodeMixin__change_state(self, transition_id: int) -> TransitionCallbackReturn:  # noqa: N802
        offered = {transition[0]: transition[1] for transition in self._state_machine.available_transitions}
        if transition_id not in offered:
            state = self._state_machine.current_state[1]
            self.get_logger().error(
                f"transition {transition_id} refused: state '{state}' offers {', '.join(sorted(set(offered.values())))}"
            )
            return TransitionCallbackReturn.FAILURE
        result: TransitionCallbackReturn = super()._LifecycleNodeMixin__change_state(transition_id)
        return result
