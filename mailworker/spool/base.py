"""The port of the spool: who is due, who is leased, who is deferred, held, dead (DESIGN §8).

An implementation makes every call below one atomic step by one clock, its own (`put` of several: one for each mail).
A worker's word counts as long as its lease's token is the mail's last one and the lease has not been ended: by another
word, by a cancellation, or by another claim. So a lease that has run out may not be marked or renewed any more, but
what its worker has to say is heard until somebody else takes the mail; after that only a late ACCEPTED is merged into
the ledger, for it is the truth. `tests/spool/conformance.py` holds all implementations to these rules.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from mailworker.errors import ConfigurationError, MailworkerError
from mailworker.lane import Lane
from mailworker.outcome import Outcome
from mailworker.spool.bulk import Bulks
from mailworker.spool.record import Mail, MailStatus, State

#: A mail whose lease ran out this often in a row is buried: it kills its workers (DESIGN §8).
MAX_LAPSES = 3

#: Of so many claims in a row that find work in several lanes, the last one starts from the lowest (DESIGN §8, starvation
#: guard). In a row: a full bulk lane beside which a high mail comes now and then does not starve.
STARVATION_GUARD = 8


class SpoolUnavailable(MailworkerError):  # noqa: N818 - a state of the server, not a bug
    """Raised when the spool's server cannot be reached, or does not do as told, by any call of a spool that has one.

    Attributes:
        maybe_done: True if the step may have been made all the same: its answer was lost.
    """

    def __init__(self, text: str, *, maybe_done: bool) -> None:
        super().__init__(text)
        self.maybe_done = maybe_done


@dataclass(frozen=True, slots=True)
class Limits:
    """What one mailer allows, over all workers together.

    Attributes:
        rate: mails a second, None = no limit.
        burst: how many may go at once after a pause in the traffic; at least 1. A domain's rate has a burst of 1.
        domain_rate: domain, in any case of letters -> mails a second to it.
        domain_concurrency: domain -> mails that may be leased for it at one time.
        sessions: slots that may have a seat at one time, and so sessions with its relay; None = no limit.

    Raises:
        ConfigurationError: for a rate that is not above 0, or a count below 1.
    """

    rate: float | None = None
    burst: int = 1
    domain_rate: Mapping[str, float] = field(default_factory=dict)
    domain_concurrency: Mapping[str, int] = field(default_factory=dict)
    sessions: int | None = None

    def __post_init__(self) -> None:
        rates = {"rate": self.rate} if self.rate is not None else {}
        rates |= {f"domain_rate[{domain!r}]": rate for domain, rate in self.domain_rate.items()}
        for name, rate in rates.items():
            if not 0 < rate < math.inf:
                raise ConfigurationError(f"{name} is {rate!r}, expected mails a second, more than 0 (such as 14)")
        counts = {"burst": self.burst}
        counts |= {"sessions": self.sessions} if self.sessions is not None else {}
        counts |= {f"domain_concurrency[{domain!r}]": count for domain, count in self.domain_concurrency.items()}
        for name, count in counts.items():
            if count < 1:
                raise ConfigurationError(f"{name} is {count!r}, expected a whole number, 1 or more")
        object.__setattr__(self, "domain_rate", {d.lower(): r for d, r in self.domain_rate.items()})
        object.__setattr__(self, "domain_concurrency", {d.lower(): n for d, n in self.domain_concurrency.items()})

    def capped(self, domain: str | None) -> str | None:
        """Return the domain, in lower case, if it has a limit of its own; None otherwise."""
        if domain is None or not (self.domain_rate or self.domain_concurrency):
            return None
        domain = domain.lower()
        return domain if domain in self.domain_rate or domain in self.domain_concurrency else None


@dataclass(frozen=True, slots=True)
class Leased:
    """One mail in the hands of one worker.

    Attributes:
        mail: the record as it was claimed; its ledger includes nothing of this lease.
        token: proves the lease.
        expires_at: spool time when the lease runs out unless renewed or marked.
        in_doubt: an earlier lease had marked this mail and was never heard of again: its dot may have gone out. It
            stays so from claim to claim until a worker has said what it did about it (any word but `snooze`).
        slot: whose seat lasts at least as long as this lease; "" where the mailer's sessions are not limited.
        standing: the spool's own note on it, for nobody else.
    """

    mail: Mail
    token: str
    expires_at: float
    in_doubt: bool = False
    slot: str = ""
    standing: Any = field(default=None, repr=False, compare=False)


class Step(Protocol):
    """A worker's step from one mail to the next, on its way to the spool."""

    def answer(self) -> tuple[bool, bool]:
        """Wait for the spool; return what `done` and `mark` do, False for one that was not asked for.

        Raises:
            SpoolUnavailable: neither was made, or the first, or both. Both may be said again.
        """
        ...


