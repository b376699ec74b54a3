"""Sends plans to a supervisor and prints the times until the verdicts on them [s], as JSON: plan_latency.py PLANS.

The verdict follows the command in the same tick. Each plan has a risk of its own, by which its verdict is known.
"""

from __future__ import annotations

import json
import sys
import time

import rclpy
from supervised_graph import Source, plan_msg

from edge_worldmodel import msg
from edge_worldmodel.nodes.ros.qos import LATEST

PERIOD_S = 0.04
RISKS = 256
LOST_S = 0.2
"""A plan without a verdict for so long is given up."""


def main() -> None:
    """Measure."""
    plans = int(sys.argv[1])
    rclpy.init()
    node = rclpy.create_node("probe", namespace="/r1")
    source = Source(node)
    source.send["plan"] = None
    publisher = node.create_publisher(msg.Plan, "planner/plan", LATEST)
    sent_s: dict[float, float] = {}
    latencies_s: list[float] = []

    def on_verdict(verdict: msg.Verdict) -> None:
        if verdict.risk in sent_s:
            latencies_s.append(time.perf_counter() - sent_s.pop(verdict.risk))

    node.create_subscription(msg.Verdict, "supervisor/verdict", on_verdict, LATEST)
    count, due_s = 0, time.perf_counter()
    give_up_s = due_s + 60.0 + 4 * PERIOD_S * plans
    while len(latencies_s) < plans and time.perf_counter() < give_up_s:
        now_s = time.perf_counter()
        if now_s >= due_s and (not sent_s or now_s > due_s + LOST_S):
            count, due_s = count + 1, now_s + PERIOD_S
            plan = plan_msg(time.time_ns())
            plan.risk = (count % RISKS) / (4 * RISKS)
            sent_s.clear()
            sent_s[plan.risk] = time.perf_counter()
            publisher.publish(plan)
        rclpy.spin_once(node, timeout_sec=max(0.0, min(PERIOD_S, due_s - time.perf_counter())))
    print(json.dumps(latencies_s))


if __name__ == "__main__":
    main()
