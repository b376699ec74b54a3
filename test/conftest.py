"""For all tests: a ROS graph that nobody else sees, and the recorded data where it is there."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_worldmodel.nodes.discovery import PROFILES, RANGE, discovery_variables

try:
    # Before rclpy: a ROS library folder may carry another OpenSSL.
    import ssl  # noqa: F401

    import domain_coordinator
except ImportError:  # without ROS, as for training
    domain_coordinator = None

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("EDGE_WORLDMODEL_DATA", REPOSITORY.parent / "shared" / "data"))
_at_end = contextlib.ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Take a ROS domain that no other test run on this machine has, before any node is made."""
    if domain_coordinator is not None:
        domain = _at_end.enter_context(domain_coordinator.domain_id())
        os.environ["ROS_DOMAIN_ID"] = str(domain)
        for name in (RANGE, *PROFILES):
            os.environ.pop(name, None)
        os.environ.update(discovery_variables(os.environ, REPOSITORY / "config"))
        # Nodes keep scenes on disk; those of tests must not reach a robot's own.
        os.environ["XDG_STATE_HOME"] = _at_end.enter_context(tempfile.TemporaryDirectory(prefix="edge_worldmodel-"))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the domain back."""
    _at_end.close()


@pytest.fixture
def ros_domain() -> int:
    """The ROS domain of this test run; processes that a test starts inherit it."""
    return int(os.environ["ROS_DOMAIN_ID"])


@pytest.fixture
def shared_data() -> Iterator[Path]:
    """The folder of recorded data; tests that need it are skipped without."""
    if not DATA.is_dir():
        pytest.skip(f"no recorded data in '{DATA}' (set EDGE_WORLDMODEL_DATA)")
    yield DATA
