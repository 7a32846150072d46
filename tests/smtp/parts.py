"""What the tests of transactions share: three recipients, and every answer that a server can give to them."""

from __future__ import annotations

from collections.abc import Callable

from mailworker.outcome import OutcomeClass
from mailworker.smtp.envelope import Envelope
from mailworker.smtp.transaction import TransactionResult
from mailworker.testing import DROP, RESET, Drop, Script

ACCEPTED, DEFERRED, REJECTED, IN_DOUBT = (
    OutcomeClass.ACCEPTED,
    OutcomeClass.DEFERRED,
    OutcomeClass.REJECTED,
    OutcomeClass.IN_DOUBT,
)

A, B, C = "a@example.org", "b@example.org", "c@example.org"
SENDER = "sender@example.com"
ALL = Envelope(SENDER, (A, B, C))
CONTENT = b"Subject: hello\r\n\r\nhello\r\n"


def kinds(result: TransactionResult) -> tuple[OutcomeClass, ...]:
    """Return what became of each recipient, in order; of none if the message was taken back."""
    return tuple(outcome.kind for outcome in result.outcomes.values())


def announcing(
    envelope: Envelope | None = None, content: bytes = CONTENT
) -> Callable[[], tuple[Envelope, bytes] | None]:
    """Return what tells `transact` which message follows."""
    return lambda: None if envelope is None else (envelope, content)


# Rows: script, outcome of A, B and C, whether the session can go on.
ANSWERS = {
    "2xx after the dot": (Script(), (ACCEPTED, ACCEPTED, ACCEPTED), True),
    "251 to RCPT": (Script(rcpt={A: "251 will forward"}), (ACCEPTED, ACCEPTED, ACCEPTED), True),
    "4xx to one RCPT": (Script(rcpt={B: "450 4.2.0 busy"}), (ACCEPTED, DEFERRED, ACCEPTED), True),
    "5xx to one RCPT": (Script(rcpt={B: "550 5.1.1 unknown"}), (ACCEPTED, REJECTED, ACCEPTED), True),
    "452 to the last RCPT": (Script(rcpt={C: "452 4.5.3 too many"}), (ACCEPTED, ACCEPTED, DEFERRED), True),
    "552 to RCPT is 452": (Script(rcpt={C: "552 too many recipients"}), (ACCEPTED, ACCEPTED, DEFERRED), True),
    "all RCPT refused, each in its way": (
        Script(rcpt={A: "550 no", B: "450 later", C: "553 no"}),
        (REJECTED, DEFERRED, REJECTED),
        True,
    ),
    "all RCPT refused, and RSET too": (Script(rcpt="550 no", rset="500 what"), (REJECTED,) * 3, False),
    "all RCPT refused, and gone at RSET": (Script(rcpt="550 no", rset=DROP), (REJECTED,) * 3, False),
    "4xx to MAIL": (Script(mail="451 4.3.0 later"), (DEFERRED,) * 3, True),
    "5xx to MAIL": (Script(mail="550 5.7.1 not you"), (REJECTED,) * 3, True),
    "552 to MAIL": (Script(mail="552 5.3.4 too big"), (REJECTED,) * 3, True),
    "4xx to DATA": (Script(data="451 4.3.0 later"), (DEFERRED,) * 3, True),
    "5xx to DATA": (Script(data="554 5.7.1 no"), (REJECTED,) * 3, True),
    "4xx to DATA after a 5xx to RCPT": (
        Script(rcpt={A: "550 no"}, data="451 later"),
        (REJECTED, DEFERRED, DEFERRED),
        True,
    ),
    "4xx after the dot": (Script(dot="451 4.3.0 later"), (DEFERRED,) * 3, True),
    "5xx after the dot": (Script(dot="554 5.7.1 spam"), (REJECTED,) * 3, True),
    "5xx after the dot, 4xx to one RCPT": (
        Script(rcpt={B: "450 later"}, dot="554 spam"),
        (REJECTED, DEFERRED, REJECTED),
        True,
    ),
    "421 after the dot": (Script(dot="421 4.3.2 bye"), (DEFERRED,) * 3, False),
    "lost in MAIL": (Script(mail=DROP), (DEFERRED,) * 3, False),
    "reset in MAIL": (Script(mail=RESET), (DEFERRED,) * 3, False),
    "lost in RCPT": (Script(rcpt={B: DROP}), (DEFERRED,) * 3, False),
    "lost in RCPT after a 5xx": (Script(rcpt={A: "550 no", B: DROP}), (REJECTED, DEFERRED, DEFERRED), False),
    "lost behind the last RCPT": (Script(rcpt={C: Drop(after="250 ok")}), (DEFERRED,) * 3, False),
    "lost in DATA": (Script(data=DROP), (DEFERRED,) * 3, False),
    "lost after the dot": (Script(dot=DROP), (IN_DOUBT,) * 3, False),
    "reset after the dot": (Script(dot=RESET), (IN_DOUBT,) * 3, False),
    "lost after the dot, 5xx to one RCPT": (
        Script(rcpt={A: "550 no"}, dot=DROP),
        (REJECTED, IN_DOUBT, IN_DOUBT),
        False,
    ),
    "junk for MAIL": (Script(mail=b"hello there\r\n"), (DEFERRED,) * 3, False),
    "junk for RCPT": (Script(rcpt={B: b"\xff\x00\r\n"}), (DEFERRED,) * 3, False),
    "junk for the dot": (Script(dot=b"ok, taken\r\n"), (IN_DOUBT,) * 3, False),
    "two codes in the reply to the dot": (Script(dot=b"250-taken\r\n451 or not\r\n"), (IN_DOUBT,) * 3, False),
    "an endless line for MAIL": (Script(mail=b"250 " + b"x" * 100_000 + b"\r\n"), (DEFERRED,) * 3, False),
    "endless lines for the dot": (Script(dot=b"250-x\r\n" * 10_000), (IN_DOUBT,) * 3, False),
    "3xx to MAIL": (Script(mail="354 go"), (DEFERRED,) * 3, False),
    "3xx to RCPT": (Script(rcpt={A: "354 go"}), (DEFERRED,) * 3, False),
    "2xx to DATA": (Script(data="250 ok"), (DEFERRED,) * 3, False),
    "3xx to the dot": (Script(dot="354 more"), (IN_DOUBT,) * 3, False),
    "a reply in many lines": (Script(dot="250-2.0.0 one\n250-2.0.0 two\n250 2.0.0 three"), (ACCEPTED,) * 3, True),
    "lone line feeds end the reply's lines": (Script(dot=b"250-one\n250 two\n"), (ACCEPTED,) * 3, True),
}
