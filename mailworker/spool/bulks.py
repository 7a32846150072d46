"""The bulks of a RedisSpool: how their rows come in, and how they stand.

What goes to the scripts and what comes back; the rules stand in `scripts/`. Counts come from counters that the scripts keep, never from
a look at the mails. Any call may raise `SpoolUnavailable`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any

from mailworker.lane import Lane
from mailworker.outcome import OutcomeClass
from mailworker.spool.base import Limits
from mailworker.spool.bulk import (
    Bulk,
    BulkClosed,
    BulkError,
    BulkGate,
    Plan,
    Row,
    RowsTaken,
    Timetable,
    row_times,
)
from mailworker.spool.calls import Calls, Primary
from mailworker.spool.intake import WAKE_FLAG
from mailworker.spool.packed import Packer, encode, stamp
from mailworker.spool.places import Place, places
from mailworker.spool.reader import Reader
from mailworker.spool.record import MailStatus, State

_CLASSES = {kind.value[0]: kind for kind in OutcomeClass}

_NO_LIMITS = Limits()

#: Mails that are asked for, or tried again, in one round trip.
_PAGE = 500


@dataclass(slots=True)
class _Fill:
    """A bulk that this process fills.

    Attributes:
        plan: of the bulk.
        number: which of the bulk's fills it is.
        began: when the spool heard of it.
        closes: the gate stays closed until its end.
        start: what the heads of its rows begin with.
        put: rows that were put so far.
        told: places of domains whose names the spool has.
        has_ended: all rows are in.
    """

    plan: Plan
    number: int
    began: float
    closes: bool
    start: str
    put: int = 0
    told: set[str] = field(default_factory=set)
    has_ended: bool = False


class RedisBulks:
    """Keeps bulks.

    Args:
        server: leads to the Redis.
        prefix: what all keys begin with.
        calls: runs the scripts.
        packer: writes and reads records.
        reader: reads mails.
        limits: mailer -> what it allows.
        bring_up_to_date: makes counts exact.
        replicas: how many replicas must have rows before they count as taken.
        replica_timeout: seconds to wait for them.
    """

    def __init__(
        self,
        server: Primary,
        prefix: str,
        calls: Calls,
        packer: Packer,
        reader: Reader,
        limits: Mapping[str, Limits],
        bring_up_to_date: Callable[[], None],
        replicas: int,
        replica_timeout: float,
    ) -> None:
        self._server = server
        self._prefix = prefix
        self._calls = calls
        self._packer = packer
        self._reader = reader
        self._limits = limits
        self._bring_up_to_date = bring_up_to_date
        self._replicas = replicas
        self._replica_timeout = replica_timeout
        self._fills: dict[str, _Fill] = {}

    def begin(self, plan: Plan) -> Bulk:
        """See `Bulks.begin`."""
        arguments = [plan.name, plan.letter_digest, int(plan.opens_at_once), _dumped(plan), plan.letter]
        arguments += ["" if plan.max_bounces is None else plan.max_bounces, plan.bounce_window]
        now, fill = self._calls.run("begin_bulk", *arguments, *_timetable(plan.timetable))
        bulk = self._get(plan.name)
        if bulk is None:
            # Its group was cancelled before it began.
            return Bulk(plan=replace(plan, letter=b""), gate=BulkGate.CANCELLED, now=float(now))
        if fill:
            start = self._packer.row_start(bulk.plan)
            self._fills[plan.name] = _Fill(bulk.plan, int(fill), float(now), not plan.opens_at_once, start)
        return bulk

    def put(self, name: str, rows: Sequence[Row]) -> RowsTaken:
        """See `Bulks.put`."""
        return self.start(name, rows).answer()

    def start(self, name: str, rows: Sequence[Row]) -> SentRows:
        """See `Bulks.start`."""
        return self._start(name, rows, 0)

    def start_and_wake(self, name: str, rows: Sequence[Row]) -> SentRows:
        """Send rows on their way; what is returned says, once it has its answer, whether a worker has to be woken for them."""
        return self._start(name, rows, WAKE_FLAG)

    def _start(self, name: str, rows: Sequence[Row], flag: int) -> SentRows:
        fill = self._fills.get(name)
        if fill is None or fill.has_ended:
            raise ValueError(f"rows for the bulk {name!r}, which was not begun here: expected begin_bulk() before")
        limits = self._limits.get(fill.plan.mailer, _NO_LIMITS)
        sealed: dict[str, str] = {}
        mails: list[Any] = []
        for row, (created, due) in zip(rows, row_times(fill.plan, fill.began, fill.put), strict=False):
            capped = limits.capped(row.domain)
            place, domain = self._packer.row_domain(row.domain, is_capped=capped is not None)
            if domain and place not in fill.told:
                sealed[place] = domain
            head = f'{fill.start},"c":"{created:.6f}"'
            if due != created:
                head += f',"d":"{due:.6f}"'
            head += f',"w":{_quoted(place)}' + (f',"cd":{_quoted(capped)}}}' if capped is not None else "}")
            mails += (row.id, f"{due:.6f}", head, row.payload, capped or "", 1 if row.is_suppressed else 0)
        fill.put += len(rows)
        told = json.dumps(sealed) if sealed else ""
        place_in = f"{fill.plan.lane.value}/{fill.plan.mailer}"
        of_fill = (fill.number, stamp(fill.began), int(fill.closes))
        arguments = (name, place_in, *of_fill, told, flag, *mails)
        if self._replicas:
            # Their answer comes behind the script's, over the same connection.
            (answer,) = self._calls.run_many("put_rows", [arguments], self._replicas, self._replica_timeout)
            return SentRows(name, lambda: answer, lambda: fill.told.update(sealed))
        return SentRows(name, self._calls.start("put_rows", *arguments).answer, lambda: fill.told.update(sealed))

    def end(self, name: str, read: int = 0, bad: int = 0) -> None:
        """See `Bulks.end`."""
        self._end(name, read, bad, 0)

    def end_and_wake(self, name: str, read: int = 0, bad: int = 0) -> Lane | None:
        """Open a bulk's gate, and say in which lane a worker has to be woken for it."""
        return self._end(name, read, bad, WAKE_FLAG)

    def _end(self, name: str, read: int, bad: int, flag: int) -> Lane | None:
        fill = self._fills.get(name)
        lane, number = (Lane.BULK, "") if fill is None else (fill.plan.lane, str(fill.number))
        said = self._calls.run("end_filling", name, number, read, bad, flag, lane.value)
        if said < 0:
            raise BulkClosed(f"there is no bulk {name!r} (any more)")
        if fill is not None:
            fill.has_ended = True
        return lane if said else None

    def get(self, name: str) -> Bulk | None:
        """See `Bulks.get`."""
        self._bring_up_to_date()
        return self._get(name)

    def _get(self, name: str) -> Bulk | None:
        answer = self._calls.run("bulk", name)
        return _read(answer, self._packer) if answer else None

    def all(self) -> list[Bulk]:
        """See `Bulks.all`."""
        self._bring_up_to_date()
        names: Any = self._server.run(lambda client: client.zrevrange(f"{self._prefix}bulks", 0, -1))
        found = (self._get(name.decode()) for name in names)
        return [bulk for bulk in found if bulk is not None]

    def letter(self, name: str) -> bytes | None:
        """See `Bulks.letter`."""
        letter: Any = self._server.run(lambda client: client.get(f"{self._prefix}letter:{name}"))
        return None if letter is None else bytes(letter)

    def retime(self, name: str, timetable: Timetable) -> bool:
        """See `Bulks.retime`."""
        bulk = self._get(name)
        if bulk is None:
            return False
        plan = replace(bulk.plan, timetable=timetable)
        return bool(self._calls.run("retime_group", name, _dumped(plan), *_timetable(timetable)))

    def mails(self, name: str) -> Iterator[tuple[MailStatus, bytes]]:
        """See `Bulks.mails`."""
        at = 0
        while True:
            ids = self._page(name, at)
            yield from self._reader.statuses_and_payloads(ids)
            at += len(ids)
            if len(ids) < _PAGE:
                return

    def _page(self, name: str, at: int) -> list[str]:
        ids: Any = self._server.run(lambda client: client.lrange(f"{self._prefix}rows:{name}", at, at + _PAGE - 1))
        return [mail_id.decode() for mail_id in ids]

    def failed(self, name: str) -> list[str]:
        """Return the ids of the mails of a bulk that are dead or held: for people, so a look at all such mails is right."""
        found: list[str] = []
        for state in (State.DEAD, State.HELD):
            found += [place.id for place in self._standing(state) if place.stream.partition("/")[2] == name]
        return found

    def _standing(self, state: State) -> list[Place]:
        return self._server.run(lambda client: list(places(client, self._prefix, state)))

    def replay_failed(self, name: str) -> int:
        """See `Bulks.replay_failed`."""
        ids = self.failed(name)
        replayed = 0
        for at in range(0, len(ids), _PAGE):
            answers = self._calls.run_many("replay", [(mail_id,) for mail_id in ids[at : at + _PAGE]])
            replayed += sum(1 for answer in answers if answer == 1)
        return replayed


