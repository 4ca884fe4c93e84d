"""A backup that is read, from a file or a stream: looked at before its passphrase is asked for, then read once.

Rules:

- Its head is read when it is opened: what is no backup, or one of a newer p2pchat, costs nobody a passphrase.
- Records stream: reading takes no more memory for a longer history, but 16 bytes for each message
  (:mod:`p2pchat.core.backup_reader`).
- Whoever verifies and whoever restores read the same records, and are refused the same ones.

Concurrency: everything here blocks: it is for worker threads, and for programs that do nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from p2pchat.base.errors import Corrupt, StoreError, UsageError
from p2pchat.core.backup import Header, Record, Settings
from p2pchat.core.backup_file import HEAD_BYTES, check_head
from p2pchat.core.backup_reader import BackupReader
from p2pchat.services import config

_PIECE_BYTES: Final = 1 << 18
_RECORDS_A_LOOK: Final = 256  # records between two looks whether the caller is still there


@dataclass(frozen=True, slots=True)
class Summary:
    """A backup: when it was made (unix ms), how long its file is, and how much is in it."""

    made_ms: int
    size_bytes: int
    contacts: int
    messages: int


class Source:
    """A backup whose head was looked at. Made by :func:`opened`.

    Args:
        file: at its beginning.

    Raises:
        Corrupt: it is no backup, or its head is damaged.
        StoreError: it cannot be read, or needs a newer p2pchat.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._head = self._read(HEAD_BYTES)
        self._size_bytes = len(self._head)
        self._header: Header | None = None
        check_head(self._head)

    def records(self, passphrase: bytes) -> Iterator[Record]:
        """What is in it, the header first; once. Only who has taken the last one knows that it is whole.

        Raises:
            WrongPassphrase: FORBIDDEN.
            Corrupt: it is cut short, damaged or altered, contradicts itself, or has settings that this program does
                not know.
            StoreError: it cannot be read.
        """
        reader = BackupReader(passphrase)
        yield from self._checked(reader, self._head)
        while piece := self._read(_PIECE_BYTES):
            self._size_bytes += len(piece)
            yield from self._checked(reader, piece)
        self._header = reader.finish()

    def check(self, passphrase: bytes, look: Callable[[], None] = lambda: None) -> Summary:
        """Read all of it.

        Args:
            look: called every now and then; what it raises ends the reading.

        Raises:
            WrongPassphrase, Corrupt, StoreError: as :meth:`records`.
        """
        for number, _ in enumerate(self.records(passphrase)):
            if number % _RECORDS_A_LOOK == 0:
                look()
        return self.summary()

    def summary(self) -> Summary:
        """Of what was read to its end."""
        header = self._header
        assert header is not None  # noqa: S101  whoever asks has taken the last record
        return Summary(header.made_ms, self._size_bytes, header.contacts, header.messages)

    def _read(self, size: int) -> bytes:
        """Up to ``size`` bytes, fewer at the end alone."""
        try:
            return self._file.read(size)
        except OSError as error:
            raise _unreadable(error) from error

    @staticmethod
    def _checked(reader: BackupReader, piece: bytes) -> Iterator[Record]:
        for record in reader.feed(piece):
            if isinstance(record, Settings):
                _check_settings(record.toml)
            yield record


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """The backup in the file ``path``.

    Raises:
        Corrupt, StoreError: as :class:`Source`; there is no such file.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe could be waited on for ever
            raise StoreError("The backup cannot be read: it is no file.")
        file = path.open("rb")
    except OSError as error:
        raise _unreadable(error) from error
    with file:
        yield Source(file)


def _check_settings(toml: bytes) -> None:
    try:
        config.check(toml)
    except UsageError:
        raise Corrupt("The backup is damaged, or of a newer p2pchat: its settings are not understood.") from None


def _unreadable(error: OSError) -> StoreError:
    return StoreError(f"The backup cannot be read: {error.strerror}.")
