"""The streams of one mailer and lane: which of them has a mail ready, and whose turn it is.

A stream is the mails that share a gate: a group, a capped domain, both or neither. One whose mails are not due yet
waits in an agenda; one whose gate is closed is parked beside that gate, and nobody looks at it or at its mails until
the gate opens. Whether a gate is closed is for others to say.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import TypeAlias

from mailworker.spool.agenda import Agenda
from mailworker.spool.record import State

#: Group and capped domain.
StreamKey: TypeAlias = tuple[str | None, str | None]

#: An ordered set of streams with O(1) at both ends.
_Queue: TypeAlias = "OrderedDict[Stream, None]"


class Stream:
    """Mails that share their gates, by the time when they are ready."""

    __slots__ = ("domain", "due", "group", "parked_in")

    def __init__(self, group: str | None, domain: str | None) -> None:
        self.group = group
        self.domain = domain
        self.due: Agenda[str] = Agenda()
        self.parked_in: _Queue | None = None

    @property
    def ready_at(self) -> float:
        """Return when its first mail is ready, seconds."""
        at = self.due.first_time()
        assert at is not None, "an empty stream is closed at once"
        return at


class Row:
    """All streams of one mailer and lane, their leases and their counts."""

    def __init__(self) -> None:
        #: Mails by state.
        self.counts: Counter[State] = Counter()
        #: Mails that are leased, by the end of the lease.
        self.leases: Agenda[str] = Agenda()
        #: Mails on hold, by group.
        self.held: dict[str, set[str]] = {}
        self._streams: dict[StreamKey, Stream] = {}
        self._of_group: dict[str, set[Stream]] = {}
        self._turns: _Queue = OrderedDict()
        self._waiting: Agenda[Stream] = Agenda()
        self._parked_by_group: dict[str, _Queue] = {}
        self._parked_by_domain: dict[str, _Queue] = {}

    def add(self, key: StreamKey, mail_id: str, at: float) -> None:
        """Put a mail into its stream, ready at `at`."""
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = Stream(*key)
            if stream.group is not None:
                self._of_group.setdefault(stream.group, set()).add(stream)
            stream.due.set(mail_id, at)
            self._waiting.set(stream, at)
            return
        stream.due.set(mail_id, at)
        self._look_at(stream, at)

    def discard(self, key: StreamKey, mail_id: str) -> None:
        """Take a mail out of its stream, if it is there."""
        stream = self._streams.get(key)
        if stream is not None:
            stream.due.discard(mail_id)
            if not stream.due:
                self._close(stream)

    def front(self, now: float) -> Stream | None:
        """Return the stream whose turn it is; its first mail is ready."""
        while (stream := self._waiting.pop_until(now)) is not None:
            self._turns[stream] = None
        return self._first_in_turn(now)

    def take(self, stream: Stream) -> None:
        """Take the first mail out of the stream whose turn it is, and pass the turn."""
        self._turns.move_to_end(stream)
        stream.due.discard(stream.due.first())
        if not stream.due:
            self._close(stream)

    def park_by_group(self, stream: Stream) -> None:
        """Put the stream whose turn it is beside its group's gate, until that opens."""
        assert stream.group is not None
        self._park(stream, self._parked_by_group.setdefault(stream.group, OrderedDict()))

    def park_by_domain(self, stream: Stream) -> None:
        """Put the stream whose turn it is beside its domain's gate, until that opens."""
        assert stream.domain is not None
        self._park(stream, self._parked_by_domain.setdefault(stream.domain, OrderedDict()))

    def put_off(self, stream: Stream, until: float) -> None:
        """Let the stream whose turn it is wait until a time: its group's gate opens by the clock."""
        del self._turns[stream]
        self._waiting.set(stream, until)

    def look_at(self, key: StreamKey, at: float) -> None:
        """Have a stream that waits looked at no later than at this time."""
        stream = self._streams.get(key)
        if stream is not None:
            self._look_at(stream, at)

    def _look_at(self, stream: Stream, at: float) -> None:
        waits_until = self._waiting.time_of(stream)
        if waits_until is not None and at < waits_until:
            self._waiting.set(stream, at)

    def open_group(self, group: str, now: float) -> None:
        """Give all streams that are parked by the group a turn again, and have those that wait looked at."""
        for stream in self._of_group.get(group, ()):
            self._look_at(stream, now)
        for stream in self._parked_by_group.pop(group, ()):
            stream.parked_in = None
            self._turns[stream] = None

    def parked_domains(self) -> list[str]:
        """Return the domains that streams are parked by: never more than have limits. By name, as in Redis."""
        return sorted(domain for domain, queue in self._parked_by_domain.items() if queue)

    def open_domain(self, domain: str) -> None:
        """Give the stream that has been parked by this domain for longest a turn: one seat is for one mail."""
        stream, _ = self._parked_by_domain[domain].popitem(last=False)
        stream.parked_in = None
        self._turns[stream] = None

    def give_up_group(self, group: str) -> tuple[int, int, list[Iterator[str]]]:
        """Take all mails of a group that are due or held out at once, whatever their number.

        Returns:
            How many were due, how many held, and iterators over their ids.
        """
        streams = self._of_group.get(group, set()).copy()
        for stream in streams:
            self._close(stream)
        self._parked_by_group.pop(group, None)
        held = self.held.pop(group, set())
        ids = [iter(stream.due) for stream in streams] + [iter(held)]
        return sum(len(stream.due) for stream in streams), len(held), ids

    def next_time(self, now: float) -> float | None:
        """Return the earliest time at which a mail may be ready or a lease may end, parked streams aside."""
        if self._first_in_turn(now) is not None:
            return float("-inf")
        times = [at for at in (self._waiting.first_time(), self.leases.first_time()) if at is not None]
        return min(times, default=None)

    def oldest(self) -> float | None:
        """Return since when the oldest due mail has been ready; looks at each stream once."""
        return min((stream.ready_at for stream in self._streams.values()), default=None)

    def later(self, now: float) -> int:
        """Return how many due mails are not ready yet; looks at each mail once."""
        times = (stream.due.time_of(key) for stream in self._streams.values() for key in stream.due)
        return sum(1 for at in times if at is not None and at > now)

    def _first_in_turn(self, now: float) -> Stream | None:
        """Return the first of the streams that have a turn and a mail that is ready; who has none waits for its time."""
        while self._turns:
            stream = next(iter(self._turns))
            at = stream.ready_at
            if at <= now:
                return stream
            del self._turns[stream]
            self._waiting.set(stream, at)
        return None

    def _park(self, stream: Stream, queue: _Queue) -> None:
        del self._turns[stream]
        queue[stream] = None
        stream.parked_in = queue

    def _close(self, stream: Stream) -> None:
        del self._streams[stream.group, stream.domain]
        if stream.group is not None:
            siblings = self._of_group[stream.group]
            siblings.discard(stream)
            if not siblings:
                del self._of_group[stream.group]
        self._turns.pop(stream, None)
        self._waiting.discard(stream)
        if stream.parked_in is not None:
            stream.parked_in.pop(stream, None)
