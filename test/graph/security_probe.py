"""A program of the security test: one participant of the graph, with the identity that its environment gives it.

    security_probe.py attempt   try to command the robot: {"estop": true, "reset": false, ...}
    security_probe.py press     press the emergency stop: {"press": true}
    security_probe.py watch S   listen for at most S seconds, until a verdict tells of a plan and of sensors

It prints its findings as JSON. An attempt has succeeded when a service answered, or a Plan found a subscriber.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable

import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from edge_worldmodel import msg
from edge_worldmodel.nodes.ros.qos import LATEST

PATIENCE_S = 15.0
"""Long: the handshakes with every other participant take seconds on a crowded machine."""
NAMESPACE = "/r1"
SERVICES = {
    "estop": (SetBool, "supervisor/estop", SetBool.Request(data=False)),
    "reset": (Trigger, "supervisor/reset", Trigger.Request()),
    "delete_all": (Trigger, "latent_cache/delete_all", Trigger.Request()),
}
PRESS = {"press": (SetBool, "supervisor/estop", SetBool.Request(data=True))}
SILENT = {
    "start_parameter_services": False,
    "enable_rosout": False,
    "parameter_overrides": [Parameter("start_type_description_service", value=False)],
}
"""A node that needs no permission of its own."""


def wait(node: Node, condition: Callable[[], bool], timeout_s: float) -> bool:
    """Spin until a condition holds; return whether it did in time."""
    deadline_s = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline_s:
        rclpy.spin_once(node, timeout_sec=0.05)
    return condition()


def made(make: Callable, *arguments: object) -> object | None:
    """Return a client or publisher; None where the participant's own middleware refuses it."""
    try:
        return make(*arguments)
    except Exception as error:  # RCLError, which rclpy does not export
        print(f"refused: {error}", file=sys.stderr)
        return None


def attempt(node: Node, services: dict) -> dict[str, bool]:
    """Call services and publish a plan; return which of them got through."""
    clients = {name: made(node.create_client, kind, service) for name, (kind, service, _) in services.items()}
    publisher = made(node.create_publisher, msg.Plan, "planner/plan", LATEST)
    # Sent also where no server is seen, again and again: no request may get anywhere.
    futures: dict[str, list] = {name: [] for name in services}
    found = dict.fromkeys((*services, "plan"), False)
    sent_s = 0.0

    def got_through() -> bool:
        nonlocal sent_s
        if time.monotonic() > sent_s + 1.0:
            sent_s = time.monotonic()
            for name, client in clients.items():
                if client is not None and not found[name]:
                    futures[name].append(client.call_async(services[name][2]))
            if publisher is not None:
                publisher.publish(msg.Plan(model_id="intruder"))
        found.update({name: any(future.done() for future in sent) for name, sent in futures.items()})
        found["plan"] = publisher is not None and publisher.get_subscription_count() > 0
        return all(found.values())

    wait(node, got_through, PATIENCE_S)
    return found


def watch(node: Node, duration_s: float) -> dict:
    """Return what verdicts and plans say."""
    verdicts: list[msg.Verdict] = []
    models: set[str] = set()
    node.create_subscription(msg.Verdict, "supervisor/verdict", verdicts.append, LATEST)
    node.create_subscription(msg.Plan, "planner/plan", lambda m: models.add(m.model_id), LATEST)

    def informed(verdict: msg.Verdict) -> bool:
        return math.isfinite(verdict.plan_age_s) and math.isfinite(verdict.sensor_age_s)

    wait(node, lambda: bool(models) and any(map(informed, verdicts)), duration_s)
    return {
        "states": sorted({verdict.state for verdict in verdicts}),
        "informed": any(map(informed, verdicts)),
        "models": sorted(models),
    }


def main() -> None:
    """Do as the command line says."""
    action, *values = sys.argv[1:]
    rclpy.init(args=[])
    node = rclpy.create_node("probe", namespace=NAMESPACE, **SILENT)
    if action == "watch":
        found = watch(node, float(values[0]))
    else:
        found = attempt(node, {"attempt": SERVICES, "press": PRESS}[action])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
