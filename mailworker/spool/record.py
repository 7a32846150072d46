"""A mail as the spool keeps it: one immutable record, its ledger and its states.

Times are seconds since the epoch by the spool's own clock. The payload is opaque here: bytes that `mail.codec` wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from mailworker.lane import Lane
from mailworker.outcome import Outcome, OutcomeClass

OnInDoubt = Literal["resend", "hold"]

_NONE: Mapping[str, Outcome] = MappingProxyType({})


class State(StrEnum):
    """Where a mail is. Exactly one of these, always (DESIGN §8)."""

    DUE = "due"  #: ready now or later
    LEASED = "leased"  #: claimed by a worker
    HELD = "held"  #: waits for a person
    SENT = "sent"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DROPPED = "dropped"  #: given up, and the caller had asked to fail silently
    DEAD = "dead"  #: given up; kept until replayed or purged

    @property
    def is_finished(self) -> bool:
        """True if nothing more will happen to it by itself or by a person."""
        return self in _FINISHED


_FINISHED = frozenset({State.SENT, State.CANCELLED, State.EXPIRED, State.DROPPED})


#: How a ledger begins the name of a recipient whose address is sealed with a key that is not here; no address begins so.
UNNAMED = "("


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What has been done to which recipient.

    Attributes:
        outcomes: recipient -> last outcome. An ACCEPTED stays for ever.
        attempts: charged attempts so far.
        first_attempt_at: time of the first charged attempt, None before it.
        snoozed: seconds spent in snoozes since the first charged attempt; they do not count towards giving up.
        lapses: leases in a row that ran out without a word from their worker.
        in_doubt: a second copy may exist: set once, never taken back.
        in_doubt_resends: how often it was sent again although in doubt.
        reason: why it was held or buried, in our words, without an address.
    """

    outcomes: Mapping[str, Outcome] = field(default_factory=lambda: _NONE)
    attempts: int = 0
    first_attempt_at: float | None = None
    snoozed: float = 0.0
    lapses: int = 0
    in_doubt: bool = False
    in_doubt_resends: int = 0
    reason: str = ""

    @property
    def accepted(self) -> frozenset[str]:
        """The recipients that must never be tried again."""
        return frozenset(r for r, o in self.outcomes.items() if o.kind is OutcomeClass.ACCEPTED)

    @property
    def is_complete(self) -> bool:
        """False if it says something of recipients whom only a key that is not here can name."""
        return not any(recipient.startswith(UNNAMED) for recipient in self.outcomes)

    @property
    def settled(self) -> frozenset[str]:
        """The recipients that need no further try: accepted or rejected."""
        final = (OutcomeClass.ACCEPTED, OutcomeClass.REJECTED)
        return frozenset(r for r, o in self.outcomes.items() if o.kind in final)

    def merged(self, outcomes: Mapping[str, Outcome]) -> Mapping[str, Outcome]:
        """Return these outcomes over the old ones, except that an ACCEPTED is never overwritten."""
        merged = dict(self.outcomes)
        for recipient, outcome in outcomes.items():
            known = merged.get(recipient)
            if known is None or known.kind is not OutcomeClass.ACCEPTED:
                merged[recipient] = outcome
        return MappingProxyType(merged)


@dataclass(frozen=True, slots=True)
class Content:
    """A large piece of a message, kept once however many mails have it.

    Attributes:
        name: its SHA-256, or with encryption keys an HMAC, in hexadecimal digits.
        stored: its bytes as `mail.codec` wrote them; None if they are lost.
    """

    name: str
    stored: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A queued message.

    Attributes:
        id: 32 lower-case hexadecimal digits.
        payload: what `mail.codec` wrote; empty once finished.
        contents: what of the message lies outside the payload, in the payload's order; none once finished.
        mailer: alias of the mailer that the worker delivers with.
        lane: which lane it travels in.
        created_at: when it was accepted.
        due_at: not before this time.
        expires_at: not after this time; None = never expires.
        fail_silently: given up means dropped, not dead.
        on_in_doubt: what to do when a second copy might be made.
        group: name of the set of mails that it belongs to.
        domain: the recipients' domain if they all share one, for domain limits; None otherwise. A spool that encrypts tells
            it only if it has limits.
        is_row: its payload is a row of its group's letter, and no message (`mailworker.spool.bulk`).
        ledger: what has been done so far.
    """

    id: str
    payload: bytes
    contents: tuple[Content, ...] = ()
    mailer: str = "relay"
    lane: Lane = Lane.NORMAL
    created_at: float = 0.0
    due_at: float = 0.0
    expires_at: float | None = None
    fail_silently: bool = False
    on_in_doubt: OnInDoubt = "resend"
    group: str | None = None
    domain: str | None = None
    is_row: bool = False
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def size(self) -> int:
        """Bytes of the payload and of what lies outside it."""
        return len(self.payload) + sum(len(content.stored or b"") for content in self.contents)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailStatus:
    """What one can ask of a mail: the answer of `status(id)`."""

    id: str
    state: State
    mailer: str
    lane: Lane
    group: str | None
    attempts: int
    in_doubt: bool
    next_attempt_at: float | None  #: only while due
    created_at: float
    expires_at: float | None
    reason: str
    outcomes: Mapping[str, Outcome]

    def to_json(self) -> dict[str, object]:
        """Return plain values for `--json`; times as seconds since the epoch, UTC."""
        return {
            "id": self.id,
            "state": self.state.value,
            "mailer": self.mailer,
            "lane": self.lane.value,
            "group": self.group,
            "attempts": self.attempts,
            "in_doubt": self.in_doubt,
            "next_attempt_at": self.next_attempt_at,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "reason": self.reason,
            "outcomes": {recipient: outcome.to_json() for recipient, outcome in self.outcomes.items()},
        }
