"""The table in docs/safety.md is the table in the code, and the table keeps its promises."""

import dataclasses
from pathlib import Path

import pytest

from edge_worldmodel.core.safety.config import SupervisorConfig
from edge_worldmodel.core.safety.states import PASSING, TRANSITIONS, WAITING_FOR_PERSON, Condition, State

DOCS = Path(__file__).parents[3] / "docs" / "safety.md"
FAULTS = [condition for condition in Condition if "fault" in condition.value and "no fault" not in condition.value]
FAULTS.append(Condition.ESTOP)


def documented_table():
    rows = [line.strip("| \n").split("|") for line in DOCS.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip(" `") for cell in row] for row in rows]
    header = next(row for row in cells if row[0] == "from")
    start = cells.index(header)
    return {
        (State[row[0]], Condition[name]): State[target]
        for row in cells[start + 1 : start + 1 + len(State)]
        for name, target in zip(header[1:], row[1:], strict=True)
    }


def test_documentation_shows_the_table_of_the_code():
    assert documented_table() == TRANSITIONS


def test_every_pair_is_defined():
    assert set(TRANSITIONS) == {(state, condition) for state in State for condition in Condition}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("condition", FAULTS)
def test_no_fault_leads_to_a_passing_state(state, condition):
    assert TRANSITIONS[state, condition] not in PASSING


@pytest.mark.parametrize("state", sorted(WAITING_FOR_PERSON))
@pytest.mark.parametrize("condition", [c for c in Condition if c is not Condition.RESET])
def test_only_a_reset_leaves_the_states_that_wait_for_a_person(state, condition):
    assert TRANSITIONS[state, condition] in WAITING_FOR_PERSON


@pytest.mark.parametrize("state", sorted(WAITING_FOR_PERSON))
def test_a_reset_starts_over_and_passes_nothing_by_itself(state):
    assert TRANSITIONS[state, Condition.RESET] is State.STARTING


def test_numbers_are_those_of_the_message():
    text = (Path(__file__).parents[3] / "msg" / "Verdict.msg").read_text()
    lines = [line for line in text.splitlines() if line.startswith("uint8 ") and "=" in line]
    constants = dict(line.split()[1].split("=") for line in lines)
    assert constants == {state.name: str(int(state)) for state in State}


def test_documentation_lists_every_parameter_with_its_default():
    section = DOCS.read_text().partition("\n## Parameters\n")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    documented = {row[1].strip(" `"): row[2].strip(" `") for row in rows}
    defaults = {f.name: f.default for f in dataclasses.fields(SupervisorConfig)}
    assert documented == {
        name: str(list(value) if isinstance(value, tuple) else value) for name, value in defaults.items()
    }
