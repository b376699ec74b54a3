"""What holds for the whole code base: import contracts, sizes, names, and one identity in all package files."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from xml.etree import ElementTree

import pytest

import edge_worldmodel

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "edge_worldmodel"
SOURCES = sorted(
    path for folder in ("edge_worldmodel", "launch", "scripts", "test") for path in (REPOSITORY / folder).rglob("*.py")
)
CORE = sorted((PACKAGE / "core").rglob("*.py"))
MAX_FILE_LINES = 400
MAX_MODULES = 15
MAX_FUNCTION_LINES = 60
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
CORE_LIBRARIES = {"cv2", "edge_worldmodel", "numpy", "transforms3d"}
# Time, randomness and IO come to the core as arguments.
OUTSIDE_WORLD = {"datetime", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "shutil"} | {
    "socket", "subprocess", "sys", "tempfile", "threading", "time", "urllib",
}  # fmt: skip


def name_of(path: Path) -> str:
    """Return a readable test id."""
    return str(path.relative_to(REPOSITORY))


def imported_roots(tree: ast.AST) -> Iterator[str]:
    """Yield the top-level package of every import, wherever in the module it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def test_import_contracts_are_kept() -> None:
    pytest.importorskip("importlinter")
    program = "from importlinter.cli import lint_imports_command as lint; lint()"
    environment = {"PYTHONPATH": str(REPOSITORY)}  # the sources, wherever this test runs
    command = [sys.executable, "-c", program, "--no-cache"]
    run = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 broken" in run.stdout


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_core_uses_the_standard_library_and_three_more(path: Path) -> None:
    roots = set(imported_roots(ast.parse(path.read_text())))
    assert roots <= CORE_LIBRARIES | sys.stdlib_module_names
    assert not roots & OUTSIDE_WORLD


def test_only_nodes_import_ros() -> None:
    ros = {"rclpy", "tf2_ros", "rcl_interfaces", "lifecycle_msgs"}
    others = [path for path in SOURCES if PACKAGE in path.parents and PACKAGE / "nodes" not in path.parents]
    assert others
    imported = {name_of(path): ros & set(imported_roots(ast.parse(path.read_text()))) for path in others}
    assert not {path: roots for path, roots in imported.items() if roots}


def imported_modules(path: Path, modules: set[str]) -> set[str]:
    """Return the modules of this package that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= members & modules or {node.module}
    return found & modules


def module_of(path: Path) -> str:
    """Return the dotted name of a file of the package."""
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


def test_modules_do_not_import_each_other_in_circles() -> None:
    paths = {module_of(path): path for path in PACKAGE.rglob("*.py")}
    graph = {name: imported_modules(path, set(paths)) for name, path in paths.items()}
    assert sum(map(len, graph.values())) > len(graph)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"circle: {' <- '.join(error.args[1])}")


def test_folders_stay_small() -> None:
    modules = Counter(path.parent for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
    assert not {name_of(folder): count for folder, count in modules.items() if count > MAX_MODULES}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_and_functions_stay_readable(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MAX_FILE_LINES
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {f.name: f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno - f.lineno + 1 > MAX_FUNCTION_LINES}
    assert not long


def test_modules_are_named_after_what_they_hold() -> None:
    assert not [name_of(path) for path in SOURCES if path.stem in VAGUE_NAMES or path.parent.name in VAGUE_NAMES]


def test_the_package_has_one_identity_in_all_files() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 or newer")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    manifest = ElementTree.parse(REPOSITORY / "package.xml").getroot()
    assert manifest.findtext("name") == project["name"] == edge_worldmodel.__name__
    assert manifest.findtext("version") == edge_worldmodel.__version__
    assert project["dynamic"] == ["version"]
    assert manifest.findtext("license") == project["license"] == "Apache-2.0"
    assert manifest.findtext("description") == project["description"]
    assert (REPOSITORY / "LICENSE").read_text().lstrip().startswith("Apache License")


def test_every_node_and_the_command_line_have_a_program() -> None:
    library = REPOSITORY / "install" / "edge_worldmodel" / "lib"
    if not library.is_dir():
        pytest.skip("not built (make build)")
    programs = {path.name for path in (library / "edge_worldmodel").iterdir()}
    nodes = {path.stem.removesuffix("_node") for path in (PACKAGE / "nodes").rglob("*_node.py") if has_main(path)}
    assert {"perception", "latent_cache", "rollout_planner", "safety_supervisor", "sim"} <= nodes
    assert nodes | {"edge-worldmodel"} <= programs
    assert has_main(PACKAGE / "cli.py")


def has_main(path: Path) -> bool:
    """Return whether a module defines main()."""
    return "main" in {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_versions_are_pinned_exactly() -> None:
    lines = [line for path in (REPOSITORY / "requirements").glob("*.txt") for line in path.read_text().splitlines()]
    requirements = [line.partition("#")[0].strip() for line in lines if line and not line.startswith(("#", "-r "))]
    assert len(requirements) > 50
    assert not [requirement for requirement in requirements if "==" not in requirement]
