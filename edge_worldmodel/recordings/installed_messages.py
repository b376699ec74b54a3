"""Message types as they are installed: their definitions, and reading serialised messages of them with rosbags.

rclpy's own message classes take three times as long to fill.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore

FindDefinition = Callable[[str, str], str]
"""(package, message name) to the text of its .msg file."""


def installed_definition(package: str, name: str) -> str:
    """Return the text of a message's .msg file as installed; raises LookupError or OSError without one."""
    from ament_index_python.packages import get_package_share_directory

    return (Path(get_package_share_directory(package)) / "msg" / f"{name}.msg").read_text(encoding="utf-8")


class InstalledMessages:
    """Message types by name, each loaded from its .msg file when it is first needed.

    Args:
        find: returns the text of a .msg file.
    """

    def __init__(self, find: FindDefinition = installed_definition) -> None:
        self._find = find
        self._store = get_typestore(Stores.EMPTY)

    def definition(self, type_name: str) -> str:
        """Return the ros2msg definition of 'package/msg/Name' and of all types it contains.

        Raises:
            LookupError: a type is not installed, or its definition cannot be read.
        """
        self._load(type_name)
        return self._store.generate_msgdef(type_name, ros_version=2)[0]

    def read(self, type_name: str, data: bytes) -> Any:
        """Return the message of type 'package/msg/Name' in CDR bytes; its number arrays are numpy arrays.

        Raises:
            ValueError: the bytes are no such message.
            LookupError: as ``definition``.
        """
        self._load(type_name)
        try:
            return self._store.deserialize_cdr(data, type_name)
        except Exception as error:  # the generated readers fail with any class of error on damaged bytes
            raise ValueError(f"{len(data)} bytes are no {type_name}") from error

    def _load(self, type_name: str) -> None:
        """Register a type and the types it contains."""
        if type_name in self._store.types:
            return
        package, _, name = type_name.split("/")
        try:
            found = get_types_from_msg(self._find(package, name), type_name)
        except (OSError, TypesysError) as error:
            raise LookupError(
                f"no usable definition of message type '{type_name}': build and source the package '{package}'"
            ) from error
        self._store.register(found)
        for _, description in found[type_name][1]:
            if (contained := contained_type(description)) is not None:
                self._load(contained)


def contained_type(description: Any) -> str | None:
    """Return the message type that a field holds, by rosbags' description; None for numbers and strings."""
    kind, detail = description
    if kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        return contained_type(detail[0])
    return str(detail) if kind == Nodetype.NAME else None
