"""MemorySpool: the spool's contract in the memory of one process, for the task carrier, eager mode and tests.

It decides what each word of a worker or a person does to a mail, by the rules of `rules`. Where a mail stands is
`shelf`'s to know, which ones a claim gives out is `claims`'s, what holds a mailer back is `gates`'. Nothing outlives the process. It raises only for
arguments that make no sense; what a worker says too late is refused by False. Safe from any number of threads.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from threading import Lock
from types import MappingProxyType

from mailworker.lane import Lane
from mailworker.outcome import Outcome, OutcomeClass
from mailworker.spool import rules
from mailworker.spool.base import Claim, GroupGate, Leased, Limits, Made, MailerState, SpoolStats, Step
from mailworker.spool.bulk import tell_stopped
from mailworker.spool.claims import Claims
from mailworker.spool.gates import MailerGates
from mailworker.spool.group import Group, class_of_row
from mailworker.spool.memory_bulks import MemoryBulks
from mailworker.spool.record import Ledger, Mail, MailStatus, State
from mailworker.spool.shelf import Entry, Shelf

_NOTHING: Mapping[str, Outcome] = MappingProxyType({})


def _token() -> str:
    return secrets.token_hex(16)


class MemorySpool:
    """A spool in memory; the operations are those of `mailworker.spool.base.Spool`.

    Args:
        clock: seconds since the epoch.
        limits: mailer -> what it allows; a mailer that is not named has no limits.
        retention: seconds for which finished mails stay known.
        gates: the mailers' gates, if they are shared with other spools of this process.
        token: makes the tokens of leases; no two may be equal.
        keeps_rates: bulks go at their rate; False = as fast as they can, where no time passes while a caller waits.

    Attributes:
        bulks: see there.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        *,
        limits: Mapping[str, Limits] = MappingProxyType({}),
        retention: float = 7 * 86_400,
        gates: MailerGates | None = None,
        token: Callable[[], str] = _token,
        keeps_rates: bool = True,
    ) -> None:
        self._clock = clock
        self._gates = MailerGates() if gates is None else gates
        self._shelf = Shelf(retention)
        self._claims = Claims(self._shelf, self._gates, limits, token)
        self._lock = Lock()
        self.bulks = MemoryBulks(
            self._shelf, self._claims, self._lock, clock, keeps_rates, read=self._read, replay=self.replay
        )

    def now(self) -> float:
        return self._clock()

    def put(self, mails: Iterable[Mail]) -> list[bool]:
        return [self._put(mail) for mail in mails]

    def claim(
        self, lanes: Sequence[Lane], limit: int, lease: float, mailer: str | None = None, slot: str = ""
    ) -> Claim:
        if limit < 1 or not lease > 0:
            raise ValueError(f"claim(): limit {limit!r} and lease {lease!r}, expected at least 1 mail and above 0 s")
        with self._lock:
            now = self._clock()
            self._shelf.tidy(now)
            return self._claims.claim(lanes, limit, lease, mailer, slot, now)

    def has_ready(self, lanes: Sequence[Lane], slot: str = "") -> bool:
        with self._lock:
            wait = self._claims.next_in(lanes, slot or None, self._clock())
            return wait is not None and wait <= 0

    def leave(self, mailer: str, slot: str) -> None:
        self._gates.leave_seat(mailer, slot)

    def mark(self, leased: Leased, lease: float) -> bool:
        with self._lock:
            now = self._clock()
            entry = self._held_by(leased, now)
            if entry is None:
                return False
            if entry.is_called_back and not entry.marked:
                self._leave(entry, unsent=True)
                self._shelf.finish(entry, State.CANCELLED, now)
                # Its worker has no more to say, unless somebody was accepted.
                entry.token = None
                return False
            if not entry.marked:
                entry.mail = replace(entry.mail, ledger=rules.charged(entry.mail.ledger, now))
                entry.marked = True
            self._extend(entry, now + lease, leased.slot)
            return True

    def step(self, done: tuple[Leased, Mapping[str, Outcome]] | None, following: Leased | None, lease: float) -> Step:
        is_done = done is not None and self.done(*done)
        return Made(is_done, following is not None and self.mark(following, lease))

    def renew(self, leased: Leased, lease: float) -> bool:
        with self._lock:
            now = self._clock()
            entry = self._held_by(leased, now)
            if entry is None:
                return False
            self._extend(entry, now + lease, leased.slot)
            return True

    def done(self, leased: Leased, outcomes: Mapping[str, Outcome]) -> bool:
        return self._close(
            leased,
            "done",
            outcomes,
            lambda ledger, marked, _: rules.heard(ledger, outcomes, was_marked=marked),
            lambda entry, now: self._shelf.finish(entry, State.SENT, now),
        )

    def defer(self, leased: Leased, until: float, outcomes: Mapping[str, Outcome], *, resend: bool = False) -> bool:
        return self._close(
            leased,
            "defer",
            outcomes,
            lambda ledger, marked, _: rules.heard(ledger, outcomes, was_marked=marked, resend=resend),
            lambda entry, now: self._postpone(entry, until, now),
        )

    def snooze(self, leased: Leased, until: float) -> bool:
        return self._close(
            leased,
            "snooze",
            _NOTHING,
            lambda ledger, marked, now: rules.refunded(ledger, until - now, was_marked=marked),
            lambda entry, now: self._postpone(entry, until, now),
        )

    def bury(self, leased: Leased, outcomes: Mapping[str, Outcome], reason: str, *, keep: bool = False) -> bool:
        return self._close(
            leased,
            "bury",
            outcomes,
            lambda ledger, marked, _: rules.heard(ledger, outcomes, was_marked=marked, reason=reason),
            lambda entry, now: self._shelf.make_dead(entry, now, keep=keep),
        )

    def hold(self, leased: Leased, outcomes: Mapping[str, Outcome], reason: str) -> bool:
        return self._close(
            leased,
            "hold",
            outcomes,
            lambda ledger, marked, _: rules.heard(ledger, outcomes, was_marked=marked, reason=reason),
            self._shelf.make_held,
        )

    def drop(self, leased: Leased, reason: str) -> bool:
        return self._close(
            leased,
            "drop",
            _NOTHING,
            lambda ledger, marked, _: rules.heard(ledger, _NOTHING, was_marked=marked, reason=reason),
            lambda entry, now: self._shelf.finish(entry, State.DROPPED, now),
        )

    def cancel(self, mail_id: str) -> bool:
        with self._lock:
            now = self._clock()
            entry = self._shelf.find(mail_id, now)
            if entry is None or entry.state not in (State.DUE, State.HELD):
                return False
            entry.take_lapse()
            self._shelf.finish(entry, State.CANCELLED, now)
            return True

    def replay(self, mail_id: str) -> bool:
        with self._lock:
            now = self._clock()
            entry = self._shelf.find(mail_id, now)
            if entry is None or entry.state not in (State.DEAD, State.HELD):
                return False
            if entry.group is not None and entry.state is State.DEAD:
                entry.group.take_back(entry.mail)
            entry.mail = rules.replayed(entry.mail, now)
            entry.token = None
            entry.doubt = entry.marked = False
            if entry.group is not None:
                entry.epoch = entry.group.epoch
            self._shelf.make_due(entry, now, now)
            return True

    def purge(self, mail_id: str) -> bool:
        with self._lock:
            entry = self._shelf.find(mail_id, self._clock())
            if entry is None or entry.state is not State.DEAD:
                return False
            self._shelf.remove(entry)
            return True

    def forget(self, mail_id: str) -> None:
        """Remove a mail, whatever its state, as if it had never been put here; for the eager mode, not of the port."""
        with self._lock:
            entry = self._shelf.find(mail_id, self._clock())
            if entry is not None:
                self._shelf.remove(entry)

    def get(self, mail_id: str) -> Mail | None:
        with self._lock:
            entry = self._shelf.find(mail_id, self._clock())
            return None if entry is None else entry.mail

    def status(self, mail_id: str) -> MailStatus | None:
        with self._lock:
            entry = self._shelf.find(mail_id, self._clock())
            if entry is None:
                return None
            mail, ledger = entry.mail, entry.mail.ledger
            return MailStatus(
                id=mail.id,
                state=entry.state,
                mailer=mail.mailer,
                lane=mail.lane,
                group=mail.group,
                attempts=ledger.attempts,
                in_doubt=ledger.in_doubt,
                next_attempt_at=entry.ready_at if entry.state is State.DUE else None,
                created_at=mail.created_at,
                expires_at=mail.expires_at,
                reason=ledger.reason,
                outcomes=ledger.outcomes,
            )

    def ids(self, state: State) -> list[str]:
        with self._lock:
            entries = [entry for entry in self._shelf.entries(self._clock()) if entry.state is state]
            return [entry.mail.id for entry in sorted(entries, key=lambda entry: entry.mail.created_at)]

    def stats(self) -> SpoolStats:
        with self._lock:
            now = self._clock()
            self._shelf.bring_up_to_date(now)
            rows = self._shelf.rows
            since = min((at for row in rows.values() if (at := row.oldest()) is not None), default=math.inf)
            names = dict.fromkeys([alias for alias, _ in rows] + self._gates.mailers())
            return SpoolStats(
                counts={(*key, state): n for key, row in rows.items() for state, n in row.counts.items() if n},
                oldest_due_age=now - since if since <= now else None,
                mailers={alias: self._gates.state(alias, now) for alias in names},
                groups={name: one.gate for name, one in self._shelf.groups.items() if one.gate != "open"},
                later={key: n for key, row in rows.items() if (n := row.later(now))},
            )

    def pause(self, mailer: str, reason: str = "") -> None:
        self._gates.pause(mailer, reason)

    def resume(self, mailer: str) -> None:
        self._gates.resume(mailer)

    def trip(self, mailer: str, backoff: Sequence[float], reason: str) -> float:
        return self._gates.trip(mailer, backoff, reason, self._clock())

    def recover(self, mailer: str) -> None:
        self._gates.recover(mailer)

    def mailer_state(self, mailer: str) -> MailerState:
        return self._gates.state(mailer, self._clock())

    def pause_group(self, group: str, reason: str = "") -> None:
        with self._lock:
            known = self._shelf.groups.setdefault(group, Group())
            known.paused, known.reason, known.has_stopped_itself = True, reason, False

    def resume_group(self, group: str) -> None:
        with self._lock:
            self._shelf.open_group(group, self._clock())

    def group_gate(self, group: str) -> GroupGate:
        with self._lock:
            known = self._shelf.groups.get(group)
            return "open" if known is None else known.gate

    def cancel_group(self, group: str) -> None:
        with self._lock:
            self._shelf.cancel_group(group, self._clock())

    def status_of_group(self, group: str) -> Mapping[State, int]:
        with self._lock:
            self._shelf.bring_up_to_date(self._clock())
            known = self._shelf.groups.get(group)
            return {} if known is None else {state: n for state, n in known.counts.items() if n}

    def _put(self, mail: Mail) -> bool:
        with self._lock:
            now = self._clock()
            self._shelf.tidy(now)
            if self._shelf.find(mail.id, now) is not None:
                return False
            self._claims.add_mailer(mail.mailer)
            self._shelf.add(mail, self._claims.limits_of(mail.mailer).capped(mail.domain), now)
            return True

    def _close(
        self,
        leased: Leased,
        word: str,
        outcomes: Mapping[str, Outcome],
        write: Callable[[Ledger, bool, float], Ledger],
        move: Callable[[Entry, float], None],
    ) -> bool:
        """Let a worker's word end its lease.

        Args:
            leased: the lease.
            word: which word it is.
            outcomes: what it says of the recipients.
            write: the ledger, whether this lease marked it, and now -> the ledger with the word.
            move: puts the mail where it belongs after the word.
        """
        with self._lock:
            now = self._clock()
            entry = self._shelf.find(leased.mail.id, now)
            if entry is None:
                return False
            if entry.token != leased.token or entry.closed_by is not None:
                # The same word again: the reply to the first one was lost.
                is_repeated = entry.token == leased.token and entry.closed_by == word
                return is_repeated or self._hear_late(entry, outcomes, now, says_all=word == "done")
            self._leave(entry, unsent=word == "snooze")
            entry.mail = replace(entry.mail, ledger=write(entry.mail.ledger, entry.marked, now))
            if word != "snooze":
                entry.doubt = False
            entry.marked = entry.has_lapsed = False
            entry.closed_by = word
            if outcomes and rules.is_accepted_throughout(entry.mail.ledger):
                entry.mail = replace(entry.mail, ledger=replace(entry.mail.ledger, reason=""))
                self._shelf.finish(entry, State.SENT, now)
            else:
                move(entry, now)
            self._tell_bulk(entry, word, outcomes, now)
            return True

    def _tell_bulk(self, entry: Entry, word: str, outcomes: Mapping[str, Outcome], now: float) -> None:
        group = entry.group
        if not entry.mail.is_row or group is None:
            return
        for outcome in outcomes.values():
            group.note_error(entry.mail, outcome, now)
        is_bounce = word == "bury" and class_of_row(entry.mail, entry.state) is OutcomeClass.REJECTED
        if is_bounce and group.stops_itself():
            tell_stopped(entry.mail.group)

    def _hear_late(self, entry: Entry, outcomes: Mapping[str, Outcome], now: float, *, says_all: bool) -> bool:
        """Merge what a worker without a lease knows for certain: who was accepted.

        If that is everybody, the mail is sent, wherever it stood: a newer lease is void, and its mark refused. If it is
        somebody, a newer lease whose work has not begun is void too, since its worker would try them again.
        """
        news = rules.news(entry.mail.ledger, outcomes)
        if news:
            ledger = replace(entry.mail.ledger, outcomes=entry.mail.ledger.merged(news))
            entry.mail = replace(entry.mail, ledger=ledger)
        if says_all and entry.state is not State.SENT and rules.is_accepted_throughout(entry.mail.ledger):
            self._take_away(entry, unsent=not entry.marked)
            self._shelf.finish(entry, State.SENT, now)
        elif news and entry.state is State.LEASED and not entry.marked:
            self._take_away(entry, unsent=True)
            self._shelf.make_due(entry, now, now)
        return False

    def _take_away(self, entry: Entry, *, unsent: bool) -> None:
        if entry.state is State.LEASED:
            self._leave(entry, unsent=unsent)
        entry.take_lapse()

    def _postpone(self, entry: Entry, until: float, now: float) -> None:
        entry.mail = replace(entry.mail, due_at=until)
        self._shelf.make_due(entry, until, now)

    def _held_by(self, leased: Leased, now: float) -> Entry | None:
        """Return the mail if this lease on it is in force."""
        entry = self._shelf.find(leased.mail.id, now)
        if entry is None or entry.state is not State.LEASED or entry.token != leased.token:
            return None
        return entry

    def _extend(self, entry: Entry, until: float, slot: str) -> None:
        assert entry.token is not None
        self._shelf.extend(entry, until)
        self._gates.extend(entry.mail.mailer, entry.stream[1], entry.token, until, slot=slot)

    def _leave(self, entry: Entry, *, unsent: bool) -> None:
        assert entry.token is not None
        limits = self._claims.limits_of(entry.mail.mailer)
        self._gates.leave(entry.mail.mailer, entry.stream[1], limits, entry.token, unsent=unsent)
        if unsent and entry.group is not None and entry.group.refund():
            entry.row.look_at(entry.stream, self._clock())

    def _read(self, mail_id: str) -> tuple[MailStatus, bytes] | None:
        status, mail = self.status(mail_id), self.get(mail_id)
        return None if status is None or mail is None else (status, mail.payload)
