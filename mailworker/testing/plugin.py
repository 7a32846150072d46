"""The pytest plugin: fixtures for code that sends mail. pytest finds it by itself where mailworker is installed.

Loading it costs next to nothing: what a fixture needs is imported when the fixture is used. The fixtures decide nothing; each
is a context manager of `destination`, `smtpd` or `mail_worker`, which `mixin` has for unittest too.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mailworker.mail.message import EmailMessage
    from mailworker.testing.mail_worker import MailWorker, Station
    from mailworker.testing.run_due import RunDue
    from mailworker.testing.smtpd import ScriptedServer


@pytest.fixture
def mailworker_eager() -> Iterator[None]:
    """Deliver in this process, without a broker, with the project's own delivery backend."""
    from mailworker.testing.destination import eager_mode

    with eager_mode():
        yield


@pytest.fixture
def mail_outbox(request: pytest.FixtureRequest, mailworker_eager: None) -> Iterator[list[EmailMessage]]:
    """Keep all mail of the test in a list: `mailworker.outbox`, new for each test."""
    _refuse_beside(request, "smtp_server")
    from mailworker.testing.destination import outbox

    with outbox() as messages:
        yield messages


@pytest.fixture
def run_due(mailworker_eager: None) -> RunDue:
    """Let the time come for mail with `at=` or `delay=`, as `mailworker.run_due`; after the test it is now again."""
    import mailworker

    return mailworker.run_due


@pytest.fixture
def smtp_server(request: pytest.FixtureRequest, mailworker_eager: None) -> Iterator[ScriptedServer]:
    """A real SMTP server that all mail of the test is delivered to; `smtp_server.script(...)` makes it misbehave."""
    from mailworker.testing.destination import relayed_to
    from mailworker.testing.smtpd import listening

    _refuse_beside(request, "mail_outbox")
    port = 0
    if "mailworker_worker" in request.fixturenames:
        # A worker that goes on from the test before delivers to that test's port.
        station: Station = request.getfixturevalue("_mail_station")
        port = station.port
    with listening(port) as server, relayed_to(server):
        yield server


@pytest.fixture(scope="session")
def _mail_station() -> Iterator[Station]:
    from mailworker.testing.mail_worker import Station

    with Station() as station:
        yield station


@pytest.fixture
def mailworker_worker(_mail_station: Station, smtp_server: ScriptedServer) -> Iterator[MailWorker]:
    """A real worker process with a queue of its own, which delivers to `smtp_server`; the test's mail goes through it."""
    from mailworker.errors import ConfigurationError
    from mailworker.testing.part import PartFailed

    with ExitStack() as stack:
        try:
            worker = stack.enter_context(_mail_station.lend(smtp_server))
        except (ConfigurationError, PartFailed) as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        yield worker


def _refuse_beside(request: pytest.FixtureRequest, other: str) -> None:
    if other in request.fixturenames:
        pytest.fail(
            "mail_outbox and smtp_server (which mailworker_worker brings along) each say where the test's mail goes: "
            "use one of them",
            pytrace=False,
        )