@dataclass(frozen=True, slots=True)
class Made:
    """A step that is made already."""

    done: bool
    marked: bool

    def answer(self) -> tuple[bool, bool]:
        return self.done, self.marked


@dataclass(frozen=True, slots=True)
class Ended:
    """A mail that a claim met at its turn and brought to its end, without a worker: nobody else tells of it.

    Attributes:
        mail_id: whose.
        mailer: its mailer.
        lane: its lane.
        group: its group.
        state: EXPIRED, DEAD or DROPPED.
        attempts: charged attempts.
        reason: why; empty if it expired.
    """

    mail_id: str
    mailer: str
    lane: Lane
    group: str | None
    state: State
    attempts: int
    reason: str


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim.

    Attributes:
        leased: the mails, all of one mailer and one lane, oldest due first; empty if nothing is ready.
        next_in: seconds until the next mail of these lanes may be ready, None if nothing is known to come (nothing
            there, or only behind gates that a person closed). 0: ask again at once, also after an empty answer, which a
            claim gives when it met more ended mails, or more streams behind closed gates, than one step may put away. A lease that ends early, or a new mail,
            can make a mail ready sooner.
        ended: mails whose time was over, or that have lost their workers too often.
    """

    leased: tuple[Leased, ...] = ()
    next_in: float | None = None
    ended: tuple[Ended, ...] = ()


@dataclass(frozen=True, slots=True)
class MailerState:
    """A mailer's gate as all workers see it."""

    paused_until: float | None = None  #: breaker's pause; None when it is not paused by the breaker
    paused_by_person: bool = False
    failures: int = 0  #: troubles in a row
    reason: str = ""
    sessions: int = 0  #: seats that are taken, where they are limited


#: What a group's gate may be; of several the last one counts. A bulk is "filling" until its last row has come.
GroupGate = Literal["open", "filling", "paused", "cancelled"]


@dataclass(frozen=True, slots=True)
class SpoolStats:
    """Counts for people.

    Attributes:
        counts: (mailer, lane, state) -> number, where it is not 0.
        later: (mailer, lane) -> how many of those that are due will be ready only at a later time, where it is not 0.
        oldest_due_age: seconds since the mail that has waited longest became ready, whatever gate it waits behind;
            None if no mail is ready.
        mailers: the gates of all mailers that were ever heard of.
        groups: the gates of the groups that are not open.
    """

    counts: Mapping[tuple[str, Lane, State], int]
    oldest_due_age: float | None
    mailers: Mapping[str, MailerState]
    groups: Mapping[str, GroupGate] = field(default_factory=dict)
    later: Mapping[tuple[str, Lane], int] = field(default_factory=dict)


