"""The network between the guests: an Ethernet switch, and what is done to it.

Run as a program it is the switch: guests connect to one Unix socket (their kernels' vector
transport `bess`), whoever gives orders to another. `Switch` is what the tests give orders with.
"""

from __future__ import annotations

import heapq
import selectors
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

_LARGEST = 1 << 17
_BROADCAST = 1
"""The bit of an address' first byte that says that a frame is for more than one."""

_CALL_3 = b"\0\0\0\x02\0\x01\x86\xa3\0\0\0\x03"
_CALL_4 = b"\0\0\0\x02\0\x01\x86\xa3\0\0\0\x04\0\0\0\x01"
"""In a call (RFC 5531): RPC version 2, program 100003, NFS version 3; and 4, a compound."""

_WRITE_3 = b"\0\0\0\x07"
_PUTFH, _WRITE_4 = b"\0\0\0\x16", b"\0\0\0\x26"
_LARGEST_HANDLE = 128


def address(number: int) -> bytes:
    """The Ethernet address of guest `number`."""
    return bytes([2, 0, 0, 0, 0, number])


def is_write(frame: bytes) -> bool:
    """Whether a frame holds the beginning of an NFS WRITE, of version 3 or 4."""
    if _CALL_3 + _WRITE_3 in frame:
        return True
    call = frame.find(_CALL_4)
    at = frame.find(_PUTFH, call) if call >= 0 else -1
    while at >= 0:
        # PUTFH's argument: a length, and so many bytes filled up to a multiple of four.
        size = int.from_bytes(frame[at + 4 : at + 8], "big")
        behind = at + 8 + (size + 3) // 4 * 4
        if 0 < size <= _LARGEST_HANDLE and frame[behind : behind + 4] == _WRITE_4:
            return True
        at = frame.find(_PUTFH, at + 1)
    return False


class Switch:
    """Gives orders to a running switch; each has been carried out when its method returns."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def cut(self, number: int, at_write: bool = False) -> None:
        """Drop all frames from and to a guest: at once, or beginning with its next NFS WRITE."""
        self._order(f"{'cut-at-write' if at_write else 'cut'} {number}")

    def mend(self, number: int) -> None:
        """Let a guest's frames through again."""
        self._order(f"mend {number}")

    def delay(self, seconds: float) -> None:
        """Deliver each frame so much later."""
        self._order(f"delay {seconds}")

    def is_cut(self, number: int) -> bool:
        """Whether a guest is cut off: one to be cut at a write isn't before it."""
        return self._order(f"ask {number}") == "cut"

    def _order(self, text: str) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.settimeout(10)
            connection.connect(str(self._path))
            connection.send(text.encode())
            return connection.recv(100).decode()


class _Switching:
    """The switch itself. Frames that a guest doesn't take fast enough are lost, as on a wire."""

    def __init__(self, guests: str, orders: str) -> None:
        self._selector = selectors.DefaultSelector()
        for path, accept in ((guests, self._connect), (orders, self._obey)):
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            listening.bind(path)
            listening.listen(16)
            self._selector.register(listening, selectors.EVENT_READ, accept)
        self._ports: set[socket.socket] = set()
        self._where: dict[bytes, socket.socket] = {}
        self._cut: set[bytes] = set()
        self._to_cut: set[bytes] = set()
        self._delay = 0.0
        self._late: list[tuple[float, int, bytes]] = []
        self._count = 0

    def run(self) -> None:
        """Pass on frames and take orders, for ever."""
        while True:
            wait = max(0.0, self._late[0][0] - time.monotonic()) if self._late else None
            for key, _ in self._selector.select(wait):
                key.data(key.fileobj)
            while self._late and self._late[0][0] <= time.monotonic():
                self._deliver(heapq.heappop(self._late)[2])

    def _connect(self, listening: socket.socket) -> None:
        port, _ = listening.accept()
        port.setblocking(False)
        port.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self._ports.add(port)
        self._selector.register(port, selectors.EVENT_READ, self._take)

    def _obey(self, listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            word, value = connection.recv(100).decode().split()
            answer = "done"
            if word == "delay":
                self._delay = float(value)
            elif word == "ask":
                answer = "cut" if address(int(value)) in self._cut else "whole"
            else:
                guest = address(int(value))
                self._cut.discard(guest)
                self._to_cut.discard(guest)
                if word != "mend":
                    (self._cut if word == "cut" else self._to_cut).add(guest)
            connection.send(answer.encode())

    def _take(self, port: socket.socket) -> None:
        for _ in range(64):
            try:
                frame = port.recv(_LARGEST)
            except BlockingIOError:
                return
            except OSError:
                frame = b""
            if not frame:
                self._forget(port)
                return
            source = frame[6:12]
            self._where[source] = port
            if source in self._to_cut and is_write(frame):
                self._to_cut.discard(source)
                self._cut.add(source)
            if self._delay:
                self._count += 1
                due = time.monotonic() + self._delay
                heapq.heappush(self._late, (due, self._count, frame))
            else:
                self._deliver(frame)

    def _deliver(self, frame: bytes) -> None:
        to, source = frame[:6], frame[6:12]
        if source in self._cut or to in self._cut:
            return
        origin = self._where.get(source)
        if to[0] & _BROADCAST or to not in self._where:
            off = {self._where.get(guest) for guest in self._cut}
            ports = self._ports - {origin} - off
        else:
            ports = {self._where[to]}
        for port in ports:
            with suppress(OSError):
                port.send(frame)

    def _forget(self, port: socket.socket) -> None:
        self._ports.discard(port)
        self._selector.unregister(port)
        port.close()
        self._where = {guest: where for guest, where in self._where.items() if where is not port}


if __name__ == "__main__":
    _Switching(*sys.argv[1:3]).run()
