"""scripts/make-keys makes a keystore that others cannot read, with permissions for as much as each node needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
POLICIES = REPOSITORY / "config" / "security"
NODES = {"perception", "latent_cache", "rollout_planner", "safety_supervisor", "watchdog", "recorder", "verdict_view"}
OTHERS = {"sim", "player", "robot", "panel", "operator"}

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the command openssl")


def make_keys(*arguments: str | Path) -> subprocess.CompletedProcess:
    command = [str(REPOSITORY / "scripts" / "make-keys"), *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys") / "keystore"
    done = make_keys(folder, "--namespace", "fleet/r1")
    assert done.returncode == 0, done.stderr
    return folder


def granted(keystore: Path, verb: str, name: str = "fleet/r1/") -> dict[str, set[str]]:
    """Return the DDS topics that each enclave may publish or subscribe to."""
    return {
        path.parent.name: {topic.text or "" for topic in ElementTree.parse(path).findall(f".//{verb}//topic")}
        for path in sorted((keystore / "enclaves" / name).glob("*/permissions.xml"))
    }


def holders(keystore: Path, verb: str, topic: str) -> set[str]:
    return {name for name, topics in granted(keystore, verb).items() if topic in topics}


def test_there_is_an_enclave_for_every_node(keystore: Path):
    assert granted(keystore, "publish").keys() == NODES | OTHERS


def test_only_the_owner_may_read_the_keystore(keystore: Path):
    paths = [keystore, *keystore.rglob("*")]
    assert len(paths) > 80
    assert not [path for path in paths if path.stat().st_mode & 0o077]


def test_each_right_has_few_holders(keystore: Path):
    assert holders(keystore, "publish", "rt/fleet/r1/planner/plan") == {"rollout_planner"}
    assert holders(keystore, "publish", "rt/fleet/r1/supervisor/verdict") == {"safety_supervisor"}
    assert holders(keystore, "publish", "rt/fleet/r1/cmd_vel") <= {"safety_supervisor", "watchdog"}
    assert holders(keystore, "publish", "rt/fleet/r1/estop") == {"panel", "operator"}
    for service in ("supervisor/reset", "supervisor/estop", "latent_cache/delete_all", "*/set_parameters"):
        assert holders(keystore, "publish", f"rq/fleet/r1/{service}Request") == {"operator"}


def test_keys_stay_and_permissions_follow_the_policies(tmp_path: Path):
    policies = shutil.copytree(POLICIES, tmp_path / "policies")
    assert make_keys(tmp_path / "keystore", "--policies", policies).returncode == 0
    enclave = tmp_path / "keystore" / "enclaves" / "panel"
    before = [(enclave / name).read_bytes() for name in ("cert.pem", "key.pem")]
    (policies / "panel.xml").write_text((policies / "panel.xml").read_text().replace("estop<", "red_button<"))
    assert make_keys(tmp_path / "keystore", "--policies", policies).returncode == 0
    assert [(enclave / name).read_bytes() for name in ("cert.pem", "key.pem")] == before
    assert "rt/red_button" in granted(tmp_path / "keystore", "publish", "")["panel"]


def test_signatures_and_certificates_are_of_the_authority(keystore: Path):
    enclave = keystore / "enclaves" / "fleet" / "r1" / "panel"
    authority = keystore / "public" / "ca.cert.pem"
    # Without the libraries of ROS: its wheel brings an OpenSSL that the program does not fit.
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    verify = ["openssl", "verify", "-CAfile", authority, enclave / "cert.pem"]
    subprocess.run(verify, check=True, capture_output=True, env=environment)
    for document in ("permissions", "governance"):
        words = ["openssl", "smime", "-verify", "-text", "-CAfile", authority, "-in", enclave / f"{document}.p7s"]
        subprocess.run(words, check=True, capture_output=True, env=environment)


def test_what_cannot_be_done_is_said(tmp_path: Path):
    assert "holds no governance.xml" in make_keys(tmp_path / "a", "--policies", tmp_path).stderr
    assert make_keys(tmp_path / "b").returncode == 0
    (tmp_path / "b" / "private" / "ca.key.pem").unlink()
    assert "run this where the key of the authority is kept" in make_keys(tmp_path / "b").stderr
    policies = shutil.copytree(POLICIES, tmp_path / "policies")
    text = (policies / "panel.xml").read_text()
    (policies / "panel.xml").write_text(text.replace('publish="ALLOW"', 'publish="DENY"'))
    assert 'publish="DENY"' in make_keys(tmp_path / "c", "--policies", policies).stderr
