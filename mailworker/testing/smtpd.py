"""A scripted SMTP server on a real socket, in threads: what a relay can do to its client, on demand and on record.

    with ScriptedServer(Script(rcpt={"a@example.com": ["450 4.2.0 busy"]}, dot=[OK, DROP])) as server:
        ...                                    # talk to server.host, server.port
        server.wait_for(1)                     # the accepted transactions, as soon as there is one
        assert server.messages[0].subject == "Hello"
        assert server.sessions[0].verbs[-1] == "QUIT"

It answers what `mailworker.testing.script` says and records sessions and transactions; it judges nothing. `script(rcpt=...)` writes
a new one at any time. Waits are on a condition; one that ends without its event is an AssertionError that says what is
there instead. `python -m mailworker.testing` runs it as a process.
"""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from functools import update_wrapper
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self, TypeVar

from mailworker.testing.connection import Connection
from mailworker.testing.received import ReceivedMessage
from mailworker.testing.record import ServerSession, ServerTransaction
from mailworker.testing.script import Script

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from types import TracebackType

__all__ = ["ScriptedServer", "ServerSession", "ServerTransaction"]

#: Seconds that a wait lasts at most: far longer than anything that is waited for takes on a busy machine.
WAIT = 30.0


P = ParamSpec("P")
S = TypeVar("S")
V = TypeVar("V")


