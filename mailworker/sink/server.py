"""Takes every mail over SMTP, or refuses it as scripted.

It decides what to answer; what a mail looks like is `received`'s affair, and what the terminal shows `command`'s. It knows no TLS
and no AUTH and is meant for loopback. A mail that cannot be kept is answered with 451, so that the client tries again.
It fails with `SinkError`: aiosmtpd missing, port taken, folder not writable. Speaks through aiosmtpd (extra `demo`),
which is imported only when a sink is started.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fnmatch
import logging
import os
import secrets
import threading
import time
import weakref
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mailworker.errors import MailworkerError
from mailworker.sink.received import Received

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

    from aiosmtpd.smtp import SMTP, Envelope, Session

#: Bytes of one mail, offered as SIZE (RFC 1870): above the limits of the large providers, far below a full memory.
DEFAULT_SIZE_LIMIT = 64 * 1024 * 1024

#: Seconds that `start` waits for the port to be bound, and `stop` for the loop to end; both take milliseconds.
THREAD_TIMEOUT = 10.0

OK = "250 2.1.0 OK"
REFUSED = "550 5.1.1 No such mailbox here"
DEFERRED = "450 4.2.0 Mailbox busy, try again"
NOT_KEPT = "451 4.3.0 The sink could not keep this mail, try again"

_MISSING = "the sink needs aiosmtpd, which is not installed; run: pip install 'mailworker[demo]'"


class SinkError(MailworkerError, OSError):
    """Raised when the sink cannot be started: a missing part, a taken port, a folder that cannot be written."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a sink has seen since it was made.

    Attributes:
        connections: SMTP connections taken.
        messages: mails kept.
        recipients: envelope recipients of the mails kept.
        refused: RCPT commands answered with 550.
        deferred: RCPT commands answered with 450.
        failed: mails answered with 451, since they could not be kept.
    """

    connections: int = 0
    messages: int = 0
    recipients: int = 0
    refused: int = 0
    deferred: int = 0
    failed: int = 0

    def __str__(self) -> str:
        return " ".join(f"{item.name}={getattr(self, item.name)}" for item in fields(self))


class Sink:
    """An SMTP server that takes every mail, in a thread of its own.

    Use it as a context manager, or call `start` and `stop`. A sink can be started again, on the same port.

    Args:
        host: address to listen on; anything but loopback lets others read the mails and fill the disk.
        port: 0 = any free one; the attribute `port` tells which, once it runs.
        directory: keep each mail there as an `.eml` file; the folder is made if there is none.
        on_message: called with each mail, in the server's thread, before the client hears 250; if it raises, the
            client hears 451.
        refuse: patterns (`fnmatch`, in any case) of recipients that are refused for good, with 550.
        defer_once: patterns of recipients whose first RCPT is answered with 450; the next one is taken.
        size_limit: bytes of one mail; more is answered with 552.
        clock: seconds since the epoch, for the names of files.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 1025,
        directory: str | os.PathLike[str] | None = None,
        *,
        on_message: Callable[[Received], object] | None = None,
        refuse: Iterable[str] = (),
        defer_once: Iterable[str] = (),
        size_limit: int = DEFAULT_SIZE_LIMIT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.host = host
        self.port: int = port
        self.directory = Path(directory) if directory is not None else None
        self._on_message = on_message
        self._refuse = tuple(pattern.casefold() for pattern in refuse)
        self._defer_once = tuple(pattern.casefold() for pattern in defer_once)
        self._deferred: set[str] = set()
        self._size_limit = size_limit
        self._clock = clock
        self._run_id = secrets.token_hex(4)
        self._counts = Counts()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    @property
    def counts(self) -> Counts:
        """What it has seen so far."""
        return self._counts

    def start(self) -> Self:
        """Bind the port and serve in a thread.

        Raises:
            SinkError: if aiosmtpd is missing, the port cannot be bound or the folder cannot be written.
            RuntimeError: if it runs already.
        """
        if self._thread is not None:
            msg = "this sink is running already"
            raise RuntimeError(msg)
        decided = threading.Event()
        errors: list[BaseException] = []

        def run() -> None:
            try:
                asyncio.run(self.run(decided.set))
            except BaseException as error:  # noqa: BLE001 - handed to the caller of start, whatever it is
                errors.append(error)
            finally:
                decided.set()

        thread = threading.Thread(target=run, name="mailworker-sink", daemon=True)
        thread.start()
        decided.wait(THREAD_TIMEOUT)
        if errors:
            thread.join(THREAD_TIMEOUT)
            raise errors[0]
        self._thread = thread
        return self

    def stop(self) -> None:
        """Close the port and every connection; a sink that does not run is left alone."""
        self.request_stop()
        if self._thread is not None:
            self._thread.join(THREAD_TIMEOUT)
            self._thread = None

    def request_stop(self) -> None:
        """Ask the server to end, from any thread or from a signal handler, and do not wait for it."""
        loop, stopping = self._loop, self._stopping
        if loop is not None and stopping is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed in between: it has ended
                loop.call_soon_threadsafe(stopping.set)

    def wait_for(self, messages: int, timeout: float) -> bool:
        """Wait until this many mails have been kept.

        Args:
            messages: how many, counted since the sink was made.
            timeout: seconds.

        Returns:
            False if the time was up first.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._counts.messages >= messages, timeout)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def run(self, on_bound: Callable[[], object]) -> None:
        """Serve in the running loop until `request_stop`; `start` does this in a thread.

        Args:
            on_bound: called once, when clients can connect and `port` is known.

        Raises:
            SinkError: as for `start`.
        """
        make_smtp = _import_smtp()
        if not self.host:
            # asyncio would listen on every interface, and nobody has asked for that.
            msg = "the sink has no host to listen on; name one, such as 127.0.0.1 (0.0.0.0 lets others read the mails)"
            raise SinkError(msg)
        self._prepare_directory()
        loop = asyncio.get_running_loop()
        self._stopping, self._loop = asyncio.Event(), loop
        handler = _Handler(self)
        clients: weakref.WeakSet[SMTP] = weakref.WeakSet()

        def answer_client() -> SMTP:
            # hostname: aiosmtpd would ask DNS for the machine's name otherwise, which can hang.
            smtp = make_smtp(
                handler,
                hostname="sink.localhost",
                ident="mailworker sink",
                data_size_limit=self._size_limit,
                enable_SMTPUTF8=True,
                loop=loop,
            )
            clients.add(smtp)
            self._counts = replace(self._counts, connections=self._counts.connections + 1)
            return smtp

        try:
            server = await loop.create_server(answer_client, self.host, self.port)
        except (OSError, OverflowError, UnicodeError) as error:
            self._loop = None
            why = "no valid host name" if isinstance(error, UnicodeError) else _reason(error)
            msg = f"the sink cannot listen on {self.host}, port {self.port}: {why}; {_advice(error)}"
            raise SinkError(msg) from error
        self.port = server.sockets[0].getsockname()[1]
        on_bound()
        try:
            await self._stopping.wait()
        finally:
            self._loop = None
            server.close()
            # From Python 3.12 on wait_closed waits for every connection, and an idle client may stay for ever.
            for smtp in list(clients):
                if isinstance(smtp.transport, asyncio.WriteTransport):
                    smtp.transport.abort()
            await server.wait_closed()

    def _prepare_directory(self) -> None:
        if self.directory is None:
            return
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"the folder {self.directory} for the mails cannot be made: {_reason(error)}; name another one"
            raise SinkError(msg) from error
        if not os.access(self.directory, os.W_OK | os.X_OK):
            msg = f"the folder {self.directory} for the mails cannot be written; name another one"
            raise SinkError(msg)

    def answer_recipient(self, address: str) -> str:
        """Return the reply to one RCPT: 250, or the refusal that was scripted for it."""
        folded = address.casefold()
        if any(fnmatch.fnmatchcase(folded, pattern) for pattern in self._refuse):
            self._counts = replace(self._counts, refused=self._counts.refused + 1)
            return REFUSED
        if folded not in self._deferred and any(fnmatch.fnmatchcase(folded, pattern) for pattern in self._defer_once):
            self._deferred.add(folded)
            self._counts = replace(self._counts, deferred=self._counts.deferred + 1)
            return DEFERRED
        return OK

    def take(self, sender: str, recipients: tuple[str, ...], content: bytes) -> str:
        """Keep one mail and return the reply to its final dot."""
        number = self._counts.messages + 1
        received = Received(number, sender, recipients, content)
        try:
            if self.directory is not None:
                stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock()))
                path = self.directory / f"{stamp}-{number:06d}-{self._run_id}.eml"
                _write_whole(path, received.with_envelope())
                received = replace(received, path=path)
            if self._on_message is not None:
                self._on_message(received)
        except Exception as error:  # noqa: BLE001 - whatever a full disk or the caller's function raised: 451
            self._counts = replace(self._counts, failed=self._counts.failed + 1)
            logging.getLogger(__name__).error("a mail was not kept: %s", _reason(error))
            return NOT_KEPT
        with self._changed:
            total = self._counts.recipients + len(recipients)
            self._counts = replace(self._counts, messages=number, recipients=total)
            self._changed.notify_all()
        return f"250 2.0.0 Kept as number {number}"


class _Handler:
    """What aiosmtpd calls; it leaves the bookkeeping of the envelope to its handler."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    async def handle_MAIL(  # noqa: N802 - aiosmtpd finds it by this name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return OK

    async def handle_RCPT(  # noqa: N802 - aiosmtpd finds it by this name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self._sink.answer_recipient(address)
        if reply == OK:
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        return reply

    async def handle_DATA(  # noqa: N802 - aiosmtpd finds it by this name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        # aiosmtpd shows the null reverse-path (RFC 5321 §4.5.5) as "<>".
        sender = "" if envelope.mail_from in (None, "<>") else str(envelope.mail_from)
        return self._sink.take(sender, tuple(map(str, envelope.rcpt_tos)), envelope.original_content or b"")

    async def handle_exception(self, error: Exception) -> str:
        # aiosmtpd would answer 500, for good, and put the exception's text into the reply.
        logging.getLogger(__name__).error("a session failed: %s", type(error).__name__)
        return "451 4.3.0 The sink failed, try again"


def _import_smtp() -> type[SMTP]:
    """Return aiosmtpd's protocol, or say which extra brings it."""
    try:
        from aiosmtpd.smtp import SMTP
    except ImportError as error:
        raise SinkError(_MISSING) from error
    # Its logger tells every address at INFO and every line of a mail at DEBUG: nothing for anybody's log file.
    library_log = logging.getLogger("mail.log")
    if library_log.level == logging.NOTSET:
        library_log.setLevel(logging.WARNING)
    return SMTP


def _reason(error: BaseException) -> str:
    """Say why in the system's words where it has some, else by the exception's name: its text may show a mail."""
    if isinstance(error, OSError) and error.errno:
        # The errno of a name that cannot be looked up is none of the system's: it brings its own words.
        return os.strerror(error.errno) if error.errno > 0 else error.strerror or type(error).__name__
    return str(error) if isinstance(error, OSError | OverflowError) else type(error).__name__


def _advice(error: BaseException) -> str:
    """Say what to do about a host and port that cannot be listened on."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return "name another port (--port 0 takes any free one), or stop the program that has it"
    if number in (errno.EACCES, errno.EPERM) or isinstance(error, OverflowError):
        return "name another port: 1024 to 65535, or 0 for any free one"
    return "name an address of this machine, such as --host 127.0.0.1"


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file that has its name only once it is whole."""
    unfinished = path.with_suffix(".part")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
