"""The fields of mavros_msgs/State that the supervisor reads, in the bytes of a message that every ROS 2 has."""

from diagnostic_msgs.msg import KeyValue as State

State.mode = property(lambda self: self.value)
State.armed = property(lambda self: "armed" in self.key.split())
State.connected = property(lambda self: "connected" in self.key.split())
