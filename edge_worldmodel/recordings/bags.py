"""Reads ROS 1 bags and ROS 2 bags (sqlite3, MCAP; a folder or one file, also compressed) as records, without ROS."""

from __future__ import annotations

import re
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.recordings.records import Record, WantedTopic, every_topic

if TYPE_CHECKING:
    from edge_worldmodel.recordings.storage.stored import Channel, Damage, Storage

_METADATA = "metadata.yaml"


class BagRecording:
    """A bag as records.

    Args:
        path: a file, or a folder of ROS 2.

    Attributes:
        unread: topics that are not read, and why; complete once ``records`` has ended.
        remarks: for people, on what was left out.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unread: dict[str, str] = {}
        self.remarks: list[str] = []
        self._plain: dict[Path, Path] = {}
        self._folder: TemporaryDirectory[str] | None = None

    def records(self, wanted: WantedTopic = every_topic) -> Iterator[Record]:
        """Yield the records of the wanted topics in the order of recording.

        Raises:
            RecordingError: when all whole messages were yielded: a part of the bag is damaged or missing.
        """
        # imported here, so that the package can be imported without rosbags
        from edge_worldmodel.recordings.decoding import Decoder, UnreadableError
        from edge_worldmodel.recordings.storage.stored import Damage

        damage, decoder, expected = Damage(), Decoder(self.remarks), _Expected(self.path)
        read: Counter[str] = Counter()

        def is_wanted(channel: Channel) -> bool:
            if not self._is_wanted(channel, wanted):
                return False
            # a topic all messages of which are lost counts, too
            read[channel.topic] += 0
            return True

        files = bag_files(self.path)
        for name in missing_files(self.path):
            damage.add(f"its file '{name}' is missing", exact=False)
        for file in files:
            try:
                storage = self._storage(file, damage)
                for message in storage.messages(is_wanted):
                    try:
                        values = decoder.values(message)
                    except UnreadableError as error:
                        damage.add(str(error), 1)
                        continue
                    read[message.channel.topic] += 1
                    for value, stamp_ns in values:
                        yield Record(message.channel.topic.strip("/"), message.log_ns, stamp_ns, value)
            except RecordingError as error:
                if len(files) == 1:
                    raise
                damage.add(str(error), exact=False)
                continue
            _merge(damage, storage.damage)
        promised = expected.missing(read, lambda name: name not in self.unread and wanted(name))
        if promised and not damage.reasons:
            damage.add(f"its files have fewer messages than its {_METADATA} promises", promised)
        if damage.reasons:
            expected.correct(damage, read)
            raise RecordingError(f"'{self.path}' is damaged: {damage.text(read.total())}")

    def _is_wanted(self, channel: Channel, wanted: WantedTopic) -> bool:
        from edge_worldmodel.recordings.decoding import why_unread

        name = channel.topic.strip("/")
        reason = why_unread(channel)
        if reason:
            self.unread[name] = reason
        return not reason and wanted(name)

    def _storage(self, file: Path, damage: Damage) -> Storage:
        from edge_worldmodel.recordings.storage import compression
        from edge_worldmodel.recordings.storage.mcap_storage import McapStorage
        from edge_worldmodel.recordings.storage.ros1_storage import Ros1Storage
        from edge_worldmodel.recordings.storage.sqlite_storage import SqliteStorage

        head = compression.read_head(file)
        opener = compression.opener_of(head)
        if opener is not open:
            plain = self._plain_path(file)
            if not plain.exists() and not compression.decompress_file(file, opener, plain):
                damage.add(f"the compressed file '{file.name}' is cut or damaged", exact=False)
            file, head = plain, compression.read_head(plain)
        kinds: dict[bytes, Any] = {
            compression.ROS1: Ros1Storage,
            compression.MCAP: McapStorage,
            compression.SQLITE: SqliteStorage,
        }
        for magic, kind in kinds.items():
            if head.startswith(magic):
                storage: Storage = kind(file)
                return storage
        raise RecordingError(f"'{file}' {compression.remedy(head) or 'is no bag, or its beginning is lost'}")

    def _plain_path(self, file: Path) -> Path:
        """Return where the decompressed content of a file is, or is to be written."""
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="edge_worldmodel-")
            weakref.finalize(self, self._folder.cleanup)
        return self._plain.setdefault(file, Path(self._folder.name) / f"{len(self._plain)}_{file.name}")


class _Expected:
    """Numbers of messages that the description of a bag folder promises."""

    def __init__(self, path: Path) -> None:
        self._counts: dict[str, int] = {}
        for topic in _metadata(path).get("topics_with_message_count") or ():
            with suppress(KeyError, TypeError, ValueError):
                self._counts[str(topic["topic_metadata"]["name"])] = int(topic["message_count"])

    def missing(self, read: Counter[str], wanted: WantedTopic) -> int:
        """Return how many messages of the wanted topics are promised and were not read."""
        return sum(max(0, n - read[topic]) for topic, n in self._counts.items() if wanted(topic.strip("/")))

    def correct(self, damage: Damage, read: Counter[str]) -> None:
        """Replace an unknown number of lost messages by the one that follows from the description."""
        lost = sum(max(0, self._counts.get(topic, 0) - count) for topic, count in read.items())
        if self._counts and lost >= damage.lost and set(read) <= set(self._counts):
            damage.lost, damage.exact = lost, True


def _merge(damage: Damage, of_file: Damage) -> None:
    for reason in of_file.reasons:
        damage.add(reason)
    damage.lost += of_file.lost
    damage.exact &= of_file.exact


def _metadata(path: Path) -> dict[str, Any]:
    """Return the description of a bag folder; empty without one that can be read."""
    try:
        content = yaml.safe_load((path / _METADATA).read_text(encoding="utf-8"))
        found = content["rosbag2_bagfile_information"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def bag_files(path: Path) -> list[Path]:
    """Return the files of a bag in the order of recording: as its description tells, else by their numbers.

    Raises:
        RecordingError: there is none.
    """
    if not path.is_dir():
        return [path]
    named = _named_files(path)
    present = [path / name for name in named if (path / name).is_file()]
    # a recorder that was killed in a later part has not named it
    parts = {_part(name) for name in named}
    unnamed = [p for p in path.iterdir() if _looks_like_bag(p) and _part(p.name) not in parts]
    later = [p for p in unnamed if _part(p.name)[0] in {bag for bag, _ in parts}]
    present += sorted(later, key=lambda p: _natural(p.name))
    if not present:
        # a recorder that was killed leaves no description, or an empty one
        present = sorted((p for p in path.iterdir() if _looks_like_bag(p)), key=lambda p: _natural(p.name))
    if not present:
        raise RecordingError(
            f"'{path}' has no {_METADATA} that names its files and no .mcap or .db3 file, so it is no ROS 2 bag"
            " folder: give the bag file itself"
        )
    return present


def missing_files(path: Path) -> list[str]:
    """Return the names of the files that the description of a bag folder names and that are not there."""
    return [name for name in _named_files(path) if not (path / name).is_file()] if path.is_dir() else []


def _named_files(path: Path) -> list[str]:
    named = _metadata(path).get("relative_file_paths")
    return [PurePath(str(name)).name for name in named] if isinstance(named, list) else []


def _looks_like_bag(path: Path) -> bool:
    return re.search(r"\.(mcap|db3)(\.\w+)?$", path.name.lower()) is not None and path.is_file()


def _part(name: str) -> tuple[str, str]:
    """Return the name of the bag and the number in the name of a file, 'bag_3.mcap.zstd', both may be empty."""
    found = re.fullmatch(r"(.*?)_?(\d*)(\.mcap|\.db3)(\.\w+)?", name.lower())
    return (found[1], found[2]) if found else (name.lower(), "")


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts 'bag_10' behind 'bag_9'."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
