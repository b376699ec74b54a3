"""With security:=enforce the real graph drives, and nodes without the right keys get nowhere (docs/security.md)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs the ROS environment: scripts/with-ros pytest")

from ament_index_python.packages import get_packages_with_prefixes  # noqa: E402
from edge_worldmodel.msg import Verdict  # noqa: E402

from edge_worldmodel.nodes.security import security_variables  # noqa: E402

HERE = Path(__file__).parent
MAKE_KEYS = HERE.parents[1] / "scripts" / "make-keys"
CYCLONE = {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
NAMESPACE = "r1"
NOTHING = {"estop": False, "reset": False, "delete_all": False, "plan": False}
STARTED_S = 120.0

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif("rmw_cyclonedds_cpp" not in get_packages_with_prefixes(), reason="needs rmw_cyclonedds_cpp"),
]


def make_keys(folder: Path) -> Path:
    subprocess.run([MAKE_KEYS, folder, "--namespace", NAMESPACE], check=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_keys(tmp_path_factory.mktemp("security") / "keystore")


@pytest.fixture(scope="module")
def other_keystore(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same enclaves, of another authority."""
    return make_keys(tmp_path_factory.mktemp("security") / "other")


@pytest.fixture(scope="module")
def forged_keystore(keystore: Path, other_keystore: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A true identity of the panel, with permissions and governance that another authority has signed."""
    forged = tmp_path_factory.mktemp("security") / "forged"
    shutil.copytree(other_keystore, forged)
    enclave = forged / "enclaves" / NAMESPACE / "panel"
    for name in ("cert.pem", "key.pem", "identity_ca.cert.pem"):
        shutil.copy(keystore / "enclaves" / NAMESPACE / "panel" / name, enclave / name)
    # The permissions of the planner and the operator, for the panel's name.
    policies = forged / "policies"
    shutil.copytree(HERE.parents[1] / "config" / "security", policies)
    rules = "".join((policies / f"{name}.xml").read_text() for name in ("rollout_planner", "operator"))
    profiles = "".join(part.partition("</profiles>")[0] for part in rules.split("<profiles>")[1:])
    panel = policies / "panel.xml"
    head, _, tail = panel.read_text().partition("<profiles>")
    panel.write_text(
        f"{head}<profiles>{profiles.replace('rollout_planner', '*')}</profiles>{tail.partition('</profiles>')[2]}"
    )
    subprocess.run([MAKE_KEYS, forged, "--namespace", NAMESPACE, "--policies", policies], check=True, timeout=120)
    shutil.copy(keystore / "enclaves" / NAMESPACE / "panel" / "identity_ca.cert.pem", enclave)
    return forged


@dataclass(frozen=True)
class Identity:
    """Keys of a participant; without a keystore it has none."""

    keystore: Path | None = None
    enclave: str = ""

    def environment(self) -> dict[str, str]:
        found = {**os.environ, **CYCLONE}
        if self.keystore is not None:
            found |= {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce"}
            found |= {"ROS_SECURITY_KEYSTORE": str(self.keystore)}
            found |= {"ROS_SECURITY_ENCLAVE_OVERRIDE": f"/{NAMESPACE}/{self.enclave}"}
        return found


def probe(identity: Identity, *words: str) -> dict:
    """Run the probe with an identity and return what it found."""
    command = [sys.executable, "-P", str(HERE / "security_probe.py"), *words]
    done = subprocess.run(command, check=False, env=identity.environment(), capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "stderr": done.stderr}


def launch(log: Path, *arguments: str, file: str = "demo.launch.py", **environment: str) -> subprocess.Popen:
    command = ["ros2", "launch", "edge_worldmodel", file, f"namespace:={NAMESPACE}", *arguments]
    with log.open("w") as output:
        return subprocess.Popen(
            command,
            env={**os.environ, **CYCLONE, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def end(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(15.0)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def operator(keystore: Path) -> Identity:
    return Identity(keystore, "operator")


@pytest.fixture(scope="module")
def graph(keystore: Path, operator: Identity, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict]:
    """The simulated robot under enforce, once it plans; what the operator saw."""
    log = tmp_path_factory.mktemp("log") / "launch.txt"
    process = launch(log, "security:=enforce", f"keystore:={keystore}", "backend:=deterministic")
    try:
        seen = probe(operator, "watch", str(STARTED_S))
        yield {**seen, "log": log}
    finally:
        end(process)


@pytest.fixture(scope="module")
def stopped(graph: dict, operator: Identity) -> dict:
    """The same graph after the operator has pressed the emergency stop."""
    assert probe(operator, "press")["press"]
    assert Verdict.ESTOP in probe(operator, "watch", "10")["states"]
    return graph


def test_authorised_nodes_talk(graph: dict):
    assert graph["models"] == ["deterministic"], graph["log"].read_text()[-3000:]
    assert graph["informed"], "the supervisor hears the planner and the sensors"


INTRUDERS = {
    "no keys": ("", ""),
    "operator of another authority": ("other", "operator"),
    "planner of another authority": ("other", "rollout_planner"),
    "an identity without permission": ("ours", "panel"),
    "forged permissions": ("forged", "panel"),
}


@pytest.fixture(scope="module")
def attempts(stopped, operator, keystore, other_keystore, forged_keystore) -> dict[str, dict]:
    """What the intruders reached, all at once, and what the operator saw after that."""
    keystores = {"": None, "ours": keystore, "other": other_keystore, "forged": forged_keystore}
    with ThreadPoolExecutor() as pool:
        started = {
            intruder: pool.submit(probe, Identity(keystores[store], enclave), "attempt")
            for intruder, (store, enclave) in INTRUDERS.items()
        }
    seen = probe(operator, "watch", "10")
    return {"seen": seen, **{intruder: attempt.result() for intruder, attempt in started.items()}}


@pytest.mark.parametrize("intruder", INTRUDERS)
def test_an_unknown_node_gets_nowhere(intruder, attempts):
    found = attempts[intruder]
    assert {name: found[name] for name in NOTHING} == NOTHING, found["stderr"]
    if INTRUDERS[intruder][0] == "forged":
        assert "refused" not in found["stderr"], "its own middleware would let it"


def test_the_graph_does_not_notice_intruders(attempts):
    assert attempts["seen"]["states"] == [Verdict.ESTOP], "nobody released or reset it"
    assert "intruder" not in attempts["seen"]["models"]


def test_those_with_permission_succeed_by_the_same_means(stopped: dict, operator: Identity, keystore: Path):
    found = probe(operator, "attempt")
    assert {name: found[name] for name in NOTHING} == {**NOTHING, "estop": True, "reset": True, "delete_all": True}
    found = probe(Identity(keystore, "rollout_planner"), "attempt")
    assert {name: found[name] for name in NOTHING} == {**NOTHING, "plan": True}


def test_bringup_does_not_start_without_a_keystore(tmp_path: Path):
    log = tmp_path / "launch.txt"
    process = launch(log, "security:=enforce", f"keystore:={tmp_path / 'none'}", file="bringup.launch.py")
    try:
        assert process.wait(90.0) != 0
    finally:
        end(process)
    words = log.read_text()
    assert "process started" not in words
    assert "there is no keystore" in words and "make the keys: scripts/make-keys" in words


ENCLAVES = [f"/{NAMESPACE}/{name}" for name in ("safety_supervisor", "watchdog")]


def refusal(keystore: Path, enclaves: list[str] = ENCLAVES, **environment: str) -> str:
    """Return why security cannot be enforced."""
    with pytest.raises(ValueError, match="security:=enforce") as refused:
        security_variables({**os.environ, **CYCLONE, **environment}, str(keystore), enclaves)
    return str(refused.value)


def test_good_keys_are_accepted(keystore: Path):
    assert security_variables({**os.environ, **CYCLONE}, str(keystore), ENCLAVES)["ROS_SECURITY_STRATEGY"] == "Enforce"


def test_enforce_is_refused_for_a_namespace_without_keys(keystore: Path):
    words = refusal(keystore, ["/r2/perception"])
    assert "has no key for '/r2/perception'" in words and "--namespace 'r2'" in words


def test_enforce_is_refused_when_every_user_may_read_the_keys(tmp_path: Path, other_keystore: Path):
    open_to_all = shutil.copytree(other_keystore, tmp_path / "open")
    open_to_all.chmod(0o755)
    assert f"chmod go= {open_to_all}" in refusal(open_to_all)


def test_enforce_is_refused_with_damaged_keys(tmp_path: Path, keystore: Path):
    damaged = shutil.copytree(keystore, tmp_path / "damaged")
    permissions = damaged / "enclaves" / NAMESPACE / "safety_supervisor" / "permissions.p7s"
    permissions.write_text(permissions.read_text().replace("supervisor/reset", "supervisor/other"))
    words = refusal(damaged)
    assert "rmw_cyclonedds_cpp makes no secure node" in words and "permissions" in words


@pytest.mark.skipif("EDGE_WORLDMODEL_WHEELS" not in os.environ, reason="an installed Fast DDS has security")
def test_enforce_is_refused_by_a_middleware_without_security(keystore: Path):
    words = refusal(keystore, RMW_IMPLEMENTATION="rmw_fastrtps_cpp")
    assert "rmw_fastrtps_cpp makes no secure node" in words and "RMW_IMPLEMENTATION=rmw_cyclonedds_cpp" in words


def test_enforce_is_refused_by_an_unknown_middleware(keystore: Path):
    assert "it is not known whether rmw_zenoh_cpp enforces security" in refusal(
        keystore, RMW_IMPLEMENTATION="rmw_zenoh_cpp"
    )
