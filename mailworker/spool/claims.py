"""Which mails a claim on a MemorySpool gives out: lanes, turns, gates, and what is asked of each mail (DESIGN §8).

It looks at a stream's first mail only when the gates of mailer, group and domain are open, and never at the mails
behind a closed one. It works on a shelf that the caller has locked; it raises for nothing that a mail contains.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mailworker.lane import Lane
from mailworker.spool import rules
from mailworker.spool.base import STARVATION_GUARD, Claim, Ended, Leased, Limits
from mailworker.spool.gates import MailerGates
from mailworker.spool.record import State
from mailworker.spool.rules import Verdict
from mailworker.spool.shelf import Entry, Shelf
from mailworker.spool.streams import Row, Stream

_NO_LIMITS = Limits()

#: Mails that one claim moves to their end (expired, buried) before it asks to be called again.
_ENDED_A_CLAIM = 1000

#: Streams that one claim puts beside a closed gate before it asks to be called again.
_PARKED_A_CLAIM = 1000


class Claims:
    """The claims of one spool.

    Args:
        shelf: where the mails stand.
        gates: of the mailers.
        limits: mailer -> what it allows.
        token: makes the tokens of leases.
    """

    def __init__(
        self, shelf: Shelf, gates: MailerGates, limits: Mapping[str, Limits], token: Callable[[], str]
    ) -> None:
        self._shelf = shelf
        self._gates = gates
        self._limits = dict(limits)
        self._token = token
        #: Mailers, the one that was served last at the end.
        self._mailers: dict[str, None] = {}
        #: Claims in a row that found work in several lanes.
        self._contested = 0
        #: Mails that the claim at work may still move to their end.
        self._endings_left = 0
        #: Streams that it may still park.
        self._parkings_left = 0
        #: Those that it has moved.
        self._ended: list[Ended] = []

    def limits_of(self, mailer: str) -> Limits:
        return self._limits.get(mailer, _NO_LIMITS)

    def add_mailer(self, mailer: str) -> None:
        """Give a mailer that has mails its turn."""
        self._mailers.setdefault(mailer)

    def claim(
        self, lanes: Sequence[Lane], limit: int, lease: float, mailer: str | None, slot: str, now: float
    ) -> Claim:
        """Lease what is to be given out now; see `Spool.claim`."""
        self._endings_left = _ENDED_A_CLAIM
        self._parkings_left = _PARKED_A_CLAIM
        self._ended = []
        mailers = list(self._mailers) if mailer is None else [mailer]
        leased: list[Leased] = []
        for alias, row in self._with_work(lanes, mailers, slot, now):
            leased = self._fill(alias, row, limit, lease, slot, now)
            if leased:
                break
        next_in = 0.0 if self._endings_left <= 0 else self._next_in(lanes, mailers, slot, now)
        return Claim(tuple(leased), next_in, tuple(self._ended))

    def next_in(self, lanes: Sequence[Lane], slot: str | None, now: float) -> float | None:
        """Return the seconds until a claim may find something, None if nothing is known to come.

        Args:
            lanes: of the claim.
            slot: who would claim; None is anyone who has no seat.
            now: seconds.
        """
        return self._next_in(lanes, list(self._mailers), slot, now)

    def _with_work(self, lanes: Sequence[Lane], mailers: Sequence[str], slot: str, now: float) -> list[tuple[str, Row]]:
        """Return, for each lane that has work behind open gates, the mailer whose turn it is; in the order to serve."""
        found = []
        for lane in lanes:
            for alias in mailers:
                row = self._shelf.rows.get((alias, lane))
                if row is None or self._closed_for(alias, slot, now) > 0:
                    continue
                self._shelf.end_lapsed(row, now)
                if self._ready(alias, row, now) is not None:
                    found.append((alias, row))
                    break
        if len(found) > 1:
            self._contested += 1
            if self._contested == STARVATION_GUARD:
                self._contested = 0
                found.reverse()
        elif found:
            self._contested = 0
        return found

    def _ready(self, mailer: str, row: Row, now: float) -> tuple[Stream, Entry, Verdict] | None:
        """Return the stream whose turn it is and its first mail, which may be given out; park what has closed gates.

        If that is too much for one claim, what is left keeps its turn, and so `_next_in` says at once.
        """
        limits = self.limits_of(mailer)
        for domain in row.parked_domains():
            if self._gates.domain_wait(mailer, domain, limits, now) <= 0:
                row.open_domain(domain)
        while self._parkings_left > 0 and (stream := row.front(now)) is not None:
            closed_for = 0.0 if stream.group is None else self._shelf.groups[stream.group].wait(now)
            if closed_for > 0:
                if closed_for == math.inf:
                    row.park_by_group(stream)
                else:
                    row.put_off(stream, now + closed_for)
                self._parkings_left -= 1
                continue
            if stream.domain is not None and self._gates.domain_wait(mailer, stream.domain, limits, now) > 0:
                row.park_by_domain(stream)
                self._parkings_left -= 1
                continue
            entry = self._shelf.find(stream.due.first(), now)
            assert entry is not None, "a mail that is due is never forgotten"
            verdict = rules.verdict(entry.mail, now, has_lapsed=entry.has_lapsed)
            if verdict in (Verdict.GIVE, Verdict.GIVE_ALONE):
                return stream, entry, verdict
            if self._endings_left <= 0:
                return None
            self._endings_left -= 1
            self._end(entry, verdict, now)
        return None

    def _end(self, entry: Entry, verdict: Verdict, now: float) -> None:
        entry.take_lapse()
        if verdict is Verdict.EXPIRE:
            self._shelf.finish(entry, State.EXPIRED, now)
        else:
            ledger = entry.mail.ledger
            reason = "its time was over before all were accepted"
            if verdict is Verdict.BURY:
                reason = f"{ledger.lapses} workers in a row were lost while they had it"
            entry.mail = replace(entry.mail, ledger=replace(ledger, reason=reason))
            self._shelf.make_dead(entry, now)
        mail, ledger = entry.mail, entry.mail.ledger
        self._ended.append(
            Ended(mail.id, mail.mailer, mail.lane, mail.group, entry.state, ledger.attempts, ledger.reason)
        )

    def _fill(self, mailer: str, row: Row, limit: int, lease: float, slot: str, now: float) -> list[Leased]:
        """Lease mails of a row, stream by stream, as long as its gates let them pass."""
        limits = self.limits_of(mailer)
        leased: list[Leased] = []
        until = now + lease
        while len(leased) < limit:
            ready = self._ready(mailer, row, now)
            if ready is None:
                break
            stream, entry, verdict = ready
            # One that may kill its worker waits for a claim of its own; it comes first in the next one.
            if leased and verdict is Verdict.GIVE_ALONE:
                break
            token = self._token()
            # A probe goes alone by itself: once it is admitted, its gate is closed to the next one.
            if not self._gates.admit(mailer, stream.domain, limits, now, token=token, until=until, slot=slot):
                break
            if entry.group is not None:
                entry.group.take(now)
            row.take(stream)
            entry.take_lapse()
            self._shelf.make_leased(entry, token, until)
            leased.append(Leased(entry.mail, token, until, entry.doubt, slot if limits.sessions else ""))
            if verdict is Verdict.GIVE_ALONE:
                break
        if leased:
            del self._mailers[mailer]
            self._mailers[mailer] = None
            leased.sort(key=lambda one: one.mail.due_at)
        return leased

    def _closed_for(self, mailer: str, slot: str | None, now: float) -> float:
        """Return the seconds until a mailer's gate may let a mail pass to a slot."""
        limits = self.limits_of(mailer)
        return max(self._gates.wait(mailer, limits, now), self._gates.seat_wait(mailer, limits, now, slot))

    def _next_in(self, lanes: Sequence[Lane], mailers: Sequence[str], slot: str | None, now: float) -> float | None:
        soonest = math.inf
        for alias in mailers:
            limits = self.limits_of(alias)
            closed_for = self._closed_for(alias, slot, now)
            for lane in lanes:
                row = self._shelf.rows.get((alias, lane))
                if row is None:
                    continue
                waits = [self._gates.domain_wait(alias, domain, limits, now) for domain in row.parked_domains()]
                at = row.next_time(now)
                if at is not None:
                    waits.append(max(at - now, 0.0))
                soonest = min([soonest, *(max(wait, closed_for) for wait in waits)])
        return None if soonest == math.inf else soonest
