"""Reads serialised messages without rclpy's message classes, which take three times as long to fill."""

from __future__ import annotations

from typing import Any

from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from edge_worldmodel.recordings.mcap_file import FindDefinition, installed_definition, message_schema


class MessageReader:
    """Turns CDR bytes into objects with the fields of the message; numbers in arrays come as numpy arrays.

    Args:
        find: where message definitions come from.
    """

    def __init__(self, find: FindDefinition = installed_definition) -> None:
        self._find = find
        self._store = get_typestore(Stores.EMPTY)

    def read(self, type_name: str, data: bytes) -> Any:
        """Return the message of type 'package/msg/Name'.

        Raises:
            ValueError: the bytes are no such message.
        """
        if type_name not in self._store.types:
            found = get_types_from_msg(message_schema(type_name, self._find), type_name)
            self._store.register({name: kind for name, kind in found.items() if name not in self._store.types})
        try:
            return self._store.deserialize_cdr(data, type_name)
        except Exception as error:  # the generated readers fail with whatever the bytes lead them to
            raise ValueError(f"{len(data)} bytes are no {type_name}: {error}") from error
