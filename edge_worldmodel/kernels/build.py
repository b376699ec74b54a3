"""Compiles the kernels where no package build has done it: for ``pip install .`` and for a source checkout."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

LIBRARY = "libedge_worldmodel_kernels.so"
# CMakeLists.txt compiles with the same flags. A contracted a * b + c would round differently from the numpy twins.
FLAGS = ("-std=c++17", "-O2", "-ffp-contract=off", "-fPIC", "-shared", "-Wall", "-Wextra", "-Wconversion", "-Werror")
SOURCE, HEADER = "kernels.cpp", "kernels.h"
_TIMEOUT_S = 120.0


class NoKernelsError(RuntimeError):
    """The kernels cannot be compiled or loaded here; the message says why."""


def compile_kernels(sources: Path, folder: Path) -> Path:
    """Compile the library.

    Args:
        sources: folder of kernels.cpp and kernels.h.
        folder: where to put the library; made if missing.

    Returns:
        Path of the library.

    Raises:
        NoKernelsError: there is no C++ compiler, it failed, or the folder cannot be written.
    """
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise NoKernelsError("no C++ compiler found; install one (apt install g++)")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Moved into place when complete: several processes may compile at the same time.
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch) / LIBRARY
            command = [*compiler.split(), *FLAGS, str(sources / SOURCE), "-o", str(made)]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S)
            return made.replace(folder / LIBRARY)
    except subprocess.CalledProcessError as error:
        raise NoKernelsError(f"{compiler} failed: {error.stderr.strip()[:500]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoKernelsError(f"compiling into {folder} failed: {error}") from error


def checkout_library(sources: Path) -> Path:
    """Return the library of a source checkout, compiled into build/kernels/ on first use and after each change.

    Raises:
        NoKernelsError: the sources are not those of a checkout, or compiling failed.
    """
    repository = sources.parents[1]
    if not (repository / "pyproject.toml").is_file():
        raise NoKernelsError(f"no {LIBRARY} in {sources}; build the package with a C++ compiler")
    parts = [(sources / name).read_bytes() for name in (SOURCE, HEADER)]
    digest = hashlib.sha256(b"\0".join([*parts, " ".join(FLAGS).encode()])).hexdigest()[:16]
    folder = repository / "build" / "kernels" / digest
    return folder / LIBRARY if (folder / LIBRARY).is_file() else compile_kernels(sources, folder)
