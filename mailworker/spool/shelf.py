"""Where each mail of a MemorySpool stands, and how many stand where.

It moves mails between the states and keeps every index and count in step; whether a move is right is for `memory` to
say. What one call would have to do to a whole group or to all that are past their retention is done lazily: at the
mail when somebody asks for it, and a few at each call for the rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from mailworker.lane import Lane
from mailworker.spool import rules
from mailworker.spool.bulk import SUPPRESSED
from mailworker.spool.group import LIVE, Group, class_of_row, kept
from mailworker.spool.record import Mail, State
from mailworker.spool.streams import Row, StreamKey

#: Mails that one call forgets or buries at most beside its own work: what makes "without a scan" true.
SWEEP = 256


class Entry:
    """A mail on the shelf.

    Attributes:
        mail: its record.
        state: where it stands; the shelf alone changes it.
        row: of its mailer and lane.
        stream: which of the row's streams it belongs to.
        group: its group, if it has one.
        epoch: the group's when the mail came in.
        ready_at: while due: from when on.
        token: of its last lease, None if that is void; kept after its end, so that a repeated word is known again.
        closed_by: which word of its worker ended that lease, None while it may still say one.
        lease_until: while leased: until when.
        marked: that lease had begun work.
        doubt: an earlier lease had, and was never heard of again.
        has_lapsed: that lease ran out, and nobody has taken the mail over.
        finished_at: since when its state is final.
    """

    __slots__ = (
        "closed_by",
        "doubt",
        "epoch",
        "finished_at",
        "group",
        "has_lapsed",
        "lease_until",
        "mail",
        "marked",
        "ready_at",
        "row",
        "state",
        "stream",
        "token",
    )

    def __init__(self, mail: Mail, row: Row, stream: StreamKey, group: Group | None) -> None:
        self.mail = mail
        self.state = State.DUE
        self.row = row
        self.stream = stream
        self.group = group
        self.epoch = 0 if group is None else group.epoch
        self.ready_at = mail.due_at
        self.token: str | None = None
        self.closed_by: str | None = None
        self.lease_until = 0.0
        self.marked = False
        self.doubt = False
        self.has_lapsed = False
        self.finished_at: float | None = None

    @property
    def is_called_back(self) -> bool:
        """True if its group was cancelled since it came in."""
        return self.group is not None and self.epoch < self.group.epoch

    def take_lapse(self) -> None:
        """Write a lapse that is pending into the ledger: the lease's worker will not be heard any more."""
        if self.has_lapsed:
            self.mail = replace(self.mail, ledger=rules.lapsed(self.mail.ledger, was_marked=self.marked))
            self.doubt = self.doubt or self.marked
            self.marked = False
            self.has_lapsed = False
        self.token = None


