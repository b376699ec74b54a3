"""Checks, before a graph is started, that SROS 2 will be enforced: keystore, keys and middleware. For launch files.

docs/security.md says what is protected and how keys are made.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_MIDDLEWARE = ("rmw_cyclonedds_cpp", "rmw_fastrtps_cpp", "rmw_fastrtps_dynamic_cpp", "rmw_connextdds")
"""Those known to refuse a node without valid keys; another one might ignore the settings."""
_TRIAL = """
import sys, rclpy
for enclave in sys.argv[1:]:
    context = rclpy.Context()
    rclpy.init(args=["--ros-args", "--enclave", enclave], context=context)
    namespace, _, name = enclave.rpartition("/")
    rclpy.create_node(name, namespace=namespace or "/", context=context).destroy_node()
    rclpy.shutdown(context=context)
"""
_TRIAL_S = 60.0


def security_variables(environment: Mapping[str, str], keystore: str, enclaves: Sequence[str]) -> dict[str, str]:
    """Return the environment variables that enforce security.

    Each enclave is tried out with a node that nobody else can see, so damaged or expired keys, and a middleware that
    was built without security, are found now.

    Args:
        environment: of the processes to start.
        keystore: folder made by scripts/make-keys.
        enclaves: full names of the enclaves of the nodes to start.

    Raises:
        ValueError: Something is missing; the message says what to do.
    """
    folder = Path(keystore).expanduser().absolute()
    make = f"make the keys: scripts/make-keys {folder if keystore else 'KEYSTORE'}"
    if not keystore or not folder.is_dir():
        raise ValueError(f"security:=enforce: there is no keystore '{keystore}': give keystore:=FOLDER, or {make}")
    if folder.stat().st_mode & 0o007:
        raise ValueError(f"security:=enforce: every user may enter the keystore: chmod go= {folder}")
    for enclave in enclaves:
        if not (folder / "enclaves" / enclave.lstrip("/") / "key.pem").is_file():
            namespace = enclave.rpartition("/")[0].lstrip("/")
            raise ValueError(
                f"security:=enforce: '{folder}' has no key for '{enclave}': {make} --namespace '{namespace}'"
            )
    variables = {
        "ROS_SECURITY_ENABLE": "true",
        "ROS_SECURITY_STRATEGY": "Enforce",
        "ROS_SECURITY_KEYSTORE": str(folder),
        "ROS_SECURITY_ENCLAVE_OVERRIDE": "",  # it would give all nodes the same enclave
    }
    _try_out({**environment, **variables}, enclaves)
    return variables


def _try_out(environment: Mapping[str, str], enclaves: Sequence[str]) -> None:
    name = environment.get("RMW_IMPLEMENTATION") or "rmw_fastrtps_cpp"
    advice = "Use a middleware with security, for example RMW_IMPLEMENTATION=rmw_cyclonedds_cpp"
    if name not in _MIDDLEWARE:
        raise ValueError(f"security:=enforce: it is not known whether {name} enforces security. {advice}")
    unseen = {**environment, "ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}
    command = [sys.executable, "-P", "-c", _TRIAL, *enclaves]
    try:
        done = subprocess.run(
            command, check=False, env=unseen, capture_output=True, text=True, timeout=_TRIAL_S, cwd=os.sep
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"security:=enforce: {name} made no secure node within {_TRIAL_S:.0f} s") from None
    if done.returncode:
        raise ValueError(f"security:=enforce: {name} makes no secure node: {_reason(done.stderr)}. {advice}")


def _reason(errors: str) -> str:
    """Return the lines that say why, without the traceback and what succeeded."""
    lines = [line.strip() for line in errors.splitlines() if line and not line.startswith(("  ", "Traceback"))]
    told = [line for line in lines if "Found security directory" not in line and "RuntimeWarning" not in line]
    return " | ".join(told) or "no reason given"