class Spool(Protocol):
    """The durable queue."""

    @property
    def bulks(self) -> Bulks:
        """The groups that have a plan, one letter and many rows."""
        ...

    def now(self) -> float:
        """Return the spool's clock, in seconds since the epoch."""
        ...

    def put(self, mails: Iterable[Mail]) -> list[bool]:
        """Take mails in, idempotent by id.

        Returns:
            For each mail True if it is new, False if its id was known already (nothing changes then, and it does not
            matter what state the known one is in).
        """
        ...

    def claim(
        self, lanes: Sequence[Lane], limit: int, lease: float, mailer: str | None = None, slot: str = ""
    ) -> Claim:
        """Lease up to `limit` mails of one mailer for `lease` seconds.

        Lanes: looked at in the order given, the next one only when the higher ones have nothing ready; every eighth
        claim in a row that finds work in several lanes starts from the lowest of them instead, so that none starves. Within a
        lane the mailers take turns, and within a mailer and lane the streams, mail by mail.

        Gates: a closed one (mailer, group, domain, rate, concurrency) is passed by without touching the mails behind
        it. While a mailer's breaker has failures on record and its pause is over, one mail is given out, alone, as the
        probe, and no other until `recover` or `trip` or the end of that lease. Each mail takes one from the rates.

        Seats: mail of a mailer whose `sessions` are limited is given out only to a slot that has one of its seats, or gets
        a free one with the mail; for all others the mailer's gate is closed, and `next_in` counts from the end of the first
        seat. A seat lasts as long as any lease that its slot was given on mail of this mailer, made longer by `mark`, `step`
        and `renew`, and until then whatever becomes of the mail; so a slot that has a lease has the seat. `leave` gives it
        up, and a slot that is lost loses it by time.

        Mails: one whose `expires_at` has come is not returned: it becomes EXPIRED, or if an attempt has been charged DEAD
        (DROPPED), with its outcomes. One whose lease ran out is due again
        by itself; its claim counts one lapse more, and a mark left on it makes `Leased.in_doubt` true and sets the
        ledger's flag. It is claimed alone until a worker has tried it and lived to tell; at `MAX_LAPSES` it is buried.

        Args:
            lanes: highest first.
            limit: mails at most, 1 or more.
            lease: seconds.
            mailer: only of this one; None for any.
            slot: who claims: a name that no other slot has; "" gets no mail of mailers with limited sessions.

        Raises:
            ValueError: if limit is below 1 or lease is not above 0.
        """
        ...

    def has_ready(self, lanes: Sequence[Lane], slot: str = "") -> bool:
        """Tell, at next to no cost, whether a claim on these lanes might find a mail; it may be wrong about gates.

        Of mailers whose seats are all taken it tells what the holder of one may find, if that is `slot`. With "" as the
        slot it tells of whoever may come: also of mailers that have a free seat.
        """
        ...

    def leave(self, mailer: str, slot: str) -> None:
        """Give up a slot's seat, if it has one: its session with this mailer's relay is closed, and it has no lease."""

    def mark(self, leased: Leased, lease: float) -> bool:
        """Note that work on this mail begins: charge the attempt and make the lease last `lease` seconds from now.

        A second mark of one lease charges nothing, so a lost reply may be asked for again.

        Returns:
            False if the lease is not ours any more: do not send. It has run out, was taken over, or was taken away
            because the group was cancelled or because a late worker told that recipients were accepted.
        """
        ...

    def step(self, done: tuple[Leased, Mapping[str, Outcome]] | None, following: Leased | None, lease: float) -> Step:
        """Say `done` of one mail and then `mark` of the next, in one round trip, without waiting for it.

        Args:
            done: the mail and its outcomes, None = there is none.
            following: the mail on which work begins, None = there is none.
            lease: seconds from now, of the mark.

        Raises:
            SpoolUnavailable: as the answer does, if it is known already.
        """
        ...

    def renew(self, leased: Leased, lease: float) -> bool:
        """Make the lease last `lease` seconds from now; False if it is not ours any more."""
        ...

    # The six words that end a lease. Outcomes that are given must name, together with the ledger's, every recipient: if
    # they leave nothing but acceptances (a late worker told of the others), the mail is SENT, whatever the word. Each returns True if it counted, or had counted already (its reply was lost and it
    # is said again); False if the lease was lost, and then nothing but its ACCEPTED outcomes is kept. These are never
    # tried again: a newer lease that has not been marked is void. An outcome IN_DOUBT sets the ledger's flag for ever.

    def done(self, leased: Leased, outcomes: Mapping[str, Outcome]) -> bool:
        """Finish as SENT: with these, every recipient was accepted; the payload goes.

        Said too late, it makes the mail SENT all the same, wherever it stands, if the ledger then knows nothing but
        acceptances; a newer lease is void.
        """
        ...

    def defer(self, leased: Leased, until: float, outcomes: Mapping[str, Outcome], *, resend: bool = False) -> bool:
        """Put back, due at `until`, with these outcomes; `resend=True` counts a resend in doubt."""
        ...

    def snooze(self, leased: Leased, until: float) -> bool:
        """Put back, due at `until`, as if this lease had never been.

        The attempt that `mark` charged and what the claim took from the rates are refunded. The pause is added to
        `Ledger.snoozed` if an earlier attempt has been charged.
        """
        ...

    def bury(self, leased: Leased, outcomes: Mapping[str, Outcome], reason: str, *, keep: bool = False) -> bool:
        """Give up: DEAD, or DROPPED if the mail is to fail silently.

        `keep=True` makes it DEAD in any case: its payload could not be read, and is needed to find out why.
        """
        ...

    def hold(self, leased: Leased, outcomes: Mapping[str, Outcome], reason: str) -> bool:
        """Put aside until a person replays or cancels it."""
        ...

    def drop(self, leased: Leased, reason: str) -> bool:
        """Give up without a dead letter: DROPPED; nobody wants it any more."""
        ...

    def cancel(self, mail_id: str) -> bool:
        """Take back a mail that is due or held; False if it is unknown, leased, finished or dead."""
        ...

    def replay(self, mail_id: str) -> bool:
        """Make a dead or held mail due now with fresh attempts, also if its group was cancelled.

        What was accepted is kept and not tried again; all other recipients are tried. False if it is neither.
        """
        ...

    def purge(self, mail_id: str) -> bool:
        """Remove a dead mail for good; False if it is unknown or not dead."""
        ...

    def get(self, mail_id: str) -> Mail | None:
        """Return the record as it stands now, or None if it is not known; `due_at` is when it was last put back to."""

    def status(self, mail_id: str) -> MailStatus | None:
        """Return what became of a mail so far, or None if it is not known (any more)."""

    def ids(self, state: State) -> list[str]:
        """Return the ids in a state, by `created_at`, oldest first: for people, not for the hot path."""
        ...

    def stats(self) -> SpoolStats:
        """Count what is there."""
        ...

    def pause(self, mailer: str, reason: str = "") -> None:
        """Close a mailer's gate until `resume`, by a person's wish."""

    def resume(self, mailer: str) -> None:
        """Open a mailer's gate, whoever closed it, and forget its failures."""

    def trip(self, mailer: str, backoff: Sequence[float], reason: str) -> float:
        """Count a trouble with the mailer's relay and pause it for `backoff[failures - 1]` seconds (the last repeats).

        While such a pause is running a further trouble is the same one, met by another worker: it does not count.

        Returns:
            The spool time at which the mailer is tried again.
        """
        ...

    def recover(self, mailer: str) -> None:
        """Forget the mailer's failures and end a pause by the breaker; a person's pause stays."""

    def mailer_state(self, mailer: str) -> MailerState:
        """Return the mailer's gate."""
        ...

    def pause_group(self, group: str, reason: str = "") -> None:
        """Close a group's gate, in O(1); it may have no mails yet. The reason is kept for a bulk."""

    def resume_group(self, group: str) -> None:
        """Open a group's gate again after a pause or a cancellation; what was cancelled stays so.

        Of a group without mails nothing is left then.
        """

    def group_gate(self, group: str) -> GroupGate:
        """Return how a group's gate stands; that of a group that is not known is open."""
        ...

    def cancel_group(self, group: str) -> None:
        """Take back what is due or held, in O(1); each mail shows CANCELLED from now on.

        What is leased is taken back at its mark, or when it is put back; what a worker has begun ends as it ends. The
        gate stays shut, so that a producer in the middle of a group cannot go on: what is put under this name is
        CANCELLED at once, until `resume_group`, or until the last of the group's mails is forgotten. It may have no mails
        yet, for its producer may be slow to start; then it stays shut until its first ones have come and are forgotten. If
        none ever come, only `resume_group` takes it out of the spool again.
        """

    def status_of_group(self, group: str) -> Mapping[State, int]:
        """Count the group's mails by state, without a scan; states without mails are left out."""
        ...
