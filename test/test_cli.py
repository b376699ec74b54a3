"""The command line: help without ROS, one line where something is missing."""

import argparse
import subprocess
import sys
import types

import pytest

from edge_worldmodel import cli
from edge_worldmodel.core.errors import RecordingError


def verb(monkeypatch, run, needs_ros=False):
    """Put a verb of the test into the table."""
    module = types.ModuleType("verb_of_the_test")
    module.add_arguments = lambda parser: parser.add_argument("--number", type=int, default=0)
    module.run = run
    monkeypatch.setitem(sys.modules, "verb_of_the_test", module)
    monkeypatch.setitem(cli.VERBS, "try", cli.Verb("try it", "verb_of_the_test", needs_ros=needs_ros))


def test_help_lists_every_verb(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert all(f"\n    {name} " in told for name in cli.VERBS)


def test_groups_list_their_verbs(capsys):
    assert cli.main(["evaluate"]) == 2
    assert "forecast" in capsys.readouterr().out


def test_a_verb_reads_its_options_and_gives_its_status(monkeypatch):
    seen = []
    verb(monkeypatch, lambda options: seen.append(options) or 7)
    assert cli.main(["try", "--number", "3"]) == 7
    assert seen == [argparse.Namespace(number=3)]


def test_an_unknown_verb_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["fly"])
    assert ended.value.code == 2
    assert "fly" in capsys.readouterr().err


def test_our_errors_are_one_line(monkeypatch, capsys):
    def fail(options):
        raise RecordingError("'x.bag' is damaged")

    verb(monkeypatch, fail)
    assert cli.main(["try"]) == 2
    assert capsys.readouterr().err == "edge-worldmodel: 'x.bag' is damaged\n"


def test_a_verb_that_needs_ros_says_so(monkeypatch, capsys):
    verb(monkeypatch, lambda options: pytest.fail("must not run"), needs_ros=True)
    monkeypatch.setattr(cli, "ros_is_here", lambda: False)
    assert cli.main(["try"]) == 2
    error = capsys.readouterr().err
    assert "needs ROS 2" in error
    assert error.count("\n") == 1


def test_a_missing_library_is_named(monkeypatch, capsys):
    monkeypatch.setitem(cli.VERBS, "try", cli.Verb("try it", "no_such_library.verb"))
    assert cli.main(["try"]) == 2
    assert "'no_such_library'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["demo", "replay"])
def test_help_works_without_ros(name):
    """In an interpreter that cannot import ROS."""
    blocked = "import sys; sys.modules.update(dict.fromkeys(['rclpy', 'launch', 'ament_index_python'])); "
    code = f"{blocked}from edge_worldmodel import cli; sys.exit(cli.main(['{name}', '--help']))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "--out" in ended.stdout
