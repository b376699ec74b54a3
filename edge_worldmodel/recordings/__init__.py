"""Recorded sensor data as records free of ROS: ROS 1 bags, ROS 2 bags (sqlite3, MCAP) and CARMEN logs.

The player node publishes them; training and evaluation read them directly.
"""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.recordings.bags import BagRecording
from edge_worldmodel.recordings.carmen import CarmenRecording, looks_like_carmen
from edge_worldmodel.recordings.records import Recording

_BAG_MAGIC = (b"#ROSBAG", b"\x89MCAP0\r\n", b"SQLite format 3\0")
_OPENERS = {b"BZh": bz2.open, b"\x1f\x8b": gzip.open}


def open_recording(path: Path | str) -> Recording:
    """Return the reader of a recording; its format is recognised by the content of the file, not by its name.

    Args:
        path: a ROS 1 bag, a ROS 2 bag folder, a bare .mcap or .db3 file, or a CARMEN log (plain, bz2 or gz).

    Raises:
        RecordingError: there is no such file, it is empty, or it has another format.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        if not (path / "metadata.yaml").is_file():
            raise RecordingError(
                f"'{path}' has no metadata.yaml, so it is no ROS 2 bag folder: give the bag file itself"
            )
        return BagRecording(path)
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise RecordingError(f"'{path}' cannot be opened: {error.strerror}") from error
    if not head:
        raise RecordingError(f"'{path}' is empty")
    if head.startswith(_BAG_MAGIC):
        return BagRecording(path)
    opener = next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), open)
    if looks_like_carmen(path, opener):
        return CarmenRecording(path, opener)
    raise RecordingError(f"'{path}' is neither a ROS 1 bag nor a ROS 2 bag (sqlite3 or MCAP) nor a CARMEN log")
