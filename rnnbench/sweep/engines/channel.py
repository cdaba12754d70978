"""Carries messages between two processes over a socket pair.

The receiving side never blocks on half a message: a worker that is frozen or killed while it
sends must not freeze the driver with it.
"""

from __future__ import annotations

import pickle
import socket
import struct
import threading
from typing import Any

_HEADER = struct.Struct("!Q")  # length of the pickle that follows


class Channel:
    """One end of a socket pair. `send` may be called from several threads, `receive` from one.

    Attributes:
        closed: whether the other end is gone; what it sent before can still be received.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._sending = threading.Lock()
        self._buffer = bytearray()
        self.closed = False

    def fileno(self) -> int:
        """Return the number of the socket, so that `select` can wait for it."""
        return self._socket.fileno()

    def send(self, message: Any) -> None:
        """Send a message.

        Raises:
            OSError: the other end is gone.
        """
        content = pickle.dumps(message)
        with self._sending:
            self._socket.sendall(_HEADER.pack(len(content)) + content)

    def receive(self, *, wait: bool = False) -> list[Any]:
        """Return the messages that have arrived whole.

        Args:
            wait: block until there is something new, or the other end is gone.
        """
        flags = 0 if wait else socket.MSG_DONTWAIT
        try:
            while not self.closed:
                arrived = self._socket.recv(1 << 16, flags)
                self.closed = not arrived
                self._buffer += arrived
                if wait:
                    break
        except BlockingIOError:
            pass  # nothing more for now
        except ConnectionError:
            self.closed = True
        return self._take_messages()

    def _take_messages(self) -> list[Any]:
        """Take all whole messages out of the buffer."""
        messages = []
        while len(self._buffer) >= _HEADER.size:
            (length,) = _HEADER.unpack_from(self._buffer)
            end = _HEADER.size + length
            if len(self._buffer) < end:
                break
            messages.append(pickle.loads(self._buffer[_HEADER.size : end]))
            del self._buffer[:end]
        return messages

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