def _taking_what(make: Callable[P, V]) -> Callable[[Callable[[S, V], None]], Callable[Concatenate[S, P], None]]:
    """Return a decorator: a method of one value takes the arguments, names and types included, that the value is made of."""

    def decorate(method: Callable[[S, V], None]) -> Callable[Concatenate[S, P], None]:
        def taking(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
            method(self, make(*args, **kwargs))

        update_wrapper(taking, method)
        return taking

    return decorate


class ScriptedServer:
    """A server; a context manager that listens inside and has ended every connection and thread after.

    Args:
        script: how it behaves; friendly in everything if left out.
        tls: certificate for STARTTLS, which is offered then, or for implicit TLS.
        implicit_tls: TLS from the first byte.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.

    Attributes:
        behaviour: how it behaves from the next command on; `script()` sets it.
        sessions: every connection so far, in the order in which they came.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        if implicit_tls and tls is None:
            raise ValueError("implicit_tls is on without tls; expected an ssl.SSLContext with a certificate")
        self.behaviour = script or Script()
        self.sessions: list[ServerSession] = []
        self.tls = tls
        self.implicit_tls = implicit_tls
        self.host = host
        self.port = port
        self._changed = threading.Condition()
        self._connections: list[Connection] = []
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self._most = 0

    @_taking_what(Script)
    def script(self, script: Script) -> None:
        """Behave like this from the next command on; what is not named is friendly again.

        Args:
            script: the attributes of `Script`, by their names: `server.script(rcpt={"a@example.com": "450 4.2.0 busy"})`.

        Raises:
            TypeError: a script has no attribute of that name.
        """
        self.behaviour = script

    def start(self) -> Self:
        """Listen; `host` and `port` say where."""
        self._listener = socket.create_server((self.host, self.port))
        self.host, self.port = self._listener.getsockname()[:2]
        self._run(self._accept, "smtpd")
        return self

    def stop(self) -> None:
        """Stop listening, end every connection, wait for every thread."""
        self.close_port()
        while True:
            with self._changed:
                connections, threads = list(self._connections), self._threads
                self._threads = []
            if not threads:
                return
            for connection in connections:
                connection.channel.stop()
            for thread in threads:
                thread.join(WAIT)

    def close_port(self) -> None:
        """Refuse new connections from now on; those that are open stay."""
        listener, self._listener = self._listener, None
        if listener is not None:
            # A thread that waits in accept() is not woken by close() alone.
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # What it has seen.

    @property
    def transactions(self) -> list[ServerTransaction]:
        """Every transaction whose MAIL was accepted, session by session."""
        with self._changed:
            return [transaction for session in self.sessions for transaction in session.transactions]

    @property
    def accepted(self) -> list[ServerTransaction]:
        """The transactions whose final dot got a 2xx."""
        return [transaction for transaction in self.transactions if transaction.accepted]

    @property
    def messages(self) -> list[ReceivedMessage]:
        """What it has accepted, parsed: subject, addresses, text, HTML, attachments."""
        return [ReceivedMessage(one.sender, tuple(one.recipients), one.content) for one in self.accepted]

    @property
    def complete(self) -> list[ServerTransaction]:
        """The transactions whose final dot was seen, whatever came of them: each may be a copy that somebody gets."""
        return [transaction for transaction in self.transactions if transaction.complete]

    @property
    def connections_open(self) -> int:
        """How many connections are open now."""
        return sum(session.ended_by is None for session in self.sessions)

    @property
    def connections_ever(self) -> int:
        """How many connections there have been."""
        return len(self.sessions)

    @property
    def connections_most(self) -> int:
        """How many connections have been open at one time, those not counted whose client had said QUIT."""
        return self._most

    # Waiting for it.

    def wait_until(self, condition: Callable[[], bool], what: str = "the condition", timeout: float = WAIT) -> None:
        """Wait until a condition on what it has seen is true; looked at after every change.

        Raises:
            AssertionError: it did not come true in `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                raise AssertionError(f"{what} did not come in {timeout:g} s; sessions: {self.sessions}")

    def wait_for(self, count: int, timeout: float = WAIT) -> list[ServerTransaction]:
        """Wait until that many transactions are accepted, and return them."""
        self.wait_until(lambda: len(self.accepted) >= count, f"{count} accepted transactions", timeout)
        return self.accepted

    def wait_for_connections(self, count: int, timeout: float = WAIT) -> None:
        """Wait until that many connections have been made."""
        self.wait_until(lambda: len(self.sessions) >= count, f"{count} connections", timeout)

    def wait_closed(self, timeout: float = WAIT) -> None:
        """Wait until no connection is open."""
        self.wait_until(lambda: self.connections_open == 0, "the end of all connections", timeout)

    def wait_hanging(self, count: int = 1, timeout: float = WAIT) -> None:
        """Wait until that many sessions are in a `Hang`."""
        self.wait_until(lambda: sum(c.is_hanging for c in self._connections) >= count, f"{count} hangs", timeout)

    # Doing something to its clients.

    def release(self) -> None:
        """End the hangs that are on."""
        for connection in list(self._connections):
            connection.channel.release()

    def hang_up(self, farewell: str = "421 4.4.2 idle for too long") -> None:
        """Close every open connection as soon as it is idle, and wait until that is done.

        Args:
            farewell: a reply to say first; "" says nothing.
        """
        with self._changed:
            ending = [connection for connection in self._connections if connection.record.ended_by is None]
        for connection in ending:
            connection.channel.hang_up(farewell)
        self.wait_until(lambda: all(c.record.ended_by is not None for c in ending), "the end of idle connections")

    # Within.

    def changed(self, change: Callable[[], object]) -> None:
        """Make a change to a record and tell those who wait."""
        with self._changed:
            change()
            self._changed.notify_all()

    def _accept(self) -> None:
        while (listener := self._listener) is not None:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changed:
                record = ServerSession(len(self.sessions) + 1)
                connection = Connection(self, sock, record)
                self.sessions.append(record)
                self._connections.append(connection)
                self._most = max(self._most, sum(map(_is_in_use, self.sessions)))
                self._changed.notify_all()
            self._run(connection.run, f"smtpd-{record.number}")

    def _run(self, target: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        with self._changed:
            self._threads.append(thread)
        thread.start()


@contextmanager
def listening(port: int) -> Iterator[ScriptedServer]:
    """Run a friendly server, on this port if it is free, else on another one."""
    server = ScriptedServer(port=port)
    try:
        server.start()
    except OSError:
        server = ScriptedServer().start()
    try:
        yield server
    finally:
        server.stop()


def _is_in_use(session: ServerSession) -> bool:
    return session.ended_by is None and session.verbs[-1:] != ["QUIT"]
