"""Run a launch file with launch.LaunchService, for a ROS 2 without the verb `ros2 launch`; same arguments."""

import argparse
import sys
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource


def main(arguments: list[str] | None = None) -> int:
    """Launch what the command line names.

    Args:
        arguments: The command line after the program name; None takes sys.argv.

    Returns:
        The exit status: 0 when everything ended well, 1 otherwise.
    """
    options = parse(arguments)
    try:
        launch_file, rest = find_launch_file(options.target)
        launch_arguments = parse_launch_arguments(rest)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if options.show_args:
        show_arguments(launch_file)
        return 0
    include = IncludeLaunchDescription(AnyLaunchDescriptionSource(str(launch_file)), launch_arguments=launch_arguments)
    service = LaunchService(argv=rest, noninteractive=options.noninteractive, debug=options.debug)
    service.include_launch_description(LaunchDescription([include]))
    return service.run()


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options; .target holds everything that is not one."""
    parser = argparse.ArgumentParser(
        prog="ros2 launch",
        description="Run a launch file.",
        usage="%(prog)s [-h] [-n] [-d] [-s] (PACKAGE FILE | PATH) [NAME:=VALUE ...]",
    )
    parser.add_argument("-n", "--noninteractive", action="store_true", help="no interactive terminal")
    parser.add_argument("-d", "--debug", action="store_true", help="log what the launch system does")
    parser.add_argument("-s", "--show-args", "--show-arguments", action="store_true", help="show the launch arguments")
    parser.add_argument("target", nargs="+", help="package and launch file, or a path; then NAME:=VALUE")
    return parser.parse_args(arguments)


def find_launch_file(target: list[str]) -> tuple[Path, list[str]]:
    """Return the launch file that the first words name, and the words after it.

    Raises:
        ValueError: There is no such package or file, or the name is not unique in the package.
    """
    if Path(target[0]).is_file():
        return Path(target[0]), target[1:]
    if len(target) < 2 or ":=" in target[1]:
        raise ValueError(f"No launch file at {target[0]!r}; give a path, or a package and a file name.")
    package, name = target[:2]
    try:
        share = Path(get_package_share_directory(package))
    except PackageNotFoundError:
        raise ValueError(f"Package {package!r} is not built or not sourced. Run: make build") from None
    found = sorted(share.rglob(name))
    if len(found) != 1:
        known = ", ".join(path.name for path in sorted(share.rglob("*.launch.*"))) or "none"
        raise ValueError(f"{len(found)} files named {name!r} in package {package!r}; launch files there: {known}.")
    return found[0], target[2:]


def parse_launch_arguments(words: list[str]) -> list[tuple[str, str]]:
    """Return (name, value) of each NAME:=VALUE.

    Raises:
        ValueError: A word is not of that form.
    """
    pairs = [word.split(":=", 1) for word in words]
    for word, pair in zip(words, pairs, strict=True):
        if len(pair) != 2 or not pair[0]:
            raise ValueError(f"Launch argument {word!r} is not of the form NAME:=VALUE.")
    return [(name, value) for name, value in pairs]


def show_arguments(launch_file: Path) -> None:
    """Print each argument of a launch file with its description and default."""
    service = LaunchService(argv=[])
    description = AnyLaunchDescriptionSource(str(launch_file)).get_launch_description(service.context)
    print("Arguments (pass arguments as '<name>:=<value>'):")
    for argument in description.get_launch_arguments():
        print(f"\n    '{argument.name}':\n        {argument.description}")
        if argument.default_value is not None:
            print(f"        (default: {''.join(part.describe() for part in argument.default_value)})")


if __name__ == "__main__":
    sys.exit(main())
