"""A batch over aiosmtpd: a server that is not ours, and that knows no PIPELINING."""

from __future__ import annotations

from email import message_from_bytes
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP

from mailworker.mail.backends.smtp import EmailBackend
from mailworker.mail.message import EmailMessage
from mailworker.outcome import OutcomeClass
from tests.mail.ledger import Ledger, batch_of
from tests.processes import free_port

ACCEPTED, DEFERRED, REJECTED = OutcomeClass.ACCEPTED, OutcomeClass.DEFERRED, OutcomeClass.REJECTED


class Keeper:
    """What the server calls.

    Attributes:
        complete: the envelopes whose content came whole.
        peers: who sent them.
    """

    def __init__(self) -> None:
        self.complete: list[Any] = []
        self.peers: set[Any] = set()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if address.startswith("nobody"):
            return "550 5.1.1 no such user"
        if address.startswith("later"):
            return "450 4.2.0 mailbox busy"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.complete.append(envelope)
        self.peers.add(session.peer)
        if envelope.mail_from.startswith("spam"):
            return "554 5.7.1 spam"
        return "250 2.0.0 taken"


class Bare(SMTP):
    """A server that says no more to EHLO than its name."""

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802
        await self.smtp_HELO(hostname)


class BareController(Controller):
    def factory(self) -> SMTP:
        return Bare(self.handler, hostname="localhost")


@pytest.fixture(params=[Controller, BareController], ids=["as it comes", "without extensions"])
def relay(request):
    keeper = Keeper()
    # hostname: aiosmtpd would ask DNS for the machine's name.
    names = {"server_hostname": "localhost"} if request.param is Controller else {}
    controller = request.param(keeper, hostname="127.0.0.1", port=free_port(), **names)
    controller.start()
    yield keeper, EmailBackend("127.0.0.1", controller.port, fail_silently=True)
    controller.stop()


def test_a_batch_goes_out_command_by_command_in_one_session(relay):
    keeper, backend = relay
    ledger = Ledger(keeper)
    assert backend.send_messages(batch_of(5), journal=ledger) == 5
    assert [envelope.mail_from for envelope in keeper.complete] == [f"{n}@example.com" for n in range(1, 6)]
    assert len(keeper.peers) == 1
    assert set(ledger.charged.values()) == {1}
    assert set(map(frozenset, ledger.settled_.values())) == {frozenset({ACCEPTED})}


def test_each_recipient_and_each_message_gets_its_own_answer(relay):
    keeper, backend = relay
    mixed = EmailMessage(
        "mixed",
        ".\n..\ngr\u00fc\u00dfe\n",
        "s@example.com",
        ["a@example.org", "nobody@example.org", "later@example.org"],
    )
    spam = EmailMessage("spam", "", "spam@example.com", ["a@example.org"])
    nobody = EmailMessage("nobody", "", "s@example.com", ["nobody@example.org"])
    last = EmailMessage("last", "", "s@example.com", ["a@example.org"])
    assert backend.send_messages([mixed, spam, nobody, last]) == 2
    assert [[outcome.kind for outcome in one.outcomes.values()] for one in (mixed, spam, nobody, last)] == [
        [ACCEPTED, REJECTED, DEFERRED],
        [REJECTED],
        [REJECTED],
        [ACCEPTED],
    ]
    assert [envelope.rcpt_tos for envelope in keeper.complete] == [["a@example.org"]] * 3
    assert len(keeper.peers) == 1
    got = message_from_bytes(keeper.complete[0].content).get_payload(decode=True)
    assert isinstance(got, bytes)
    assert got.decode().split() == [".", "..", "gr\u00fc\u00dfe"]
