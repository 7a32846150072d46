"""Starts the parts, sends the mails, waits until each has come to an end, and judges.

Whatever happens, the parts are stopped and their private folder is removed before this returns or raises. It fails with
`PartFailed` when a part does not run, or nothing moves any more; a result that is not right is told in the report. A demo
that ends early says where the mails are that have come by then. Known limit: of one that is itself killed with SIGKILL no
part runs on, but the private folder stays among the temporary files.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mailworker import settings
from mailworker.demo import kind, verdict
from mailworker.demo.mailbox import Mailbox
from mailworker.demo.record import Reader
from mailworker.demo.verdict import Report
from mailworker.errors import EnqueueError, MailerUnavailable
from mailworker.queue import app as apps
from mailworker.queue import dispatch, spools
from mailworker.smtp.options import SessionOptions
from mailworker.smtp.session import Session
from mailworker.testing import broker, surroundings
from mailworker.testing.part import Part, PartFailed

if TYPE_CHECKING:
    from types import FrameType

    from mailworker.demo.kind import Kind

#: Seconds without any progress after which the demo gives up.
_STUCK = 60.0

#: Seconds that a part gets to be seen dead once another one misses it.
_GRACE = 0.5

#: Seconds between two looks at what has arrived.
_LOOK = 0.05

_NAMESPACE = "demo"

#: What people and supervisors interrupt a program with.
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: Seconds that a real relay may take for each step until it is ready for mail.
_PATIENCE = 10.0

#: Attempts at a real relay: it may have reasons of its own to put a mail off, and nobody waits a day for a demo.
_ATTEMPTS = 3


class Display(Protocol):
    """Who shows how far it is."""

    def starting(self, what: str) -> None:
        """A part is being started."""

    def started(self, broker: str, relay: str, processes: int) -> None:
        """All parts run."""

    def enqueued(self, mails: int, total: int) -> None:
        """So many mails are enqueued."""

    def ended(self, mails: int, total: int) -> None:
        """So many mails have come to an end."""

    def cut_short(self, files: int, folder: Path) -> None:
        """It ends early, and so many mails lie in a folder."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for.

    Attributes:
        mails: how many.
        processes: of the worker.
        folder: for the `.eml` files; None = a new one among the temporary files.
        relay: host and port of a real relay; None = a sink of our own.
    """

    mails: int
    processes: int
    folder: Path | None = None
    relay: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class _Cast:
    """The parts that run, and what they are."""

    worker: Part
    parts: tuple[Part, ...]
    broker: str
    relay: str

    def check(self, grace: float = 0.0) -> None:
        """Raise `PartFailed` if one does not run any more, or has not `grace` seconds later."""
        for part in self.parts:
            part.check(grace)


def perform(order: Order, display: Display) -> Report:
    """Run the demo.

    Args:
        order: what is asked for.
        display: told how far it is.

    Raises:
        PartFailed: a part did not run, or the mails stopped moving.
    """
    mailbox = None
    if order.relay is not None:
        _knock(*order.relay)
    else:
        made = order.folder.resolve() if order.folder else Path(tempfile.mkdtemp(prefix="mailworker-demo-mails-"))
        mailbox = Mailbox(made)
    with ExitStack() as stack:
        stack.enter_context(_interruptible())
        if mailbox is not None:
            stack.enter_context(_accounted_for(mailbox, display, is_ours=order.folder is None))
        private = Path(tempfile.mkdtemp(prefix="mailworker-demo-"))
        stack.callback(shutil.rmtree, private, ignore_errors=True)
        stack.enter_context(surroundings.put_aside(private))
        try:
            cast = _start(stack, order, mailbox, private, display)
            try:
                return _play(order, cast, mailbox, display)
            except EnqueueError:
                # A broker that has died says more about it than the error of the one who called it.
                cast.check(_GRACE)
                raise
        finally:
            # A second Ctrl-C must not leave a part running.
            _ignore_interrupts()


def _knock(host: str, port: int) -> None:
    """Make sure that the relay is there: a worker would wait for it, as it should, and we with it."""
    try:
        Session.open(SessionOptions(host=host, port=port, timeout=_PATIENCE)).close()
    except MailerUnavailable as error:
        raise PartFailed(
            f"--smtp: {error}; see that a relay listens there, or leave --smtp out for a sink of the demo's own"
        ) from error


def _start(stack: ExitStack, order: Order, mailbox: Mailbox | None, private: Path, display: Display) -> _Cast:
    environment = surroundings.clean_environment(surroundings.importing_environment(), private)
    display.starting("broker")
    broker_part, url, what = broker.start(private, environment)
    stack.enter_context(broker_part)
    parts = [broker_part]
    if order.relay is None:
        assert mailbox is not None
        display.starting("sink")
        sink = stack.enter_context(Part("sink", _sink_command(mailbox.folder), private, environment))
        parts.append(sink)
        host, port = "127.0.0.1", int(sink.wait_for(r"listening on 127\.0\.0\.1:(\d+)\n")[1])
        relay = f"sink on {host}:{port}"
    else:
        host, port = order.relay
        relay = f"{host}:{port}"
    values = _settings(url, host, port)
    display.starting("worker")
    command = [sys.executable, "-m", "mailworker", "worker", "-c", str(order.processes)]
    worker = stack.enter_context(Part("worker", command, private, environment | values))
    worker.wait_for(r"@\S+ ready\.")
    stack.enter_context(_own_settings(values))
    display.started(what, relay, order.processes)
    return _Cast(worker, (*parts, worker), what, relay)


def _play(order: Order, cast: _Cast, mailbox: Mailbox | None, display: Display) -> Report:
    sent = kind.plan(order.mails, with_sink=order.relay is None)
    # A mail that is deferred waits by order: that is no measure of how fast others are.
    prompt = order.mails - sum(many for one, many in sent.items() if one.name == "deferred")
    reader = Reader(cast.worker.log)
    begun = time.monotonic()
    drained: float | None = None
    looked = 0.0

    def look() -> None:
        nonlocal drained, looked
        if (now := time.monotonic()) - looked < _LOOK:
            return
        looked = now
        cast.check()
        ended = reader.read().ended
        display.ended(ended, order.mails)
        if drained is None and ended >= prompt:
            drained = now - begun

    enqueued = 0
    for one, many in sent.items():
        for taken in one.send(one.name, range(1, many + 1)):
            enqueued += taken
            display.enqueued(enqueued, order.mails)
            look()
    enqueue_seconds = time.monotonic() - begun

    def count() -> int:
        look()
        return reader.record.ended

    _wait(count, order.mails, cast)
    arrived = list(mailbox.mails()) if mailbox is not None else None
    refusals = _refusals(cast, sent)
    rows, problems = verdict.judge(sent, reader.record, arrived, refusals)
    if enqueued != order.mails:
        problems += (f"{enqueued} of {order.mails} mails were enqueued",)
    return Report(
        broker=cast.broker,
        relay=cast.relay,
        processes=order.processes,
        rows=rows,
        problems=problems,
        enqueue_seconds=enqueue_seconds,
        drain_seconds=drained if drained is not None else time.monotonic() - begun,
        folder=str(mailbox.folder) if mailbox is not None else None,
        files=mailbox.count() if mailbox is not None else 0,
    )


def _wait(count: Any, wanted: int, cast: _Cast) -> None:
    """Wait until a count is reached, as long as it grows and all parts run."""
    last, since = -1, time.monotonic()
    while (now := count()) < wanted:
        cast.check()
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > _STUCK:
            raise PartFailed(
                f"{now} of {wanted} mails came to an end, and nothing has moved for {_STUCK:.0f} s; the end of the "
                f"worker's log:\n{cast.worker.tail()}"
            )
        time.sleep(_LOOK)


def _refusals(cast: _Cast, sent: Mapping[Kind, int]) -> list[int]:
    """Return the codes of the dead letters' refusals, once they are there."""
    from mailworker.queue.given_up import GivenUp

    wanted = sum(many for one, many in sent.items() if one.name == "refused")
    if not wanted:
        return []
    found: list[int] = []

    def count() -> int:
        found[:] = [
            outcome.reply.code
            for letter in GivenUp(apps.current(), settings.current()).first(wanted)[0]
            for outcome in letter.outcomes.values()
            if outcome.reply is not None
        ]
        return len(found)

    _wait(count, wanted, cast)
    return found


