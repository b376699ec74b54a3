"""Whether the drive base takes commands in the form in which they are published. DDS does not say so by itself."""

from __future__ import annotations

from rclpy.node import Node

_TYPES = {"twist": "geometry_msgs/msg/Twist", "twist_stamped": "geometry_msgs/msg/TwistStamped"}


def command_type_problem(node: Node, topic: str, output: str) -> str:
    """Return what is wrong when the topic of the drive base is heard in another form only; empty if nothing is.

    Args:
        node: asks who hears the topic.
        topic: whole name of the topic.
        output: form in which the watchdog publishes, "twist" or "twist_stamped".
    """
    heard = {info.topic_type for info in node.get_subscriptions_info_by_topic(topic)}
    if not heard or _TYPES[output] in heard:
        return ""
    other = next((name for name, kind in _TYPES.items() if kind in heard), None)
    remedy = f"launch with command_type:={other}" if other else "convert the commands (docs/robots.md)"
    return f"'{topic}' is published as {_TYPES[output]}, but heard as {', '.join(sorted(heard))} only: {remedy}"
