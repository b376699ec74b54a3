"""The transforms of tf: read, checked and put into a buffer. Transforms that are no pose are rejected before that."""

from __future__ import annotations

from collections.abc import Callable

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage
from tf2_ros import Buffer

from edge_worldmodel.core.errors import InputError
from edge_worldmodel.core.rejection import RejectedInputError
from edge_worldmodel.core.stamps import StampGate
from edge_worldmodel.nodes.ros.convert import MAX_COORDINATE, stamp_from_msg
from edge_worldmodel.nodes.ros.health import Health
from edge_worldmodel.nodes.ros.polling import subscribe

_DEPTH = 100
"""Messages that wait, as of tf2_ros' own listener."""
_UNIT_TOLERANCE = 0.01
"""How far the squared norm of a quaternion may be from 1; tf2 takes no other."""
_MAX_FRAMES, _MAX_TRANSFORMS = 500, 200
"""Frames in all, and transforms of one message: more than robots have, few enough to be read in some milliseconds."""
_LONGEST_NAME = 256


class BadTransformError(InputError):
    """A transform that is no pose of one frame in another."""

    kind = "bad_transform"


class TfInput:
    """Listens to tf and calls ``on_tf`` after each message.

    tf2 keeps the newest stamp of each frame and ignores what is older. After a restart of a driver whose clock begins
    anew, the buffer is emptied, so that the new transforms count.

    Args:
        node: node that subscribes.
        buffer: takes the transforms.
        health: counts those that are rejected.
        on_tf: called after each message.
    """

    def __init__(self, node: Node, buffer: Buffer, health: Health, on_tf: Callable[[], None]) -> None:
        self._node, self._buffer, self._health, self._on_tf = node, buffer, health, on_tf
        self._gates: dict[str, StampGate] = {}
        self._static: dict[str, TransformStamped] = {}
        static_qos = QoSProfile(depth=_DEPTH, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._subscriptions = [
            subscribe(node, TFMessage, "/tf", self.receive, QoSProfile(depth=_DEPTH), health.reject),
            subscribe(node, TFMessage, "/tf_static", self.receive_static, static_qos, health.reject),
        ]

    def close(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def receive(self, message: TFMessage) -> None:
        """Take transforms that change."""
        transforms = self._sound(message)
        restarted = [transform.child_frame_id for transform in transforms if self._jumped_back(transform)]
        if restarted:
            text = f"the stamps of tf frames {restarted[:12]} jumped back: older transforms are dropped"
            self._health.note("tf_restarted", text)
            self._node.get_logger().warning(text)
            self._buffer.clear()
            for transform in self._static.values():
                self._buffer.set_transform_static(transform, "tf")
        for transform in transforms:
            self._buffer.set_transform(transform, "tf")
        self._on_tf()

    def receive_static(self, message: TFMessage) -> None:
        """Take static transforms."""
        for transform in self._sound(message):
            self._static[transform.child_frame_id] = transform
            self._buffer.set_transform_static(transform, "tf")
        self._on_tf()

    def _sound(self, message: TFMessage) -> list[TransformStamped]:
        """Return the transforms of a message that are poses; reject the others."""
        sound: list[TransformStamped] = []
        if len(message.transforms) > _MAX_TRANSFORMS:
            text = f"{len(message.transforms)} transforms in one message: only the first {_MAX_TRANSFORMS} are read"
            self._health.reject(BadTransformError(f"{text}; check the publishers of tf"))
        for transform in message.transforms[:_MAX_TRANSFORMS]:
            if problem := transform_problem(transform) or self._too_many(transform.child_frame_id):
                names = f"from '{transform.header.frame_id[:60]}' to '{transform.child_frame_id[:60]}'"
                self._health.reject(BadTransformError(f"transform {names}: {problem}; check its publisher"))
            else:
                sound.append(transform)
        return sound

    def _too_many(self, frame: str) -> str:
        if frame in self._gates or frame in self._static or len(self._gates) + len(self._static) < _MAX_FRAMES:
            return ""
        return f"over {_MAX_FRAMES} frames"

    def _jumped_back(self, transform: TransformStamped) -> bool:
        gate = self._gates.setdefault(transform.child_frame_id, StampGate())
        before_ns, stamp_ns = gate.last_ns, stamp_from_msg(transform.header.stamp)
        try:
            return gate.admit(stamp_ns, transform.child_frame_id) and stamp_ns < (before_ns or 0)
        except RejectedInputError as error:
            # Usual where two programs publish the same transform; tf2 takes of them what is newer.
            self._health.note("tf_stamps", str(error))
            return False


def transform_problem(transform: TransformStamped) -> str:
    """Return what is wrong with a transform; empty if nothing is."""
    parent, child = transform.header.frame_id.strip("/"), transform.child_frame_id.strip("/")
    if not parent or not child:
        return "a frame has no name"
    if parent == child:
        return "a frame is its own parent"
    if max(len(parent), len(child)) > _LONGEST_NAME:
        return f"the name of a frame has over {_LONGEST_NAME} letters"
    t, q = transform.transform.translation, transform.transform.rotation
    if not all(abs(along) <= MAX_COORDINATE for along in (t.x, t.y, t.z)):
        return f"translation ({t.x:g}, {t.y:g}, {t.z:g}) m is not finite or too large"
    if not abs(q.x * q.x + q.y * q.y + q.z * q.z + q.w * q.w - 1.0) <= _UNIT_TOLERANCE:
        return f"rotation ({q.x:g}, {q.y:g}, {q.z:g}, {q.w:g}) is no unit quaternion"
    return ""