def _settings(url: str, host: str, port: int) -> dict[str, str]:
    return {
        "MAILWORKER_BROKER_URL": url,
        "MAILWORKER_NAMESPACE": _NAMESPACE,
        # The first publish of a process imports half of kombu, and the machine may be busy with us.
        "MAILWORKER_ENQUEUE_TIMEOUT": "20",
        "MAILWORKER_RETRY_SCHEDULE": "1",
        "MAILWORKER_RETRY_JITTER": "0",
        "MAILWORKER_RELAY_BACKOFF": "1",
        "MAILWORKER_MAX_ATTEMPTS": str(_ATTEMPTS),
        "EMAIL_HOST": host,
        "EMAIL_PORT": str(port),
        "DEFAULT_FROM_EMAIL": "demo@mailworker.example",
    }


def _sink_command(folder: Path) -> list[str]:
    options = ["--port", "0", "--dir", str(folder), "--quiet"]
    options += ["--refuse", kind.REFUSE, "--defer-once", kind.DEFER_ONCE]
    return [sys.executable, "-m", "mailworker", "sink", *options]


@contextmanager
def _own_settings(values: Mapping[str, str]) -> Iterator[None]:
    with settings.override(**values):
        try:
            yield
        finally:
            spools.close(apps.own())
            dispatch.close(apps.own())
            apps.uninstall()


@contextmanager
def _accounted_for(mailbox: Mailbox, display: Display, *, is_ours: bool) -> Iterator[None]:
    """Name the folder of the mails if no report will do so; remove one of our own that nothing has come to."""
    try:
        yield
    except BaseException:
        if mailbox.count():
            display.cut_short(mailbox.count(), mailbox.folder)
        raise
    finally:
        if is_ours and not mailbox.count():
            shutil.rmtree(mailbox.folder, ignore_errors=True)


@contextmanager
def _interruptible() -> Iterator[None]:
    """End in order on SIGTERM and SIGHUP as on Ctrl-C, and put the handlers back at the end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.getsignal(number) for number in _INTERRUPTS}
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_interrupts() -> None:
    if threading.current_thread() is threading.main_thread():
        for number in _INTERRUPTS:
            signal.signal(number, signal.SIG_IGN)