#: What `put_rows` answers where it takes none.
_REFUSALS = {
    -1: "is not known (any more)",
    -2: "is cancelled",
    -3: "was begun anew by another process, and its mails say something else",
}


class SentRows:
    """Rows on their way.

    Args:
        name: of their bulk.
        answer: waits for what the script says.
        taken: called once they are in the spool.

    Attributes:
        has_to_wake: a worker has to be woken for them; known with the answer.
    """

    def __init__(self, name: str, answer: Callable[[], Any], taken: Callable[[], None]) -> None:
        self._name = name
        self._answer = answer
        self._taken = taken
        self.has_to_wake = False

    def answer(self) -> RowsTaken:
        said = self._answer()
        if said[0] < 0:
            raise BulkClosed(f"the bulk {self._name!r} {_REFUSALS[said[0]]}")
        self._taken()
        new, suppressed, repeated, known, woken, _ = said
        self.has_to_wake = bool(woken)
        return RowsTaken(new=new, suppressed=suppressed, repeated=repeated, known=known)


#: Domains come again and again.
_quoted = lru_cache(maxsize=4096)(encode)


def _timetable(timetable: Timetable) -> list[Any]:
    rate = "" if timetable.rate is None else repr(float(timetable.rate))
    return [rate, timetable.burst, *(f"{opens:.6f} {closes:.6f}" for opens, closes in timetable.windows)]


