"""Mails for tests of the spool, and questions about what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import mailworker
from mailworker import EmailMessage, MailStatus, State
from mailworker.testing.smtpd import ScriptedServer
from tests.processes import eventually


def message(*recipients: str) -> EmailMessage:
    return EmailMessage("s", "b", "from@example.com", recipients)


def messages(count: int) -> list[EmailMessage]:
    return [message(f"to{n}@example.com") for n in range(count)]


def everybody(count: int) -> Counter[str]:
    """Return one copy for each recipient of `messages`."""
    return Counter(f"to{n}@example.com" for n in range(count))


def with_mailer(relay: ScriptedServer, **limits: Any) -> dict[str, Any]:
    """Describe the relay with limits."""
    return {"relay": {"OPTIONS": {"host": relay.host, "port": relay.port, "timeout": 20, **limits}}}


def status(mail_id: str) -> MailStatus:
    found = mailworker.status(mail_id)
    assert found is not None
    return found


def states(ids: Sequence[str]) -> list[State]:
    return [status(mail_id).state for mail_id in ids]


def all_sent(ids: Sequence[str]) -> None:
    """Wait until all are sent."""
    eventually(lambda: set(states(ids)) == {State.SENT}, "the end of all mails")


def copies(relay: ScriptedServer) -> Counter[str]:
    """Count the final dots that the relay has seen, for each recipient."""
    return Counter(recipient for one in relay.complete for recipient in one.recipients)
