"""The parameter document says what the code says."""

from __future__ import annotations

from pathlib import Path

from edge_worldmodel.nodes.parameter_table import NODES, table

DOCUMENT = Path(__file__).parents[2] / "docs" / "parameters.md"


def test_the_document_is_up_to_date():
    assert DOCUMENT.read_text() == table(), "run `make docs`"


def test_every_parameter_says_what_it_means():
    rows = [line for line in table().splitlines() if line.startswith("| `")]
    assert len(rows) > 100 and len(NODES) >= 6
    assert all(len(row.split("|")[4].strip()) > 10 for row in rows)
