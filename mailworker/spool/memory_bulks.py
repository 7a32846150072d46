"""The bulks of a MemorySpool: how their rows come in, and how they stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Lock

from mailworker.outcome import OutcomeClass
from mailworker.spool.bulk import SUPPRESSED, Bulk, BulkClosed, BulkGate, Plan, Row, RowsTaken, Timetable, row_times
from mailworker.spool.claims import Claims
from mailworker.spool.group import Filled, Group, class_of_row
from mailworker.spool.record import Ledger, Mail, MailStatus
from mailworker.spool.shelf import Shelf


@dataclass(frozen=True, slots=True)
class MadeRows:
    """Rows that are put in already."""

    taken: RowsTaken

    def answer(self) -> RowsTaken:
        return self.taken


class MemoryBulks:
    """Keeps bulks; the operations are those of `mailworker.spool.bulk.Bulks`.

    Args:
        shelf: where the mails stand.
        claims: know the mailers and their limits.
        lock: of the spool.
        clock: of the spool.
        keeps_rates: see `MemorySpool`.
        read: returns how a mail stands and its payload, by its id.
        replay: makes a dead or held mail due again.
    """

    def __init__(
        self,
        shelf: Shelf,
        claims: Claims,
        lock: Lock,
        clock: Callable[[], float],
        keeps_rates: bool,
        *,
        read: Callable[[str], tuple[MailStatus, bytes] | None],
        replay: Callable[[str], bool],
    ) -> None:
        self._shelf = shelf
        self._claims = claims
        self._lock = lock
        self._clock = clock
        self._keeps_rates = keeps_rates
        self._read = read
        self._replay = replay
        self._known: dict[str, Filled] = {}

    def begin(self, plan: Plan) -> Bulk:
        with self._lock:
            now = self._clock()
            # Else to look at its mails would forget them, and its group, halfway.
            self._shelf.bring_up_to_date(now)
            return self._begin(plan, now)

    def put(self, name: str, rows: Sequence[Row]) -> RowsTaken:
        with self._lock:
            now = self._clock()
            self._shelf.tidy(now)
            return self._put(name, rows, now)

    def start(self, name: str, rows: Sequence[Row]) -> MadeRows:
        return MadeRows(self.put(name, rows))

    def end(self, name: str, read: int = 0, bad: int = 0) -> None:
        with self._lock:
            self._end(name, read, bad, self._clock())

    def get(self, name: str) -> Bulk | None:
        with self._lock:
            now = self._clock()
            self._shelf.bring_up_to_date(now)
            known = self._known.get(name)
            return None if known is None else self._standing(name, known, now)

    def all(self) -> list[Bulk]:
        with self._lock:
            now = self._clock()
            self._shelf.bring_up_to_date(now)
            return [self._standing(name, known, now) for name, known in reversed(self._known.items())]

    def letter(self, name: str) -> bytes | None:
        with self._lock:
            known = self._known.get(name)
            return None if known is None else known.letter

    def retime(self, name: str, timetable: Timetable) -> bool:
        with self._lock:
            return self._retime(name, timetable, self._clock())

    def mails(self, name: str) -> Iterator[tuple[MailStatus, bytes]]:
        for mail_id in self._ids(name):
            found = self._read(mail_id)
            if found is not None:
                yield found

    def replay_failed(self, name: str) -> int:
        return sum(self._replay(mail_id) for mail_id in self._ids(name))

    def _ids(self, name: str) -> list[str]:
        with self._lock:
            known = self._known.get(name)
            return [] if known is None else list(known.ids)

    def _begin(self, plan: Plan, now: float) -> Bulk:
        group = self._shelf.groups.get(plan.name) or Group()
        known = self._known.get(plan.name)
        if group.cancelled:
            if known is None:
                return Bulk(plan=replace(plan, letter=b""), gate=BulkGate.CANCELLED, now=now)
            return self._standing(plan.name, known, now)
        if (
            known is not None
            and not known.ids
            and not (group.filling and known.plan.letter_digest == plan.letter_digest)
        ):
            # One without rows is as good as none; whoever fills it just now goes on if it says the same.
            known = None
        if known is not None and (known.plan.letter_digest != plan.letter_digest or known.forgotten):
            return self._standing(plan.name, known, now)
        self._shelf.groups[plan.name] = group
        if known is None:
            kept = replace(plan, letter=b"", created_at=now)
            known = self._known[plan.name] = group.bulk = Filled(kept, plan.letter, now)
            group.set_timetable(self._kept(plan.timetable))
            group.filling = False
        known.letter, known.began_filling_at, known.number, known.filled_at = plan.letter, now, 0, None
        group.filling = group.filling or not plan.opens_at_once
        return self._standing(plan.name, known, now)

    def _put(self, name: str, rows: Sequence[Row], now: float) -> RowsTaken:
        known, group = self._known.get(name), self._shelf.groups.get(name)
        if known is None or group is None or group.bulk is not known:
            raise BulkClosed(f"the bulk {name!r} is not known (any more)")
        if group.cancelled:
            raise BulkClosed(f"the bulk {name!r} is cancelled")
        self._claims.add_mailer(known.plan.mailer)
        limits = self._claims.limits_of(known.plan.mailer)
        taken: Counter[str] = Counter()
        for row, (created, due) in zip(rows, row_times(known.plan, known.began_filling_at, known.number), strict=False):
            found = self._shelf.find(row.id, now)
            if found is not None:
                is_repeated = found.mail.created_at >= known.began_filling_at
                taken["repeated" if is_repeated else "known"] += 1
                if row.is_suppressed and not is_repeated:
                    self._shelf.drop_unsent(found, now)
                continue
            taken["new"] += 1
            known.ids.append(row.id)
            mail = _mail(known.plan, row, round(created, 6), round(due, 6))
            self._shelf.add(mail, limits.capped(row.domain), now, is_dropped=row.is_suppressed)
            taken["suppressed"] += row.is_suppressed
        known.number += len(rows)
        known.suppressed += taken["suppressed"]
        known.last_row_at = now
        return RowsTaken(**taken)

    def _end(self, name: str, read: int, bad: int, now: float) -> None:
        known = self._known.get(name)
        if known is None:
            raise BulkClosed(f"there is no bulk {name!r} (any more)")
        known.read += read
        known.bad += bad
        known.filled_at = now
        group = self._shelf.groups.get(name)
        if group is not None:
            group.filling = False
            self._shelf.open_streams(name, now)
            self._shelf.forget_if_empty(name)

    def _retime(self, name: str, timetable: Timetable, now: float) -> bool:
        known = self._known.get(name)
        if known is None:
            return False
        known.plan = replace(known.plan, timetable=timetable)
        group = self._shelf.groups.get(name)
        if group is not None:
            group.set_timetable(self._kept(timetable))
            self._shelf.open_streams(name, now)
        return True

    def _kept(self, timetable: Timetable) -> Timetable:
        return timetable if self._keeps_rates else replace(timetable, rate=None)

    def _standing(self, name: str, known: Filled, now: float) -> Bulk:
        group = self._shelf.groups.get(name) or Group()
        counts = Counter(known.outcomes)
        for mail_id in known.ids:
            entry = self._shelf.find(mail_id, now)
            kind = None if entry is None else class_of_row(entry.mail, entry.state)
            if entry is not None and kind is not None:
                counts[entry.mail.domain or "", kind] += 1
        outcomes: dict[str, dict[OutcomeClass, int]] = {}
        for (domain, kind), number in counts.items():
            outcomes.setdefault(domain, {})[kind] = number
        return Bulk(
            plan=known.plan,
            gate=BulkGate(group.gate),
            reason=group.reason,
            has_stopped_itself=group.has_stopped_itself,
            opens_at=group.opens_at(now),
            rows=len(known.ids),
            suppressed=known.suppressed,
            read=known.read,
            bad=known.bad,
            last_row_at=known.last_row_at,
            filled_at=known.filled_at,
            began_at=known.began_at,
            ended_at=known.ended_at if not group.left else None,
            states={state: number for state, number in group.counts.items() if number},
            forgotten=known.forgotten,
            outcomes=outcomes,
            errors=tuple(known.errors),
            now=now,
        )


def _mail(plan: Plan, row: Row, created: float, due: float) -> Mail:
    return Mail(
        id=row.id,
        payload=row.payload,
        mailer=plan.mailer,
        lane=plan.lane,
        created_at=created,
        due_at=due,
        expires_at=plan.expires_at,
        on_in_doubt=plan.on_in_doubt,
        group=plan.name,
        domain=row.domain,
        is_row=True,
        ledger=Ledger(reason=SUPPRESSED) if row.is_suppressed else Ledger(),
    )
