"""Who takes the mails, and how many it has taken: the one measure of progress, the same for every contender.

Near and far that is Postfix's smtp-sink; where STARTTLS and AUTH are wanted, `tls_server`. What a contender says of itself is not
asked for: it may say it early, or in batches.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.bench.child import Child
from tests.bench.postfix import Postfix
from tests.processes import eventually, free_port

#: Pending connections: more than any contender has.
_BACKLOG = "100"

#: What smtp-sink says of itself after each mail, over and over in one line.
_SAID = re.compile(rb"mesg= *([0-9]+)\r")


class Receiver(Protocol):
    """A server on 127.0.0.1.

    Attributes:
        port: where it listens.
        name: for the table.
    """

    port: int
    name: str

    def count(self) -> int:
        """Return how many mails it has answered with 250 so far."""


@dataclass
class SmtpSink:
    """Postfix's smtp-sink.

    Its counter goes into a file, of which only the end is ever read: some 20 bytes a mail, and no work of ours.
    """

    port: int
    log: Path
    name: str = "smtp-sink"

    def count(self) -> int:
        with self.log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 200))
            found = _SAID.findall(file.read())
        return int(found[-1]) if found else 0


@dataclass
class TlsServer:
    """Our own server with STARTTLS and AUTH."""

    port: int
    counted: Path
    name: str = "own server with STARTTLS and AUTH"

    def count(self) -> int:
        number: int = struct.unpack("<Q", self.counted.read_bytes())[0]
        return number


@contextmanager
def smtp_sink(postfix: Postfix, folder: Path) -> Iterator[SmtpSink]:
    """Run an smtp-sink."""
    port = free_port()
    # It wants to know who to be when it is root.
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    argv = [str(postfix.sink), *user, "-c", f"127.0.0.1:{port}", _BACKLOG]
    log = folder / "smtp-sink.log"
    with Child(argv, postfix.env, log) as child:
        eventually(lambda: _listens(port) or not child.is_running, "smtp-sink")
        if not child.is_running:
            raise RuntimeError(f"smtp-sink ended: {child.what_it_said()}")
        yield SmtpSink(port, log)


@contextmanager
def tls_server(folder: Path, certificate: Path) -> Iterator[TlsServer]:
    """Run a server with STARTTLS and AUTH."""
    counted = folder / "taken"
    argv = [sys.executable, "-m", "tests.bench.tls_server", str(certificate), str(counted)]
    with Child(argv, {}, folder / "tls-server.log") as child:
        yield TlsServer(int(child.wait_for(r"listening on (\d+)")[1]), counted)


@contextmanager
def far(port: int, folder: Path, seconds: float) -> Iterator[int]:
    """Put a server that far away; yield the port at which it is there."""
    argv = [sys.executable, "-m", "tests.bench.far", str(port), "--seconds", str(seconds)]
    with Child(argv, {}, folder / "far.log") as child:
        yield int(child.wait_for(r"listening on (\d+)")[1])


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