def _dumped(plan: Plan) -> str:
    fields = asdict(plan)
    del fields["letter"], fields["letter_digest"], fields["created_at"]
    return json.dumps(fields)


def _fields(answer: Sequence[bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in zip(answer[::2], answer[1::2], strict=True)}


def _read(answer: Sequence[Any], packer: Packer) -> Bulk:
    now, opens, of_bulk, of_gate, of_outcomes, errors, of_domains = answer
    known, gate, domains = _fields(of_bulk), _fields(of_gate), _fields(of_domains)
    plan: dict[str, Any] = json.loads(known["plan"])
    plan["lane"] = Lane(plan["lane"])
    timetable = plan.pop("timetable")
    timetable["windows"] = tuple((opens_at, closes_at) for opens_at, closes_at in timetable["windows"])
    outcomes: dict[str, dict[OutcomeClass, int]] = {}
    for one, number in _fields(of_outcomes).items():
        place, _, letter = one.rpartition("\n")
        if int(number):
            of_domain = outcomes.setdefault(packer.read_domain(place, domains), {})
            of_domain[_CLASSES[letter]] = of_domain.get(_CLASSES[letter], 0) + int(number)
    states = {State(one[2:]): int(number) for one, number in gate.items() if one.startswith("n:") and int(number)}
    left = sum(states.get(state, 0) for state in (State.DUE, State.LEASED, State.HELD))
    return Bulk(
        plan=Plan(
            **plan,
            letter=b"",
            letter_digest=known["digest"],
            created_at=float(known["created"]),
            timetable=Timetable(**timetable),
        ),
        gate=_gate(gate),
        reason=gate.get("why", ""),
        has_stopped_itself="itself" in gate,
        opens_at=math.inf if opens == b"never" else float(opens) if opens else None,
        rows=int(known.get("rows", 0)),
        suppressed=int(known.get("suppressed", 0)),
        read=int(known.get("read", 0)),
        bad=int(known.get("bad", 0)),
        last_row_at=_time(known, "last"),
        filled_at=_time(known, "filled"),
        began_at=_time(known, "began"),
        ended_at=_time(known, "ended") if not left else None,
        states=states,
        forgotten=int(known.get("forgotten", 0)),
        outcomes=outcomes,
        errors=tuple(_error(one.decode(), packer, domains) for one in errors),
        now=float(now),
    )


def _gate(fields: Mapping[str, str]) -> BulkGate:
    for name in (BulkGate.CANCELLED, BulkGate.PAUSED, BulkGate.FILLING):
        if name.value in fields:
            return name
    return BulkGate.OPEN


def _time(fields: Mapping[str, str], name: str) -> float | None:
    return float(fields[name]) if name in fields else None


def _error(entry: str, packer: Packer, domains: Mapping[str, str]) -> BulkError:
    at, place, said = entry.split("\n", 2)
    return BulkError(at=float(at), domain=packer.read_domain(place, domains), outcome=packer.read_said(said))
