"""The node standard: lifecycle with autostart, typed parameters, diagnostics, clean start and end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.experimental import EventsExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.errors import ConfigError, EdgeWorldModelError
from edge_worldmodel.nodes.ros import spans
from edge_worldmodel.nodes.ros.health import Health
from edge_worldmodel.nodes.ros.parameters import declare
from edge_worldmodel.nodes.ros.signals import EndSignal

RCLError = rclpy_implementation.RCLError


@dataclass(frozen=True)
class ManagedNodeConfig(Config):
    """Parameters that every lifecycle node has."""

    autostart: bool = param(True, "Configure and activate by itself at start.", read_only=True)
    base_frame: str = param("base_link", "Robot base frame (REP-105).", read_only=True)
    odom_frame: str = param("odom", "Fixed frame of ego motion and plans (REP-105).", read_only=True)


class ManagedNode(LifecycleNode):
    """A lifecycle node whose work is in ``setup``, ``start``, ``stop`` and ``teardown``.

    A step that raises one of our errors leaves the node alive in the state before it, and says why in the
    log and in /diagnostics.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.common = declare(self, ManagedNodeConfig)
        self.health = Health(self)
        self.active = False
        if self.common.autostart:
            # a steady clock: with use_sim_time the node must come up before the first /clock message
            self._autostart = self.create_timer(
                0.0, self._configure_and_activate, clock=Clock(clock_type=ClockType.STEADY_TIME)
            )

    def setup(self) -> None:
        """Load and create everything; called on configure."""

    def start(self) -> None:
        """Begin to work; called on activate."""

    def stop(self) -> None:
        """Pause; called on deactivate."""

    def teardown(self) -> None:
        """Release what ``setup`` created; called on clean-up and at the end."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``setup``."""
        return self._step("configure", self.setup)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``start`` and enable the managed publishers."""
        result = self._step("activate", self.start)
        if result is TransitionCallbackReturn.SUCCESS:
            self.active = True
            result = super().on_activate(state)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``stop`` and silence the managed publishers."""
        self.active = False
        self._step("deactivate", self.stop)
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``teardown``."""
        return self._step("clean up", self.teardown)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``teardown`` from any state."""
        self.active = False
        return self._step("shut down", self.teardown)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything and return to unconfigured, from where configure may be tried again."""
        self.active = False
        return self._step("recover", self.teardown)

    def _step(self, name: str, action: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            with spans.span(name):
                action()
        except EdgeWorldModelError as error:
            self.health.problem("lifecycle", f"cannot {name}: {error}")
            return TransitionCallbackReturn.FAILURE
        self.health.solved("lifecycle")
        return TransitionCallbackReturn.SUCCESS

    def _configure_and_activate(self) -> None:
        self._autostart.cancel()
        if self.trigger_configure() is TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _LifecycleNodeMixin__change_state(self, transition_id: int) -> TransitionCallbackReturn:  # noqa: N802
        """Refuse a transition that the present state does not offer.

        rclpy lets the error of its state machine escape from the service callback, which ends the process;
        its method has no public name, hence the mangled one.
        """
        offered = {transition[0]: transition[1] for transition in self._state_machine.available_transitions}
        if transition_id not in offered:
            state = self._state_machine.current_state[1]
            self.get_logger().error(
                f"transition {transition_id} refused: state '{state}' offers {', '.join(sorted(set(offered.values())))}"
            )
            return TransitionCallbackReturn.FAILURE
        result: TransitionCallbackReturn = super()._LifecycleNodeMixin__change_state(transition_id)
        return result


def run(make_node: Callable[[], Node], make_executor: Callable[[], Any] = EventsExecutor) -> None:
    """Start ROS, spin one node on one thread until it is told to end, and exit the process.

    A configuration that is refused ends it with a one-line message and exit status 1.
    """
    told_to_end = EndSignal()
    # rclpy's own handlers end the context at once, under a callback that may just be publishing
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = make_node()
    except ConfigError as error:
        print(f"refused to start: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        sys.exit(1)
    spans.start(node.get_name())
    executor = make_executor()
    executor.add_node(node)
    told_to_end.then(lambda: executor.shutdown(timeout_sec=0.1))
    try:
        executor.spin()
    finally:
        told_to_end.obeyed()
        if isinstance(node, ManagedNode):
            node.teardown()
        executor.shutdown(timeout_sec=0.5)
        node.destroy_node()
        rclpy.try_shutdown()
        spans.finish()
