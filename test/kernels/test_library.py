"""Compiling and loading the kernels, and the same code under the sanitizers."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import edge_worldmodel.kernels.build as build
import edge_worldmodel.kernels.library as library

SOURCES = Path(build.__file__).resolve().parent
COMPILER = shutil.which("c++") or shutil.which("g++")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")


@pytest.fixture(autouse=True)
def load_again():
    library.load.cache_clear()
    yield
    library.load.cache_clear()


@needs_compiler
def test_no_finding_of_the_address_and_undefined_behaviour_sanitizers(tmp_path):
    program = tmp_path / "kernels_test"
    flags = ["-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"]
    sources = [str(SOURCES / "kernels.cpp"), str(Path(__file__).with_name("kernels_test.cpp"))]
    command = [COMPILER, *flags, "-fno-sanitize-recover=all", f"-I{SOURCES}", *sources, "-o", str(program)]
    subprocess.run(command, check=True, timeout=300)
    run = subprocess.run([str(program)], check=False, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr


@needs_compiler
def test_the_compiled_library_says_where_it_comes_from():
    loaded = library.load()
    assert loaded.library is not None and loaded.text.startswith("compiled (")


def test_without_it_every_function_leaves_the_work_to_numpy(monkeypatch):
    monkeypatch.setenv("EDGE_WORLDMODEL_KERNELS", "numpy")
    point = np.zeros((1, 2))
    assert library.load().text == "numpy (EDGE_WORLDMODEL_KERNELS is set)"
    assert library.sweep_footprint(point, 0.3, np.zeros((1, 4)), 0.0, point, 0.1, 1e-6, 1, True) is None
    assert library.nearest_by_direction(point, np.array([True]), 8) is None
    assert library.mark_near(point, np.arange(10), point, np.zeros(2), 3, 0.3) is None
    assert library.rays(np.zeros(2), point, np.zeros(1)) is None
    assert library.looked_at(point, 0.3, np.zeros(1), np.zeros((0, 8)), 0.1, np.zeros((1, 4)), 0.05, point) is None


def test_no_compiler_is_said_in_words(monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(build.shutil, "which", lambda _: None)
    with pytest.raises(build.NoKernelsError, match="no C.. compiler found; install one"):
        build.compile_kernels(SOURCES, tmp_path)


def test_a_failing_compiler_is_quoted(monkeypatch, tmp_path):
    (tmp_path / "kernels.cpp").write_text("#error broken\n")
    monkeypatch.setenv("CXX", COMPILER or "false")
    with pytest.raises(build.NoKernelsError, match="broken" if COMPILER else "failed"):
        build.compile_kernels(tmp_path, tmp_path / "out")


def test_outside_a_checkout_nothing_is_compiled(tmp_path):
    with pytest.raises(build.NoKernelsError, match="build the package with a C.. compiler"):
        build.checkout_library(tmp_path / "site" / "edge_worldmodel" / "kernels")


@needs_compiler
def test_a_library_of_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(library, "VERSION", 999)
    loaded = library.load()
    assert loaded.library is None and "expected 999; build the package again" in loaded.text


@needs_compiler
def test_a_changed_source_is_compiled_anew(tmp_path):
    sources = tmp_path / "edge_worldmodel" / "kernels"
    sources.mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    for name in (build.SOURCE, build.HEADER):
        shutil.copy(SOURCES / name, sources)
    first = build.checkout_library(sources)
    assert first.is_file() and build.checkout_library(sources) == first
    with (sources / build.SOURCE).open("a") as file:
        file.write("// changed\n")
    assert build.checkout_library(sources) != first
