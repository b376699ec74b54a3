"""`pip install .`: the part of the project that needs no ROS. With ROS, use `colcon build`."""

import runpy
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
KERNELS = HERE / "edge_worldmodel" / "kernels"


class BuildWithKernels(build_py):
    """Compiles the kernels beside their Python module; without a compiler their numpy twins run instead."""

    def run(self) -> None:
        """Copy the Python files, then compile."""
        super().run()
        build = runpy.run_path(str(KERNELS / "build.py"))
        try:
            build["compile_kernels"](KERNELS, Path(self.build_lib) / "edge_worldmodel" / "kernels")
        except build["NoKernelsError"] as error:
            print(f"edge_worldmodel: kernels not compiled, numpy runs instead, slower: {error}", file=sys.stderr)


class DistributionWithKernels(Distribution):
    """Names the wheel after its platform."""

    def has_ext_modules(self) -> bool:
        """Return True: the library is compiled for one platform."""
        return True


def shared_files() -> list[tuple[str, list[str]]]:
    """Return the data files that CMakeLists.txt installs, too: (folder below the prefix, files of it)."""
    files = (path.relative_to(HERE) for folder in ("config", "models", "worlds") for path in (HERE / folder).rglob("*"))
    by_folder: dict[str, list[str]] = {}
    for file in sorted(file for file in files if (HERE / file).is_file() and "reference" not in file.parts):
        by_folder.setdefault(f"share/edge_worldmodel/{file.parent}", []).append(str(file))
    return list(by_folder.items())


setup(data_files=shared_files(), cmdclass={"build_py": BuildWithKernels}, distclass=DistributionWithKernels)
