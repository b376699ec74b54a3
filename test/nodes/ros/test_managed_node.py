"""The node standard on the real perception node: lifecycle, parameters, diagnostics, clean end."""

from __future__ import annotations

import signal
import subprocess

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, SetParameters

from ..conftest import Probe, running, stop

pytestmark = pytest.mark.live

NODE = "perception"


def state(probe: Probe) -> int:
    answer = probe.call(GetState, f"{NODE}/get_state", GetState.Request())
    assert answer is not None, "the node does not answer"
    return answer.current_state.id


def change(probe: Probe, transition: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=transition))
    answer = probe.call(ChangeState, f"{NODE}/change_state", request)
    assert answer is not None, "no answer to a transition"
    return answer.success


def test_autostart_activates(probe):
    with running(NODE, backend="deterministic"):
        assert probe.wait(lambda: state(probe) == State.PRIMARY_STATE_ACTIVE, 10.0)


def test_every_transition_from_every_state_leaves_the_node_alive(probe):
    transitions = range(10)
    with running(NODE, backend="deterministic", autostart=False) as process:
        assert state(probe) == State.PRIMARY_STATE_UNCONFIGURED
        for preparation in ((), (Transition.TRANSITION_CONFIGURE,), (Transition.TRANSITION_ACTIVATE,)):
            for transition in preparation:
                assert change(probe, transition)
            before = state(probe)
            for transition in transitions:
                if transition not in _offered(before):
                    assert not change(probe, transition), f"transition {transition} from state {before} was accepted"
                    assert state(probe) == before
        assert process.poll() is None
        assert change(probe, Transition.TRANSITION_DEACTIVATE)
        assert change(probe, Transition.TRANSITION_CLEANUP)
        assert change(probe, Transition.TRANSITION_CONFIGURE), "configure works again after clean-up"


def test_clean_up_closes_what_configure_opened(probe):
    publishers = lambda: probe.node.count_publishers("perception/latent")  # noqa: E731
    listeners = lambda: probe.node.count_subscribers("scan")  # noqa: E731
    with running(NODE, backend="deterministic", autostart=False):
        assert state(probe) == State.PRIMARY_STATE_UNCONFIGURED
        for _ in range(2):
            assert change(probe, Transition.TRANSITION_CONFIGURE)
            assert probe.wait(lambda: publishers() == listeners() == 1, 5.0)
            assert change(probe, Transition.TRANSITION_CLEANUP)
            assert probe.wait(lambda: publishers() == listeners() == 0, 5.0)


def _offered(state_id: int) -> set[int]:
    t = Transition
    return {
        State.PRIMARY_STATE_UNCONFIGURED: {t.TRANSITION_CONFIGURE, t.TRANSITION_UNCONFIGURED_SHUTDOWN},
        State.PRIMARY_STATE_INACTIVE: {
            t.TRANSITION_ACTIVATE, t.TRANSITION_CLEANUP, t.TRANSITION_INACTIVE_SHUTDOWN,
        },
        State.PRIMARY_STATE_ACTIVE: {t.TRANSITION_DEACTIVATE, t.TRANSITION_ACTIVE_SHUTDOWN},
    }[state_id]  # fmt: skip


def test_diagnostics_come_at_one_hertz(probe):
    heard = probe.listen(DiagnosticArray, "/diagnostics")
    with running(NODE, backend="deterministic"):
        assert probe.wait(lambda: len(heard) >= 3, 10.0)
    keys = {value.key for _, array in heard for status in array.status for value in status.values}
    assert "rejected_inputs" in keys


def test_parameters_describe_themselves_and_refuse_at_run_time(probe):
    with running(NODE, backend="deterministic"):
        request = DescribeParameters.Request(names=["base_frame"])
        answer = probe.call(DescribeParameters, f"{NODE}/describe_parameters", request, 10.0)
        assert answer.descriptors[0].description and answer.descriptors[0].read_only
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="other")
        change_request = SetParameters.Request(parameters=[Parameter(name="base_frame", value=value)])
        result = probe.call(SetParameters, f"{NODE}/set_parameters", change_request).results[0]
        assert not result.successful and result.reason


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ends_within_a_second(probe, sent):
    with running(NODE, backend="deterministic") as process:
        assert probe.wait(lambda: state(probe) == State.PRIMARY_STATE_ACTIVE, 10.0)
        # ros2 run itself adds its own start and end to the node's
        assert stop(process, sent) < 1.0


def test_a_bad_start_value_ends_the_node_with_a_message():
    command = ["ros2", "run", "edge_worldmodel", "perception", "--ros-args", "-p", "backend:=foo"]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
    assert result.returncode != 0
    assert "foo" in result.stdout + result.stderr and "onnxruntime" in result.stdout + result.stderr