class Shelf:
    """All mails of a spool.

    Args:
        retention: seconds for which finished mails stay known.
    """

    def __init__(self, retention: float) -> None:
        self.groups: dict[str, Group] = {}
        self.rows: dict[tuple[str, Lane], Row] = {}
        self._retention = retention
        self._entries: dict[str, Entry] = {}
        self._finished: deque[tuple[float, str]] = deque()
        self._called_back: deque[Iterator[str]] = deque()

    def row(self, mailer: str, lane: Lane) -> Row:
        row = self.rows.get((mailer, lane))
        if row is None:
            row = self.rows[mailer, lane] = Row()
        return row

    def add(self, mail: Mail, capped_domain: str | None, now: float, *, is_dropped: bool = False) -> None:
        """Take in a mail whose id is not known; with `is_dropped` it is finished at once."""
        group = None if mail.group is None else self.groups.setdefault(mail.group, Group())
        entry = Entry(mail, self.row(mail.mailer, mail.lane), (mail.group, capped_domain), group)
        self._entries[mail.id] = entry
        entry.row.counts[State.DUE] += 1
        if group is not None:
            group.counts[State.DUE] += 1
            if group.cancelled:
                self._move(entry, State.CANCELLED)
                self._end(entry, now)
                return
        if is_dropped:
            self._move(entry, State.DROPPED)
            self._end(entry, now)
            return
        entry.row.add(entry.stream, mail.id, mail.due_at)

    def find(self, mail_id: str, now: float) -> Entry | None:
        """Return a mail as it stands now: what time and its group have done to it has been done."""
        entry = self._entries.get(mail_id)
        if entry is None:
            return None
        if entry.state is State.LEASED:
            if entry.lease_until <= now:
                self._lapse(entry, now)
        elif entry.finished_at is not None:
            if entry.finished_at + self._retention <= now:
                self.remove(entry)
                return None
        elif entry.is_called_back and entry.state is not State.DEAD:
            self._call_back(entry, now)
        return entry

    def entries(self, now: float) -> list[Entry]:
        """Return all mails, in the order in which they came in."""
        found = (self.find(mail_id, now) for mail_id in list(self._entries))
        return [entry for entry in found if entry is not None]

    def make_due(self, entry: Entry, at: float, now: float) -> None:
        """Put a mail into its stream, ready at `at`; cancelled if its group is."""
        if entry.is_called_back:
            self.finish(entry, State.CANCELLED, now)
            return
        self._unplace(entry)
        entry.ready_at = at
        entry.row.add(entry.stream, entry.mail.id, at)
        self._move(entry, State.DUE)

    def make_leased(self, entry: Entry, token: str, until: float) -> None:
        """Lease a mail that has been taken from its stream."""
        entry.token = token
        entry.closed_by = None
        entry.marked = False
        self.extend(entry, until)
        self._move(entry, State.LEASED)

    def extend(self, entry: Entry, until: float) -> None:
        """Make a lease end at `until`."""
        entry.lease_until = until
        entry.row.leases.set(entry.mail.id, until)

    def make_held(self, entry: Entry, now: float) -> None:
        """Put a mail aside; cancelled if its group is."""
        if entry.is_called_back:
            self.finish(entry, State.CANCELLED, now)
            return
        self._unplace(entry)
        if entry.mail.group is not None:
            entry.row.held.setdefault(entry.mail.group, set()).add(entry.mail.id)
        self._move(entry, State.HELD)

    def make_dead(self, entry: Entry, now: float, *, keep: bool = False) -> None:
        """Give a mail up: dead, or dropped if it is to fail silently and need not be kept."""
        if entry.mail.fail_silently and not keep:
            self.finish(entry, State.DROPPED, now)
            return
        self._unplace(entry)
        self._move(entry, State.DEAD)
        self._note_settled(entry, now)

    def finish(self, entry: Entry, state: State, now: float) -> None:
        """Put a mail into a final state: its payload goes, and itself after the retention."""
        self._unplace(entry)
        was = entry.state
        self._move(entry, state)
        self._end(entry, now)
        if was in LIVE:
            self._note_settled(entry, now)

    def drop_unsent(self, entry: Entry, now: float) -> None:
        """Take a row back that is due or held, since its recipient wants no mail any more."""
        if entry.state in (State.DUE, State.HELD):
            entry.take_lapse()
            entry.mail = replace(entry.mail, ledger=replace(entry.mail.ledger, reason=SUPPRESSED))
            self.finish(entry, State.DROPPED, now)

    def remove(self, entry: Entry) -> None:
        """Forget a mail."""
        self._unplace(entry)
        del self._entries[entry.mail.id]
        entry.row.counts[entry.state] -= 1
        if entry.group is not None and entry.mail.group is not None:
            entry.group.counts[entry.state] -= 1
            if (bulk := entry.group.bulk) is not None:
                bulk.forgotten += 1
                if (kind := class_of_row(entry.mail, entry.state)) is not None:
                    bulk.outcomes[entry.mail.domain or "", kind] += 1
            self.forget_if_empty(entry.mail.group)

    def forget_if_empty(self, name: str) -> None:
        """Forget a group that has neither mails nor a closed gate; what was a bulk stays known."""
        group = self.groups.get(name)
        if group is not None and not (group.is_kept or group.counts.total()):
            del self.groups[name]
            if group.bulk is not None:
                group.bulk.letter = None

    def cancel_group(self, name: str, now: float) -> None:
        """Cancel what is due or held of a group, and what will be put into it; the number of mails does not matter."""
        group = self.groups.setdefault(name, Group())
        group.epoch += 1
        group.cancelled = True
        for row in self.rows.values():
            due, held, ids = row.give_up_group(name)
            for counts in (row.counts, group.counts):
                counts[State.DUE] -= due
                counts[State.HELD] -= held
                counts[State.CANCELLED] += due + held
            self._called_back.extend(ids)
            if due + held:
                group.note_settled(now)

    def open_group(self, name: str, now: float) -> None:
        """Let a group's mails go again, and new ones in."""
        group = self.groups.get(name)
        if group is None:
            return
        group.paused = group.cancelled = group.has_stopped_itself = False
        group.reason = ""
        if group.bulk is not None:
            group.bulk.bounces.clear()
        self.open_streams(name, now)
        self.forget_if_empty(name)

    def open_streams(self, name: str, now: float) -> None:
        """Give the streams of a group a turn, or a look, since its gate may have opened."""
        for row in self.rows.values():
            row.open_group(name, now)

    def end_lapsed(self, row: Row, now: float) -> None:
        """Make the mails of a row due whose leases have run out."""
        while (mail_id := row.leases.pop_until(now)) is not None:
            self._lapse(self._entries[mail_id], now)

    def tidy(self, now: float, limit: int = SWEEP) -> None:
        """Forget what is past its retention and empty what a cancelled group left, `limit` mails of each at most."""
        for _ in range(limit):
            if not self.has_to_forget(now):
                break
            finished_at, mail_id = self._finished.popleft()
            entry = self._entries.get(mail_id)
            if entry is not None and entry.finished_at == finished_at:
                self.remove(entry)
        for _ in range(limit):
            if not self._called_back:
                break
            mail_id = next(self._called_back[0], "")
            if mail_id:
                self.find(mail_id, now)
            else:
                self._called_back.popleft()

    def has_to_forget(self, now: float) -> bool:
        """Tell whether `tidy` would forget a mail."""
        return bool(self._finished) and self._finished[0][0] + self._retention <= now

    def bring_up_to_date(self, now: float) -> None:
        """Make the counts exact: end what has run out, forget what is past its retention."""
        for row in self.rows.values():
            self.end_lapsed(row, now)
        while self.has_to_forget(now):
            self.tidy(now)

    def _lapse(self, entry: Entry, now: float) -> None:
        entry.has_lapsed = True
        if entry.is_called_back:
            entry.take_lapse()
        self.make_due(entry, entry.lease_until, now)

    def _call_back(self, entry: Entry, now: float) -> None:
        """Do to one mail what the cancellation of its group has already counted."""
        entry.take_lapse()
        entry.state = State.CANCELLED
        self._end(entry, now)

    def _end(self, entry: Entry, now: float) -> None:
        entry.mail = replace(entry.mail, payload=kept(entry.state, entry.mail), contents=())
        if entry.finished_at is None:
            entry.finished_at = now
            self._finished.append((now, entry.mail.id))

    def _move(self, entry: Entry, state: State) -> None:
        for counts in (entry.row.counts, entry.group.counts) if entry.group is not None else (entry.row.counts,):
            counts[entry.state] -= 1
            counts[state] += 1
        entry.state = state

    def _note_settled(self, entry: Entry, now: float) -> None:
        if entry.group is not None:
            entry.group.note_settled(now)

    def _unplace(self, entry: Entry) -> None:
        if entry.state is State.DUE:
            entry.row.discard(entry.stream, entry.mail.id)
        elif entry.state is State.LEASED:
            entry.row.leases.discard(entry.mail.id)
        elif entry.state is State.HELD and entry.mail.group is not None:
            held = entry.row.held.get(entry.mail.group)
            if held is not None:
                held.discard(entry.mail.id)
                if not held:
                    del entry.row.held[entry.mail.group]
