"""The node standard: lifecycle with autostart, typed parameters, diagnostics, clean start and end."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.service import Service
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from edge_worldmodel.core.config import Config, param
from edge_worldmodel.core.errors import ConfigError, EdgeWorldModelError
from edge_worldmodel.nodes.ros import spans
from edge_worldmodel.nodes.ros.health import Health
from edge_worldmodel.nodes.ros.parameters import declare
from edge_worldmodel.nodes.ros.polling import subscribe
from edge_worldmodel.nodes.ros.rclpy_internals import EventsExecutor, RefusingLifecycleNode
from edge_worldmodel.nodes.ros.signals import EndSignal


@dataclass(frozen=True)
class ManagedNodeConfig(Config):
    """Parameters that every lifecycle node has."""

    autostart: bool = param(True, "Configure and activate by itself at start.", read_only=True)
    base_frame: str = param("base_link", "Robot base frame (REP-105).", read_only=True)
    odom_frame: str = param("odom", "Fixed frame of ego motion and plans (REP-105).", read_only=True)


class ManagedNode(RefusingLifecycleNode):
    """A lifecycle node. Subclasses implement ``setup`` and open there all they need with the ``open_`` methods.

    ``teardown`` closes what was opened, the newest first: on clean-up, on shutdown, after a failed ``setup`` and at the
    end of the process. A ``setup`` that raises one of our errors leaves the node unconfigured and alive; the error is
    in the log and in /diagnostics. Message callbacks ask ``listens`` themselves.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.common = declare(self, ManagedNodeConfig)
        self.health = Health(self)
        self.active = False
        self._opened = ExitStack()
        if self.common.autostart:
            # a steady clock: with use_sim_time the node must come up before the first /clock message
            self._autostart = self.create_timer(
                0.0, self._configure_and_activate, clock=Clock(clock_type=ClockType.STEADY_TIME)
            )

    def listens(self) -> bool:
        """Return whether a message that has arrived is to be used; else count that it is left out."""
        if not self.active:
            self.health.note(
                "left_out_while_inactive", f"activate the node: ros2 lifecycle set {self.get_name()} activate"
            )
        return self.active

    def setup(self) -> None:
        """Load and open everything; called on configure."""
        raise NotImplementedError

    def teardown(self) -> None:
        """Close everything that was opened since the last call, the newest first."""
        self._opened.close()

    def on_teardown(self, close: Callable[[], object]) -> None:
        """Have ``close`` called at the next ``teardown``."""
        self._opened.callback(close)

    def open_publisher(self, kind: type, topic: str, qos: QoSProfile) -> Publisher:
        """Return a publisher that lives until ``teardown``."""
        publisher = self.create_publisher(kind, topic, qos)
        self.on_teardown(lambda: self.destroy_publisher(publisher))
        return publisher

    def open_subscription(
        self, kind: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile
    ) -> Subscription:
        """Return a subscription that lives until ``teardown``; what cannot be read is rejected."""
        subscription = subscribe(self, kind, topic, callback, qos, self.health.reject)
        self.on_teardown(lambda: self.destroy_subscription(subscription))
        return subscription

    def open_service(self, kind: type, name: str, callback: Callable[[Any, Any], Any]) -> Service:
        """Return a service that lives until ``teardown``."""
        service = self.create_service(kind, name, callback)
        self.on_teardown(lambda: self.destroy_service(service))
        return service

    def open_timer(self, period_s: float, callback: Callable[[], None], *, autostart: bool = True) -> Timer:
        """Return a timer on the steady clock that lives until ``teardown``; without ``autostart`` reset() starts it."""
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        timer = self.create_timer(period_s, callback, clock=steady, autostart=autostart)
        self.on_teardown(lambda: self.destroy_timer(timer))
        return timer

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``setup``; after an error close what it had opened."""
        result = self._step("configure", self.setup)
        if result is not TransitionCallbackReturn.SUCCESS:
            self.teardown()
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to work."""
        self.active = True
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Pause."""
        self.active = False
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``teardown``."""
        return self._step("clean up", self.teardown)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``teardown`` from any state."""
        self.active = False
        return self._step("shut down", self.teardown)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``teardown`` and return to unconfigured, from where configure may be tried again."""
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


def clock_name(node: Node) -> str:
    """Return which clock a node compares stamps with, for people."""
    return "/clock (use_sim_time)" if node.get_parameter("use_sim_time").value else "this computer's clock"


def never_wait_for_readers() -> None:
    """Drop output that nobody reads.

    A pipe that is full, or a terminal that is held, must not stop a node, nor the threads of the middleware, which
    report unreadable messages. Opened anew, because the flag would else hold for all who share the pipe.
    """
    for stream in (1, 2):
        if stat.S_ISREG(os.fstat(stream).st_mode):
            continue
        with suppress(OSError):  # a socket cannot be opened anew
            anew = os.open(f"/proc/self/fd/{stream}", os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
            os.dup2(anew, stream)
            os.close(anew)


def run(make_node: Callable[[], Node], make_executor: Callable[[], Any] = EventsExecutor) -> None:
    """Start ROS, spin one node on one thread until SIGINT or SIGTERM, and exit the process.

    A configuration that is refused ends it with a one-line message and exit status 1.

    Args:
        make_node: returns the node.
        make_executor: returns the executor that spins it.
    """
    end_signal = EndSignal()
    never_wait_for_readers()
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
    end_signal.then(lambda: executor.shutdown(timeout_sec=0.1))
    try:
        executor.spin()
    finally:
        end_signal.handled()
        if isinstance(node, ManagedNode):
            node.teardown()
        executor.shutdown(timeout_sec=0.5)
        node.destroy_node()
        rclpy.try_shutdown()
        spans.finish()
