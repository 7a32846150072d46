"""What holds back the mails of a mailer: a person's pause, the breaker, its rates and the limits of its domains.

It lives apart from the spool because several spools of one process may share it: the task carrier opens a MemorySpool
for each task, and the breaker has to be remembered from one to the next. Streams and groups are the spool's own.
It only keeps state; the rules are in `breaker` and `rate`. Every call is one atomic step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

from mailworker.spool import rate
from mailworker.spool.agenda import Agenda
from mailworker.spool.base import Limits, MailerState
from mailworker.spool.breaker import CLOSED, Breaker


@dataclass(slots=True)
class _Domain:
    """A capped domain: its rate, and the leases that hold its seats with the time when each ends."""

    full_at: float = rate.UNUSED
    seats: Agenda[str] = field(default_factory=Agenda)


@dataclass(slots=True)
class _Gate:
    paused_by_person: bool = False
    reason: str = ""
    breaker: Breaker = CLOSED
    full_at: float = rate.UNUSED
    domains: dict[str, _Domain] = field(default_factory=dict)
    #: Slots that have a seat, with the time when it ends.
    seats: Agenda[str] = field(default_factory=Agenda)


class MailerGates:
    """The gates of all mailers, for one or several MemorySpools of a process.

    Times are seconds by the clock of the spools, which is handed in as `now`.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._gates: dict[str, _Gate] = {}

    def pause(self, mailer: str, reason: str = "") -> None:
        """Close a gate until `resume`, by a person's wish."""
        with self._lock:
            gate = self._gate(mailer)
            gate.paused_by_person, gate.reason = True, reason

    def resume(self, mailer: str) -> None:
        """Open a gate, whoever closed it, and forget its failures."""
        with self._lock:
            gate = self._gate(mailer)
            gate.paused_by_person, gate.reason, gate.breaker = False, "", CLOSED

    def trip(self, mailer: str, backoff: Sequence[float], reason: str, now: float) -> float:
        """Count a trouble (see `Breaker.tripped`); return when the mailer is tried again."""
        with self._lock:
            gate = self._gate(mailer)
            gate.breaker = gate.breaker.tripped(backoff, reason, now)
            return gate.breaker.paused_until or now

    def recover(self, mailer: str) -> None:
        """Forget the failures; a person's pause stays."""
        with self._lock:
            gate = self._gates.get(mailer)
            if gate is not None:
                gate.breaker = CLOSED

    def state(self, mailer: str, now: float) -> MailerState:
        """Return what people and workers see of a gate."""
        with self._lock:
            gate = self._gates.get(mailer)
            if gate is None:
                return MailerState()
            until = gate.breaker.paused_until
            return MailerState(
                paused_until=until if until is not None and until > now else None,
                paused_by_person=gate.paused_by_person,
                failures=gate.breaker.failures,
                reason=gate.reason if gate.paused_by_person and gate.reason else gate.breaker.reason,
                sessions=_taken(gate.seats, now),
            )

    def mailers(self) -> list[str]:
        """Return the mailers that have ever had a gate."""
        with self._lock:
            return list(self._gates)

    def wait(self, mailer: str, limits: Limits, now: float) -> float:
        """Return the seconds until the mailer's gate may let a mail pass: 0 now, infinity only by a person's word."""
        with self._lock:
            gate = self._gates.get(mailer)
            return 0.0 if gate is None else _wait(gate, limits, now)

    def domain_wait(self, mailer: str, domain: str, limits: Limits, now: float) -> float:
        """Return the seconds until a capped domain may take a mail, 0 if now; a lease that ends early makes it less."""
        with self._lock:
            gate = self._gates.get(mailer)
            capped = None if gate is None else gate.domains.get(domain)
            return 0.0 if capped is None else _domain_wait(capped, domain, limits, now)

    def seat_wait(self, mailer: str, limits: Limits, now: float, slot: str | None) -> float:
        """Return the seconds until a slot may have a seat, 0 if it has one, or now; one that is given up makes it less.

        Args:
            mailer: whose.
            limits: the mailer's.
            now: seconds.
            slot: who asks: "" never gets a seat, None is anyone who has none.
        """
        if limits.sessions is None:
            return 0.0
        with self._lock:
            return _seat_wait(self._gates.get(mailer, _Gate()), limits.sessions, now, slot)

    def leave_seat(self, mailer: str, slot: str) -> None:
        """Give up a slot's seat."""
        with self._lock:
            if mailer in self._gates:
                self._gates[mailer].seats.discard(slot)

    def admit(
        self, mailer: str, domain: str | None, limits: Limits, now: float, *, token: str, until: float, slot: str
    ) -> bool:
        """Let one mail pass all gates, or none.

        Args:
            mailer: its mailer.
            domain: its domain if that is capped, else None.
            limits: the mailer's.
            now: seconds.
            token: of the lease that it gets; it holds the domain's seat, and is the probe if one is needed.
            until: when that lease ends.
            slot: who gets it, and with it a seat, if those are limited.

        Returns:
            False if a gate is closed; then nothing has been taken from any of them.
        """
        with self._lock:
            gate = self._gate(mailer)
            if _wait(gate, limits, now) > 0:
                return False
            if limits.sessions is not None and _seat_wait(gate, limits.sessions, now, slot) > 0:
                return False
            if domain is not None:
                capped = gate.domains.setdefault(domain, _Domain())
                if _domain_wait(capped, domain, limits, now) > 0:
                    return False
                if domain in limits.domain_rate:
                    capped.full_at = rate.taken(capped.full_at, now, limits.domain_rate[domain])
                if domain in limits.domain_concurrency:
                    capped.seats.set(token, until)
            if limits.rate is not None:
                gate.full_at = rate.taken(gate.full_at, now, limits.rate)
            if gate.breaker.failures:
                gate.breaker = gate.breaker.probing(token, until)
            if limits.sessions is not None:
                gate.seats.set(slot, max(until, gate.seats.time_of(slot) or until))
            return True

    def extend(self, mailer: str, domain: str | None, token: str, until: float, *, slot: str) -> None:
        """Make what a lease holds of the gates last until then; a seat that lasts longer stays."""
        with self._lock:
            gate = self._gates.get(mailer)
            if gate is None:
                return
            if gate.breaker.probe == token:
                gate.breaker = gate.breaker.probing(token, until)
            if domain is not None and domain in gate.domains and token in gate.domains[domain].seats:
                gate.domains[domain].seats.set(token, until)
            if slot and slot in gate.seats:
                gate.seats.set(slot, max(until, gate.seats.time_of(slot) or until))

    def leave(self, mailer: str, domain: str | None, limits: Limits, token: str, *, unsent: bool) -> None:
        """Give back what a lease held; with `unsent` also what it took from the rates."""
        with self._lock:
            gate = self._gates.get(mailer)
            if gate is None:
                return
            gate.breaker = gate.breaker.without(token)
            if unsent and limits.rate is not None:
                gate.full_at = rate.refunded(gate.full_at, limits.rate)
            capped = gate.domains.get(domain) if domain is not None else None
            if domain is not None and capped is not None:
                capped.seats.discard(token)
                if unsent and domain in limits.domain_rate:
                    capped.full_at = rate.refunded(capped.full_at, limits.domain_rate[domain])

    def _gate(self, mailer: str) -> _Gate:
        gate = self._gates.get(mailer)
        if gate is None:
            gate = self._gates[mailer] = _Gate()
        return gate


def _wait(gate: _Gate, limits: Limits, now: float) -> float:
    if gate.paused_by_person:
        return math.inf
    wait = gate.breaker.wait(now)
    if limits.rate is not None:
        wait = max(wait, rate.wait(gate.full_at, now, limits.rate, limits.burst))
    return wait


def _domain_wait(capped: _Domain, domain: str, limits: Limits, now: float) -> float:
    wait = 0.0
    if domain in limits.domain_rate:
        wait = rate.wait(capped.full_at, now, limits.domain_rate[domain], 1)
    seats = limits.domain_concurrency.get(domain)
    if seats is not None and _taken(capped.seats, now) >= seats:
        wait = max(wait, (capped.seats.first_time() or now) - now)
    return wait


def _seat_wait(gate: _Gate, seats: int, now: float, slot: str | None) -> float:
    if slot == "":
        return math.inf
    if _taken(gate.seats, now) < seats or (slot is not None and slot in gate.seats):
        return 0.0
    return (gate.seats.first_time() or now) - now


def _taken(seats: Agenda[str], now: float) -> int:
    """Count seats, without those whose time is over."""
    while seats.pop_until(now) is not None:
        pass
    return len(seats)
