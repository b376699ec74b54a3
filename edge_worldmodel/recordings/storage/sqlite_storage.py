"""ROS 2 bags in sqlite3 (.db3) of every version, also with a journal beside them, cut or with damaged pages."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from edge_worldmodel.core.errors import RecordingError
from edge_worldmodel.recordings.storage.sqlite_pages import SqlitePages, is_cut
from edge_worldmodel.recordings.storage.stored import Channel, Damage, StoredMessage, Wanted, exists, read_on

_JOURNALS = ("-wal", "-journal")


class SqliteStorage:
    """A .db3 file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damage = Damage()

    def messages(self, wanted: Wanted) -> Iterator[StoredMessage]:
        """Yield the messages of the wanted channels (see ``Storage``).

        Raises:
            RecordingError: the file holds no bag, or its list of topics cannot be read.
        """
        journals = [end for end in _JOURNALS if exists(Path(f"{self._path}{end}"))]
        if not journals:
            yield from self._read(self._path, wanted)
            return
        # SQLite completes a file from its journal by writing to it, therefore to a copy
        with TemporaryDirectory(prefix="edge_worldmodel-") as folder:
            copy = Path(folder) / "bag.db3"
            for end in ("", *journals):
                shutil.copyfile(f"{self._path}{end}", f"{copy}{end}")
            try:
                with closing(sqlite3.connect(copy)) as database:
                    database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            except sqlite3.Error:
                self.damage.add("the journal beside the file cannot be read", exact=False)
            yield from self._read(copy, wanted)

    def _read(self, path: Path, wanted: Wanted) -> Iterator[StoredMessage]:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            # without this SQLite refuses to read anything of a cut file
            database.execute("PRAGMA writable_schema = ON")
            database.text_factory = lambda text: text.decode(errors="replace")
            known = self._channels(database)
            channels = {n: channel for n, channel in known.items() if wanted(channel)}
            if known and not channels:
                return
            columns = [str(row[1]) for row in database.execute("PRAGMA table_info(messages)")]
            if is_cut(path):
                # SQLite would read pages that are missing as zeros
                yield from self._by_page(path, channels, columns)
            else:
                yield from read_on(
                    self._by_index(database, known, channels), lambda: self._by_page(path, channels, columns)
                )

    def _channels(self, database: sqlite3.Connection) -> dict[int, Channel]:
        try:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not {"messages", "topics"} <= tables:
                raise RecordingError(f"'{self._path}' is an SQLite file without the tables of a ROS 2 bag")
            topics = database.execute("SELECT id, name, type, serialization_format FROM topics").fetchall()
        except sqlite3.Error as error:
            raise RecordingError(f"'{self._path}' is damaged: its list of topics cannot be read") from error
        texts = self._definitions(database) if "message_definitions" in tables else {}
        return {
            int(number): Channel(str(topic), str(kind), str(encoding), *texts.get(kind, ("", "")))
            for number, topic, kind, encoding in topics
        }

    def _definitions(self, database: sqlite3.Connection) -> dict[str, tuple[str, str]]:
        """Return the text of each type and its format; they may be damaged, as ours can be used."""
        columns = "topic_type, encoded_message_definition, encoding"
        try:
            rows = database.execute(f"SELECT {columns} FROM message_definitions").fetchall()
        except sqlite3.Error:
            return {}
        return {str(name): (str(text), str(encoding)) for name, text, encoding in rows}

    def _by_index(
        self, database: sqlite3.Connection, known: dict[int, Channel], channels: dict[int, Channel]
    ) -> Iterator[StoredMessage]:
        marks = ",".join("?" * len(channels))
        query = f"SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN ({marks}) ORDER BY timestamp"
        read: Counter[int] = Counter()
        for number, log_ns, data in database.execute(query, list(channels)):
            read[number] += 1
            if not (isinstance(log_ns, int) and isinstance(data, bytes)):
                self.damage.add("a row of the table of messages is damaged", 1)
                continue
            yield StoredMessage(channels[number], log_ns, data)
        counts = _counts(database)
        if any(counts[number] > read[number] for number in channels):
            raise sqlite3.DatabaseError("rows that the index over the times lacks")
        strays = sum(count for number, count in counts.items() if number not in known)
        if strays:
            self.damage.add("the topic of some messages is not in its list of topics", strays)

    def _by_page(self, path: Path, channels: dict[int, Channel], columns: list[str]) -> Iterator[StoredMessage]:
        """Yield the messages whose pages are all there; count the others by the numbers of the rows."""
        if not {"topic_id", "timestamp", "data"} <= set(columns):
            return
        topic_id, timestamp, data = (columns.index(name) for name in ("topic_id", "timestamp", "data"))
        with path.open("rb") as file:
            pages = SqlitePages(file)
            places = []
            numbers = set()
            for place in pages.locations():
                row = pages.row(*place, data=False)
                if row is None or len(row.values) != len(columns) or not _is_message(row.values, topic_id, timestamp):
                    continue
                numbers.add(row.number)
                if row.values[topic_id] in channels:
                    places.append((row.values[timestamp], row.number, place))
            lost = max([pages.highest_row, *numbers]) - len(numbers)
            cut = pages.present < pages.declared
            for log_ns, _, place in sorted(places):
                row = pages.row(*place)
                if row is None or not isinstance(row.values[data], bytes):
                    lost += 1
                    continue
                yield StoredMessage(channels[row.values[topic_id]], log_ns, row.values[data])
            here = f"{pages.present} of {pages.declared} pages are there" if cut else "some of its pages are damaged"
            self.damage.add(f"the file is damaged, {here}", max(lost, 0), exact=not cut and bool(numbers))


def _counts(database: sqlite3.Connection) -> Counter[int]:
    """Return the number of messages by topic, read from the table itself, not from its index over the times."""
    return Counter(dict(database.execute("SELECT topic_id, count(*) FROM messages NOT INDEXED GROUP BY topic_id")))


def _is_message(values: tuple[object, ...], topic_id: int, timestamp: int) -> bool:
    """Return whether a row may be one of the table of messages, the key of which is not stored in the row."""
    return values[0] is None and isinstance(values[topic_id], int) and isinstance(values[timestamp], int)
