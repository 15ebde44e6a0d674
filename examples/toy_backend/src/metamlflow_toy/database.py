"""Objects in two tables of an SQLite file: their pieces, and the row that makes pieces an object."""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

PIECE = 1024 * 1024
_DAY = 24 * 3600
_PATIENCE_SECONDS = 60  # how long a call waits for other writers
_WRITER = threading.Lock()  # SQLite lets writers poll; those of one process may as well queue
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS objects (key TEXT PRIMARY KEY, upload TEXT, size INTEGER, modified REAL)",
    "CREATE TABLE IF NOT EXISTS pieces (upload TEXT, number INTEGER, at REAL, data BLOB, PRIMARY KEY (upload, number))",
)


class Row(NamedTuple):
    """What the table of objects says of one."""

    key: str
    upload: str
    size: int
    modified: float


class Database:
    """The storage in one file. Each call has a connection of its own, so that threads and forks share none."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def insert(self, key: str, pieces: Iterable[bytes], size: int, *, over: bool = False) -> bool:
        """Store an object, whole or not at all; return False if the key exists, unless it is to go ``over`` that.

        Raises:
            ValueError: the pieces are not ``size`` bytes long together.
        """
        upload, arrived, held = uuid.uuid4().hex, 0, list[bytes]()
        try:
            for number, data in enumerate(pieces):
                if held:  # its own transaction: readers and other writers wait for one MiB, not for all
                    with self._writing() as connection:
                        _insert_piece(connection, upload, number - 1, held.pop())
                held.append(data)
                arrived += len(data)
            if arrived != size:
                raise ValueError(f"{arrived} bytes arrived where {size} were announced")  # noqa: TRY301 (cleans up below)
            with self._writing() as connection:
                for data in held:
                    _insert_piece(connection, upload, (size - 1) // PIECE, data)
                if over:
                    _delete(connection, key)
                row = (key, upload, size, time.time())
                created = connection.execute("INSERT OR IGNORE INTO objects VALUES (?, ?, ?, ?)", row).rowcount == 1
                if not created:
                    connection.execute("DELETE FROM pieces WHERE upload = ?", (upload,))
        except BaseException:
            if arrived > PIECE:
                with self._writing() as connection:
                    connection.execute("DELETE FROM pieces WHERE upload = ?", (upload,))
            raise
        return created

    def find(self, key: str) -> Row:
        """Return an object's row, or raise FileNotFoundError."""
        with self._reading() as connection:
            return self._row(connection, key)

    def read(self, key: str, start: int, end: int | None) -> bytes:
        """Return a range of an object's bytes, or raise FileNotFoundError."""
        with self._reading() as connection:
            row = self._row(connection, key)
            end = row.size if end is None else min(end, row.size)
            if start >= end:
                return b""
            query = "SELECT data FROM pieces WHERE upload = ? AND number BETWEEN ? AND ? ORDER BY number"
            found = connection.execute(query, (row.upload, start // PIECE, (end - 1) // PIECE))
            data = b"".join(piece for (piece,) in found)
        skipped = start // PIECE * PIECE
        return data[start - skipped : end - skipped]

    def below(self, folder: str) -> list[Row]:
        """Return the rows of all keys that begin with ``folder``, which is empty or ends in a slash."""
        with self._reading() as connection:
            query = "SELECT * FROM objects WHERE substr(key, 1, ?) = ?"
            return [Row(*row) for row in connection.execute(query, (len(folder), folder))]

    def remove(self, key: str) -> None:
        """Remove an object, or raise FileNotFoundError."""
        self.find(key)
        with self._writing() as connection:
            _delete(connection, key)

    def sweep(self) -> None:
        """Remove pieces of a day ago or longer that no object names: what killed uploads left behind."""
        with self._writing() as connection:
            query = "DELETE FROM pieces WHERE at < ? AND upload NOT IN (SELECT upload FROM objects)"
            connection.execute(query, (time.time() - _DAY,))

    @staticmethod
    def _row(connection: sqlite3.Connection, key: str) -> Row:
        row = connection.execute("SELECT * FROM objects WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise FileNotFoundError(key)
        return Row(*row)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=_PATIENCE_SECONDS, isolation_level=None)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        if not self.path.is_file():
            raise FileNotFoundError(self.path)  # and connect() would create it
        with closing(self._connect()) as connection:
            connection.execute("BEGIN")  # one view for all queries
            if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'objects'").fetchone():
                raise FileNotFoundError(self.path)  # its first writer is at work
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _WRITER, closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                connection.execute(statement)
            yield connection
            connection.execute("COMMIT")  # without it, closing rolls back


def _delete(connection: sqlite3.Connection, key: str) -> None:
    connection.execute("DELETE FROM pieces WHERE upload IN (SELECT upload FROM objects WHERE key = ?)", (key,))
    connection.execute("DELETE FROM objects WHERE key = ?", (key,))


def _insert_piece(connection: sqlite3.Connection, upload: str, number: int, data: bytes) -> None:
    connection.execute("INSERT INTO pieces VALUES (?, ?, ?, ?)", (upload, number, time.time(), data))
