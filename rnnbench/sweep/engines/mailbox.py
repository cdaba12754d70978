"""Carries messages between machines that share a folder and nothing else.

A mailbox is a file to which one process appends and which one other process reads. Each message is
written by a file that is opened and closed for it: on NFS that makes it visible to whoever opens
the file afterwards ("close-to-open consistency", RFC 7530, section 10.3.1).
"""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path
from typing import Any

_HEADER = struct.Struct("!Q")  # length of the pickle that follows


class Outbox:
    """The end of a mailbox that writes. One thread uses it."""

    def __init__(self, path: Path) -> None:
        self._path, self._end = path, 0
        path.touch()

    def send(self, message: Any) -> None:
        """Append a message, which the disk has when this returns.

        Raises:
            OSError: the folder cannot be written; the message may be sent again.
        """
        content = pickle.dumps(message)
        with open(self._path, "r+b") as file:
            file.truncate(self._end)  # half a message of a failed attempt
            file.seek(self._end)
            file.write(_HEADER.pack(len(content)) + content)
            file.flush()
            os.fsync(file.fileno())
        self._end += _HEADER.size + len(content)


class Inbox:
    """The end of a mailbox that reads. One thread uses it."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0

    def receive(self) -> list[Any]:
        """Return the messages that have arrived whole since the last call; never wait."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._read)
                content = file.read()
        except FileNotFoundError:  # the writer has not begun
            return []
        messages, at = [], 0
        while len(content) - at >= _HEADER.size:
            (length,) = _HEADER.unpack_from(content, at)
            end = at + _HEADER.size + length
            if len(content) < end:
                break  # the rest is still on its way
            messages.append(pickle.loads(content[at + _HEADER.size : end]))
            at = end
        self._read += at
        return messages


class SeatFolder:
    """The folder that a driver and one seat share.

    A seat that is started again, on whatever node, writes a file of its own: what a killed
    one left half written is in no one's way. Messages to it name the start that they are meant for.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def to_seat(self) -> Path:
        """The mailbox from the driver to the seat."""
        return self.path / "to-seat"

    def from_seat(self, start: int) -> Path:
        """Return the mailbox of one start of the seat, counted from 0, to the driver."""
        return self.path / f"from-seat-{start}"

    @property
    def driver(self) -> Path:
        """The file that the driver writes anew as long as it lives."""
        return self.path.parent / "driver-lives"

    def next_start(self) -> int:
        """Return the number of the start that begins now."""
        start = 0
        while self.from_seat(start).exists():
            start += 1
        return start
