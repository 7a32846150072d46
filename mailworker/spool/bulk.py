"""A bulk in the spool: a group of mails with a plan, one letter for all of them, and counts of what has become of them.

The letter and each row are opaque here: bytes that `mail.letter` wrote. Times are seconds since the epoch by the spool's own
clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

from mailworker import log
from mailworker.errors import MailworkerError
from mailworker.lane import Lane
from mailworker.outcome import Outcome, OutcomeClass
from mailworker.spool.record import MailStatus, OnInDoubt, State

logger = log.get(__name__)

#: Why a recipient's mail is dropped who wants no more of them.
SUPPRESSED = "suppressed"

#: Pairs of domain and class that a bulk counts one by one; all others are counted together, under the domain "".
MAX_DOMAINS = 1000

#: Errors that a bulk remembers for people.
MAX_ERRORS = 20

_NO_STATES: Mapping[State, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable:
    """How fast the mails of a group may go, over all workers together, and when.

    Attributes:
        rate: mails a second, None = no limit.
        burst: how many may go at once after a pause in the traffic; at least 1.
        windows: the times when the gate is open, each from and to, in order and apart from each other; none = always. After
            the last one the gate stays closed.
    """

    rate: float | None = None
    burst: int = 1
    windows: tuple[tuple[float, float], ...] = ()

    def first(self, at: float) -> float:
        """Return the first moment from `at` on that lies in a window; infinity if there is none."""
        if not self.windows:
            return at
        return next((max(opens, at) for opens, closes in self.windows if closes > at), math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a bulk is to be.

    Attributes:
        name: of the bulk, and of its group.
        letter: what all of its mails say.
        letter_digest: tells this letter from others.
        mailer: alias of the mailer that delivers it.
        lane: which lane its mails travel in.
        created_at: when it was begun.
        due_at: its mails go not before this time.
        expires_at: they go not after this time; None = they never expire.
        on_in_doubt: what to do when a second copy might be made.
        timetable: how fast, and when.
        max_bounces: of so many rejected mails among the last `bounce_window` that are settled, one more pauses the bulk;
            None = it never pauses by itself.
        bounce_window: see there.
        opens_at_once: mails go while rows still come in.
        note: more that its owner wants to know again, as text.
    """

    name: str
    letter: bytes = field(repr=False)
    letter_digest: str
    mailer: str = "relay"
    lane: Lane = Lane.BULK
    created_at: float = 0.0
    due_at: float = 0.0
    expires_at: float | None = None
    on_in_doubt: OnInDoubt = "resend"
    timetable: Timetable = field(default_factory=Timetable)
    max_bounces: int | None = 50
    bounce_window: int = 500
    opens_at_once: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One recipient's mail, as it is put in.

    Attributes:
        id: of the mail: 32 lower-case hexadecimal digits.
        payload: the row.
        domain: of the recipient, lower-case.
        is_suppressed: it is only kept for the report, and never sent.
    """

    id: str
    payload: bytes
    domain: str
    is_suppressed: bool = False


@dataclass(frozen=True, slots=True)
class RowsTaken:
    """What became of rows that were put in.

    Attributes:
        new: how many were not known, suppressed ones among them.
        suppressed: how many of the new ones are suppressed.
        repeated: how many were known from this fill: the list names them twice.
        known: how many were known from an earlier fill.
    """

    new: int = 0
    suppressed: int = 0
    repeated: int = 0
    known: int = 0


class BulkClosed(MailworkerError):  # noqa: N818 - a state of the bulk, not a bug
    """Raised when rows are put into a bulk that takes none: it is cancelled, or not known."""


class PendingRows(Protocol):
    """Rows on their way to the spool."""

    def answer(self) -> RowsTaken:
        """Wait for the spool.

        Raises:
            SpoolUnavailable: they may have been taken or not; they may be put in once more.
            BulkClosed: the bulk takes none.
        """
        ...


class BulkGate(StrEnum):
    """What holds a bulk back."""

    OPEN = "open"
    FILLING = "filling"  #: its last row has not come yet
    PAUSED = "paused"  #: by a person, or by itself
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkError:
    """One of the last outcomes that were no acceptance.

    Attributes:
        at: when.
        domain: of the recipient.
        outcome: what was said.
    """

    at: float
    domain: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """How a bulk stands.

    Attributes:
        plan: what it is to be; its letter is left out (`Spool.letter` has it).
        gate: what holds it back, the clock and its rate aside.
        reason: why it is paused.
        has_stopped_itself: it was paused by its own bounces.
        opens_at: when its window opens; None if it is open, or there is none; infinity if none comes any more.
        rows: mails that came in, in all fills.
        suppressed: those of them that were suppressed already then.
        read: rows that its fills have read so far, as they have told.
        bad: those of them that were refused.
        last_row_at: when rows came in last; None before the first.
        filled_at: when the last fill ended; None while rows are still to come.
        began_at: when the first of its mails was settled; None before that.
        ended_at: when the last one was settled, if none is left.
        states: its mails by state, without those that are forgotten.
        forgotten: mails that are past their retention; their counts stay in `outcomes`.
        outcomes: domain -> class -> number of mails whose last outcome it is; "" stands for what is beyond `MAX_DOMAINS`.
        errors: the last ones, newest first.
        now: when it stood so.
    """

    plan: Plan
    gate: BulkGate
    reason: str = ""
    has_stopped_itself: bool = False
    opens_at: float | None = None
    rows: int = 0
    suppressed: int = 0
    read: int = 0
    bad: int = 0
    last_row_at: float | None = None
    filled_at: float | None = None
    began_at: float | None = None
    ended_at: float | None = None
    states: Mapping[State, int] = field(default_factory=lambda: _NO_STATES)
    forgotten: int = 0
    outcomes: Mapping[str, Mapping[OutcomeClass, int]] = field(default_factory=dict)
    errors: tuple[BulkError, ...] = ()
    now: float = 0.0

    @property
    def left(self) -> int:
        """How many of its mails are not settled: due, leased or held."""
        return sum(self.states.get(state, 0) for state in (State.DUE, State.LEASED, State.HELD))


def row_times(plan: Plan, began: float, number: int) -> Iterator[tuple[float, float]]:
    """Yield when rows were created and are due: a microsecond apart, so that they go in the order in which they came.

    Args:
        plan: of the bulk.
        began: when this fill began, seconds.
        number: rows that it has put so far.
    """
    while True:
        after = number * 1e-6
        created = began + after
        yield created, max(created, plan.due_at + after)
        number += 1


class Bulks(Protocol):
    """The bulks of a spool. Any call may raise `SpoolUnavailable` where the spool has a server."""

    def begin(self, plan: Plan) -> Bulk:
        """Begin a bulk, or a further fill of one that is known.

        Its gate is closed until `end`, unless the plan opens it at once; of several fills at a time, until the end of the one
        that has begun last. Of a bulk that is known, with the same letter, nothing else changes. One that has another letter and
        rows, that is cancelled, or some of whose mails are forgotten, stays as it is, and the caller fills it no further.

        Returns:
            How the bulk stands now.
        """
        ...

    def put(self, name: str, rows: Sequence[Row]) -> RowsTaken:
        """Take rows of a bulk in, idempotent by id, some hundred at most: all of them, or none.

        One that is known from an earlier fill and is suppressed now is dropped, if it is due or held.

        Raises:
            BulkClosed: the bulk is cancelled, or not known.
            ValueError: it was not begun by this object.
        """
        ...

    def start(self, name: str, rows: Sequence[Row]) -> PendingRows:
        """Send rows on their way as `put` does, and do not wait for the answer."""
        ...

    def end(self, name: str, read: int = 0, bad: int = 0) -> None:
        """Open a bulk's gate after its last row.

        Args:
            name: of the bulk.
            read: rows that this fill has read.
            bad: those of them that it has refused.

        Raises:
            BulkClosed: it is not known.
        """

    def get(self, name: str) -> Bulk | None:
        """Return how a bulk stands, None if it is not known."""

    def all(self) -> list[Bulk]:
        """Return how all bulks stand, the one that was begun last first."""
        ...

    def letter(self, name: str) -> bytes | None:
        """Return what all mails of a bulk say; None if it is not known, or all of its mails are forgotten."""

    def retime(self, name: str, timetable: Timetable) -> bool:
        """Give a bulk another rate and other windows; False if it is not known."""
        ...

    def mails(self, name: str) -> Iterator[tuple[MailStatus, bytes]]:
        """Yield what became of each mail of a bulk that is not forgotten, in the order of its rows, with its payload.

        That is b"" once it was accepted.
        """
        ...

    def replay_failed(self, name: str) -> int:
        """Replay the mails of a bulk that are dead or held; return how many."""
        ...


def tell_stopped(group: str | None) -> None:
    """Log that a bulk has paused itself."""
    text = "bulk %s has paused itself: too many of its last mails were rejected; look at `mailworker bulk show`, then resume it"
    logger.error(text, group, extra={"event": "bulk_paused", "group": group})
