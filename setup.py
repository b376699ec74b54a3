"""`pip install .`: the part of the project that needs no ROS. With ROS, use `colcon build`."""

from pathlib import Path

from setuptools import setup


def shared_files() -> list[tuple[str, list[str]]]:
    """Return the data files that CMakeLists.txt installs, too: (folder below the prefix, files of it)."""
    here = Path(__file__).parent
    files = (path.relative_to(here) for folder in ("config", "models", "worlds") for path in (here / folder).rglob("*"))
    by_folder: dict[str, list[str]] = {}
    for file in sorted(file for file in files if (here / file).is_file() and "reference" not in file.parts):
        by_folder.setdefault(f"share/edge_worldmodel/{file.parent}", []).append(str(file))
    return list(by_folder.items())


setup(data_files=shared_files())
