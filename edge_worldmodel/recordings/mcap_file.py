"""Writes ROS 2 messages into an MCAP file that rosbag2, Foxglove and ``open_recording`` read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from mcap.writer import CompressionType, Writer

_CHUNK_BYTES = 512 * 1024


class McapFile:
    """One MCAP file. After a crash it is readable up to the last chunk of half a megabyte that was full.

    Use it as a context manager, or call ``close``.

    Args:
        path: file to write, replaced when it exists.
        definition: returns the ros2msg definition of a message type 'package/msg/Name' with all types it contains
            (https://mcap.dev/spec/registry#ros2msg).

    Raises:
        OSError: here and in every method, when the file cannot be written.
    """

    def __init__(self, path: Path, definition: Callable[[str], str]) -> None:
        self._definition = definition
        self._file = path.open("wb")
        # lz4 rather than zstd: the recorder shares the robot's processors with everything else
        self._writer = Writer(self._file, chunk_size=_CHUNK_BYTES, compression=CompressionType.LZ4)
        self._writer.start(profile="ros2", library="edge_worldmodel")
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self.messages = 0

    def write(self, topic: str, type_name: str, data: bytes, log_ns: int, qos: str = "") -> None:
        """Append one message.

        Args:
            topic: full name of the topic.
            type_name: type of the message, 'package/msg/Name'.
            data: the message, serialised as CDR.
            log_ns: time under which it is stored.
            qos: rosbag2's ``offered_qos_profiles`` of the topic, in YAML; used at the first message of a topic.

        Raises:
            LookupError: the definition of the message is not known.
        """
        channel = self._channels.get(topic)
        if channel is None:
            metadata = {"offered_qos_profiles": qos} if qos else {}
            channel = self._writer.register_channel(topic, "cdr", self._schema(type_name), metadata)
            self._channels[topic] = channel
        self._writer.add_message(channel, log_time=log_ns, data=data, publish_time=log_ns)
        self._file.flush()  # after a full chunk: its end must not wait in Python's own buffer
        self.messages += 1

    def close(self) -> None:
        """Write the index and close."""
        try:
            self._writer.finish()
        finally:
            self._file.close()

    def __enter__(self) -> McapFile:
        """Return the file."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def _schema(self, type_name: str) -> int:
        if type_name not in self._schemas:
            text = self._definition(type_name).encode()
            self._schemas[type_name] = self._writer.register_schema(type_name, "ros2msg", text)
        return self._schemas[type_name]
