"""Stands in for the supervisor: sends commands with their verdicts, good or spoiled; as a program, one to be killed."""

from __future__ import annotations

import sys
import time
from itertools import pairwise

import rclpy
from geometry_msgs.msg import Twist

from edge_worldmodel import msg
from edge_worldmodel.core.command_crc import command_crc
from edge_worldmodel.nodes.ros.qos import LATEST

PERIOD_S = 0.02
SPEED_MPS = 0.4
STEP_MPS = 0.03


class FakeSupervisor:
    """Drives straight on, reaching its speed as slowly as the limits want it; ``spoil`` may change what is sent."""

    def __init__(self, node, prefix="", period_s=PERIOD_S):
        self.commands = node.create_publisher(msg.SupervisorCommand, f"{prefix}supervisor/command", LATEST)
        self.verdicts = node.create_publisher(msg.Verdict, f"{prefix}supervisor/verdict", LATEST)
        self.sequence, self.speed_mps, self.spoil, self.sends = 0, 0.0, None, True
        self.sent_s, self.ticks_s = {}, []
        self.timer = node.create_timer(period_s, self.tick)

    def tick(self):
        if not self.sends:
            return
        self.sequence += 1
        self.ticks_s.append(time.monotonic())
        self.speed_mps = min(self.speed_mps + STEP_MPS, SPEED_MPS)
        command, verdict = self.make()
        if self.spoil is not None:
            self.spoil(command, verdict)
        self.commands.publish(command)
        self.sent_s[round(command.twist.linear.y, 9)] = time.monotonic()  # its verdict is what is still missing
        self.verdicts.publish(verdict)

    def was_silent(self, since_s):
        """Return whether it did not get to send anything for three periods."""
        times_s = [at_s for at_s in self.ticks_s if at_s > since_s]
        return any(after - before > 3.0 * PERIOD_S for before, after in pairwise(times_s))

    def make(self):
        command = msg.SupervisorCommand(sequence=self.sequence)
        now_ns = time.time_ns()
        command.stamp.sec, command.stamp.nanosec = divmod(now_ns, 10**9)
        command.twist.linear.x = self.speed_mps
        command.twist.linear.y = 1e-6 * (self.sequence % 1000)  # to be told apart on the other side
        verdict = msg.Verdict(state=msg.Verdict.ACTIVE, max_forward_mps=0.8, max_reverse_mps=0.3)
        verdict.max_lateral_mps, verdict.max_yaw_rate_radps = 0.1, 1.5
        seal(command, verdict)
        return command, verdict


def seal(command, verdict):
    """Make the checksum right and let the verdict agree."""
    linear, angular = command.twist.linear, command.twist.angular
    twist = (linear.x, linear.y, linear.z, angular.x, angular.y, angular.z)
    command.crc = verdict.command_crc = command_crc(command.sequence, command.stamp.sec, command.stamp.nanosec, twist)
    verdict.sequence, verdict.command = command.sequence, copied(command.twist)
    verdict.header.stamp.sec, verdict.header.stamp.nanosec = command.stamp.sec, command.stamp.nanosec


def copied(twist):
    """Return a twist that does not change with the other."""
    copy = Twist()
    for name in ("linear", "angular"):
        for axis in "xyz":
            setattr(getattr(copy, name), axis, getattr(getattr(twist, name), axis))
    return copy


def main() -> None:
    """Be the supervisor until killed."""
    rclpy.init()
    node = rclpy.create_node("fake_supervisor")
    FakeSupervisor(node, period_s=float(sys.argv[1]) if len(sys.argv) > 1 else PERIOD_S)
    rclpy.spin(node)


if __name__ == "__main__":
    main()
