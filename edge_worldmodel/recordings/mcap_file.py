"""Writes messages as received into an MCAP file that rosbag2, Foxglove and our own readers open."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from mcap.writer import CompressionType, Writer

_SEPARATOR = "=" * 80
_CHUNK_BYTES = 512 * 1024
_FIELD = re.compile(r"^([A-Za-z][\w/]*)(?:<=\d+)?(?:\[[^\]]*\])?\s+[a-z]\w*")
_BUILTIN = {
    "bool", "byte", "char", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64",
    "uint64", "string", "wstring",
}  # fmt: skip

FindDefinition = Callable[[str, str], str]
"""(package, message name) to the text of its .msg file."""


def installed_definition(package: str, name: str) -> str:
    """Return the text of a message's .msg file as installed; raises LookupError or OSError without one."""
    from ament_index_python.packages import get_package_share_directory

    return (Path(get_package_share_directory(package)) / "msg" / f"{name}.msg").read_text(encoding="utf-8")


def message_schema(type_name: str, find: FindDefinition = installed_definition) -> str:
    """Return the ros2msg schema of 'package/msg/Name': its definition and those of all it contains.

    The form is the one of the MCAP registry (https://mcap.dev/spec/registry#ros2msg).
    """
    package, _, name = type_name.split("/")
    todo, seen = [(package, name)], {(package, name)}
    parts: list[str] = []
    while todo:
        package, name = todo.pop(0)
        text = find(package, name)
        head = f"{_SEPARATOR}\nMSG: {package}/{name}\n" if parts else ""
        parts.append(head + text.rstrip() + "\n")
        for inner in _contained(package, text):
            if inner not in seen:
                seen.add(inner)
                todo.append(inner)
    return "".join(parts)


def _contained(package: str, text: str) -> list[tuple[str, str]]:
    """Return (package, name) of the message types that a definition uses."""
    found = []
    for line in text.splitlines():
        match = _FIELD.match(line.split("#", 1)[0].strip())
        if match is None or match[1] in _BUILTIN:
            continue
        words = match[1].split("/")
        found.append((words[0] if len(words) > 1 else package, words[-1]))
    return found


class McapFile:
    """One MCAP file; only a chunk of half a megabyte is held in memory.

    Args:
        path: file to write, replaced when it exists.
        find: where message definitions come from.

    Raises:
        OSError: here and in every method, when the file cannot be written.
    """

    def __init__(self, path: Path, find: FindDefinition = installed_definition) -> None:
        self._find = find
        self._file = path.open("wb")
        # lz4: the recorder shares the robot's processors with everything else
        self._writer = Writer(self._file, chunk_size=_CHUNK_BYTES, compression=CompressionType.LZ4)
        self._writer.start(profile="ros2", library="edge_worldmodel")
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self.messages = 0

    def write(self, topic: str, type_name: str, data: bytes, log_ns: int) -> None:
        """Append one message, its CDR bytes as received."""
        channel = self._channels.get(topic)
        if channel is None:
            channel = self._channels[topic] = self._writer.register_channel(topic, "cdr", self._schema(type_name))
        self._writer.add_message(channel, log_time=log_ns, data=data, publish_time=log_ns)
        self.messages += 1

    def close(self) -> None:
        """Write the index and close; the file is complete only after this."""
        try:
            self._writer.finish()
        finally:
            self._file.close()

    def _schema(self, type_name: str) -> int:
        if type_name not in self._schemas:
            text = message_schema(type_name, self._find).encode()
            self._schemas[type_name] = self._writer.register_schema(type_name, "ros2msg", text)
        return self._schemas[type_name]
