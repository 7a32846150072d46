"""Commands over a spool of their own, and on a terminal of their own."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Mapping
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from mailworker import EmailMessage, enqueue, settings
from mailworker.cli import main
from mailworker.lane import LANES
from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.queue import app as apps
from mailworker.queue import dispatch, spools
from mailworker.spool.base import Leased
from tests.processes import PATIENCE, RedisServer, clean_environment

ACCEPTED = Outcome(OutcomeClass.ACCEPTED, Reply(250, "OK"))
REJECTED = Outcome(OutcomeClass.REJECTED, Reply(550, "No such user here", "5.1.1"))

MAILERS = {
    "news": {
        "OPTIONS": {
            "host": "127.0.0.1",
            "rate": "14/s",
            "burst": 20,
            "sessions": 2,
            "domain_rate": {"example.net": "30/m"},
            "domain_concurrency": {"example.net": 2},
        }
    }
}


class Spooled:
    """A spool with a namespace of its own, as the command line finds it.

    Attributes:
        env: the same settings for another process.
    """

    def __init__(self, url: str, namespace: str) -> None:
        self.env = {"MAILWORKER_BROKER_URL": url, "MAILWORKER_NAMESPACE": namespace}
        self.app = apps.own()
        self.namespace = namespace
        spool = spools.for_workers(self.app, settings.current())
        assert spool is not None
        self.spool = spool

    def queued(self, subject: str = "s", **options: object) -> str:
        """Queue a mail to ann and bob, and return its id."""
        message = EmailMessage(subject, "the body", "me@example.com", ["ann@example.com", "bob@example.com"])
        (mail_id,) = enqueue(message, **options)  # type: ignore[arg-type]
        return mail_id

    def claimed(self, number: int = 1) -> list[Leased]:
        """Take mails into a worker's hands, and begin with them."""
        leased = [one for _ in range(number) for one in self.spool.claim(LANES, 1, 60, None, "a worker").leased]
        assert len(leased) == number
        assert all(self.spool.mark(one, 60) for one in leased)
        return leased

    def given_up(self, subject: str = "s", **options: object) -> str:
        """Queue a mail that ann refuses and bob takes, and give it up."""
        mail_id = self.queued(subject, **options)
        outcomes = {"ann@example.com": REJECTED, "bob@example.com": ACCEPTED}
        assert self.spool.bury(self.claimed()[0], outcomes, "rejected")
        return mail_id

    def held(self) -> str:
        """Queue a mail, and put it aside."""
        mail_id = self.queued()
        in_doubt = {"ann@example.com": Outcome(OutcomeClass.IN_DOUBT, None, "connection lost after the dot")}
        assert self.spool.hold(self.claimed()[0], in_doubt, "in doubt")
        return mail_id

    def state(self, mail_id: str) -> str | None:
        status = self.spool.status(mail_id)
        return None if status is None else status.state.value


@pytest.fixture(scope="module")
def redis():
    with RedisServer() as server:
        yield server


@pytest.fixture
def spooled(redis, request):
    namespace = f"t{abs(hash(request.node.nodeid)) % 10**9}"
    apps.uninstall()
    with settings.override(
        MAILWORKER_BROKER_URL=redis.url,
        MAILWORKER_NAMESPACE=namespace,
        EMAIL_BACKEND=settings.QUEUE_BACKEND,
        MAILERS=MAILERS,
    ):
        found = Spooled(redis.url, namespace)
        yield found
        spools.close(found.app)
        dispatch.close(found.app)
    apps.uninstall()


def run(*args: str):
    return CliRunner().invoke(main, list(args))


@contextlib.contextmanager
def on_terminal(*args: str, env: Mapping[str, str]):
    """Run a command on a terminal; `said(text)` waits until it has said that, `types(text)` answers, `ends()` waits for the end."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mailworker", *args],
        env={**clean_environment(), "TERM": "xterm", **env},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    output = bytearray()
    heard = threading.Condition()

    def read() -> None:
        # On Linux, a terminal that nobody has open any more ends with an error.
        with contextlib.suppress(OSError):
            while piece := os.read(ours, 65536):
                with heard:
                    output.extend(piece)
                    heard.notify_all()
        with heard:
            output.extend(b"\0")
            heard.notify_all()

    def said(text: str, count: int = 1) -> str:
        with heard:
            heard.wait_for(lambda: output.count(text.encode()) >= count or output.endswith(b"\0"), PATIENCE)
            shown = output.decode(errors="replace")
        assert shown.count(text) >= count, shown
        return shown

    def ends() -> int:
        status = process.wait(PATIENCE)
        reader.join(PATIENCE)
        return status

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield SimpleNamespace(
            said=said, types=lambda text: os.write(ours, text.encode()), ends=ends, signal=process.send_signal
        )
    finally:
        process.kill()
        process.wait(PATIENCE)
        reader.join(PATIENCE)
        os.close(ours)
