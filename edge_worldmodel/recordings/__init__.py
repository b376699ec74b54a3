"""Recorded sensor data as records free of ROS: ROS 1 bags, ROS 2 bags (sqlite3, MCAP) and CARMEN logs.

The player node publishes them; training and evaluation read them directly.
"""

from __future__ import annotations

from pathlib import Path

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.recordings.bags import BagRecording, bag_files
from edge_worldmodel.recordings.carmen import CarmenRecording, looks_like_carmen
from edge_worldmodel.recordings.records import Recording


def open_recording(path: Path | str) -> Recording:
    """Return the reader of a recording; its format is recognised by the content of the file, not by its name.

    Args:
        path: a ROS 1 bag, a ROS 2 bag folder, a bare .mcap or .db3 file, or a CARMEN log; files may be compressed
            (zstd, gzip, bzip2, xz, lz4).

    Raises:
        RecordingError: there is no such file, it is empty, or it has another format.
    """
    # imported here, so that the package can be imported without the libraries of the compressions
    from edge_worldmodel.recordings.storage import compression

    path = Path(path).expanduser()
    if path.is_dir():
        bag_files(path)
        return BagRecording(path)
    head = compression.read_head(path)
    if not head:
        raise RecordingError(f"'{path}' is empty: nothing was written to it")
    opener = compression.opener_of(head)
    if opener is not open:
        head = compression.read_head(path, opener)
    if head.startswith((compression.ROS1, compression.MCAP, compression.SQLITE)):
        return BagRecording(path)
    if looks_like_carmen(path, opener):
        return CarmenRecording(path, opener)
    reason = compression.remedy(head)
    if reason:
        raise RecordingError(f"'{path}' {reason}")
    raise RecordingError(f"'{path}' is neither a ROS 1 bag nor a ROS 2 bag (sqlite3 or MCAP) nor a CARMEN log")
