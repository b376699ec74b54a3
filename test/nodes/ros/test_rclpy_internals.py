"""Private parts of rclpy are used in one module only."""

import re
from pathlib import Path

import edge_worldmodel

PACKAGE = Path(edge_worldmodel.__file__).parent
PRIVATE = re.compile(r"rclpy\.(impl|experimental)|take_message|_state_machine|_LifecycleNodeMixin|import _rclpy")


def test_private_parts_of_rclpy_are_used_in_one_module():
    users = {path.name for path in (PACKAGE / "nodes").rglob("*.py") if PRIVATE.search(path.read_text())}
    assert users == {"rclpy_internals.py"}
