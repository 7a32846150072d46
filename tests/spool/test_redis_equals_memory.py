"""RedisSpool and MemorySpool side by side: any order of calls gets the same answers from both, by Hypothesis.

After a change to the spool, let it try many more: MAILWORKER_TEST_EXAMPLES=2000 pytest --timeout=0 with this file.

Four things the contract leaves open, and the two need not agree on them; here they are made to, so that everything else can
be compared exactly. Of mails that are due at one moment either may come first: MemorySpool takes them by id here, as Redis does
(`_ByName`). A mailer that was never served may be first or last in turn: here both know all mailers from the start. The retention
of a mail whose group was cancelled begins when somebody first meets it: here that is at once. And `Claim.next_in` may come too early in Redis, which remembers a lower bound for rows that it does not look at; never too late.
"""

from __future__ import annotations

import heapq
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, ClassVar

import fakeredis
import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule, run_state_machine_as_test

from mailworker.lane import LANES
from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.spool import streams
from mailworker.spool.agenda import Agenda
from mailworker.spool.base import Claim, Leased, Limits
from mailworker.spool.bulk import BulkClosed, BulkGate, Plan, Row, Timetable
from mailworker.spool.memory import MemorySpool
from mailworker.spool.record import Content, Mail, State
from mailworker.spool.redis import RedisSpool
from tests import processes
from tests.direct import Direct
from tests.spool.test_redis import PARTS

LEASE = 10.0
RETENTION = 200.0
RECIPIENTS = ("a@a.org", "b@b.org")
MAILERS = ("fast", "relay")
GROUPS = ("news", "receipts", "spring", "autumn")
#: Those of them that are bulks.
BULKS = GROUPS[2:]
LIMITS = {
    "fast": Limits(rate=4, burst=4, domain_concurrency={"busy.org": 1, "slow.org": 2}),
    "relay": Limits(domain_rate={"slow.org": 1}, domain_concurrency={"busy.org": 2}, sessions=2),
}
#: The first two are who has the seats most of the time.
SLOTS = ("one", "one", "one", "two", "two", "three", "")
CONTENTS = (Content("c1", b"one"), Content("c2", b"two"))

groups = st.sampled_from(GROUPS[:2])
bulks = st.sampled_from(BULKS)
#: From and to, in seconds from now.
windows = st.sampled_from([(), (), ((-9.0, 5.0), (20.0, 500.0)), ((3.0, 90.0),), ((-9.0, -3.0),)])
bulk_rates = st.sampled_from([None, None, 4.0, 0.25])
mailers = st.sampled_from(MAILERS)
slots = st.sampled_from(SLOTS)
some_lanes = st.sampled_from([LANES, LANES[:1], LANES[1:], LANES[::-1], LANES[2:]])
replies = st.sampled_from([None, Reply(250, "fine", "2.0.0"), Reply(450, "try  later"), Reply(550, "nö", "5.1.1")])
outcomes = st.dictionaries(
    st.sampled_from(RECIPIENTS),
    st.builds(
        lambda kind, reply: Outcome(kind, reply, "" if reply else "gone"), st.sampled_from(OutcomeClass), replies
    ),
    max_size=2,
)
contents = st.sampled_from([(), (), CONTENTS[:1], CONTENTS, CONTENTS[1:]])


class _ByName(Agenda[Any]):
    """Breaks a tie of times as Redis does: by name."""

    def set(self, key: Any, at: float) -> None:
        name = key if isinstance(key, str) else f"{key.domain or ''}/{key.group or ''}"
        self._count += 1
        place: Any = (at, (name, self._count), key)
        self._places[key] = place
        heapq.heappush(self._heap, place)


@dataclass(frozen=True)
class Pair:
    """One lease, as each spool gave it out."""

    here: Leased
    there: Leased


def of_recipients(pair: Pair, outcomes: dict[str, Outcome]) -> dict[str, Outcome]:
    """Return outcomes for the recipients that the mail has: a row has one."""
    if not pair.here.mail.is_row:
        return outcomes
    return {recipient: outcome for recipient, outcome in outcomes.items() if recipient == RECIPIENTS[0]}


class SideBySide(RuleBasedStateMachine):
    connect: ClassVar[Any]
    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.at = 1_700_000_000.0
        self.client = self.connect()
        self.client.flushdb()
        self.here = MemorySpool(lambda: self.at, limits=LIMITS, retention=RETENTION)
        self.there = RedisSpool(
            Direct(self.client), "twin", limits=LIMITS, retention=RETENTION, parts=PARTS, clock_age=-1
        )
        self.mails: list[Mail] = []
        #: Bulks that may be filled.
        self.begun: set[str] = set()
        self.differs = False
        self.move_on(0)

    def move_on(self, seconds: float) -> None:
        self.at += seconds
        self.client.set("{twin}:test-clock", f"{self.at:.6f}")

    def both(self, call: str, *arguments: Any, **options: Any) -> Any:
        """Make one call on both, and return the answer, which is the same."""
        here = attrgetter(call)(self.here)(*arguments, **options)
        there = attrgetter(call)(self.there)(*arguments, **options)
        self.same(call, here, there)
        return here

    def same(self, what: str, here: Any, there: Any) -> None:
        self.differs = there != here
        assert there == here, f"{what}: Redis says {there!r}, memory {here!r}"

    def word(self, word: str, pair: Pair, *arguments: Any, **options: Any) -> bool:
        arguments = tuple(of_recipients(pair, one) if isinstance(one, dict) else one for one in arguments)
        here: bool = getattr(self.here, word)(pair.here, *arguments, **options)
        there = getattr(self.there, word)(pair.there, *arguments, **options)
        self.same(word, here, there)
        return here

    def step(self, done: tuple[Pair, Any] | None, following: Pair | None) -> tuple[bool, bool]:
        """Say `done` of one and `mark` of another in one step."""
        heres = None if done is None else (done[0].here, of_recipients(*done))
        theres = None if done is None else (done[0].there, of_recipients(*done))
        here = self.here.step(heres, None if following is None else following.here, 60.0).answer()
        there = self.there.step(theres, None if following is None else following.there, 60.0).answer()
        self.same("step", here, there)
        return here

    @initialize()
    def all_mailers_are_known(self) -> None:
        for mailer in MAILERS:
            self.put_one(mailer=mailer)

    def put_one(self, **fields: Any) -> Mail:
        fields = {"created_at": self.at, "due_at": self.at, **fields}
        mail = Mail(id=f"{len(self.mails) + 1:032x}", payload=b"pay\nload", **fields)
        self.mails.append(mail)
        if mail.group is not None:
            # A cancelled group is open again once its last mail is forgotten, and of what is past its retention Redis
            # forgets a little at a time.
            self.there._bring_up_to_date()
        assert self.both("put", [mail, mail]) == [True, False]
        return mail

    @rule(
        group=st.none() | groups,
        mailer=mailers,
        lane=st.sampled_from(LANES),
        domain=st.sampled_from([None, "slow.org", "busy.org", "Busy.ORG", "other.org"]),
        delay=st.sampled_from([0.0, 0.0, 0.0, 15.0]),
        expires=st.sampled_from([None, None, 12.0]),
        silent=st.booleans(),
        hold=st.sampled_from(["hold", "resend"]),
        contents=contents,
        copies=st.integers(1, 4),
    )
    def put(self, group, mailer, lane, domain, delay, expires, silent, hold, contents, copies):
        for _ in range(copies):
            self.put_one(
                group=group,
                mailer=mailer,
                lane=lane,
                domain=domain,
                due_at=self.at + delay,
                expires_at=None if expires is None else self.at + expires,
                fail_silently=silent,
                on_in_doubt=hold,
                contents=contents,
            )

    def timetable(self, rate, burst, windows) -> Timetable:
        return Timetable(
            rate=rate, burst=burst, windows=tuple((self.at + opens, self.at + closes) for opens, closes in windows)
        )

    @rule(
        name=bulks,
        letter=st.sampled_from([b"one", b"one", b"two"]),
        mailer=mailers,
        lane=st.sampled_from(LANES),
        rate=bulk_rates,
        burst=st.integers(1, 3),
        windows=windows,
        delay=st.sampled_from([0.0, 0.0, 15.0]),
        expires=st.sampled_from([None, None, 30.0]),
        hold=st.sampled_from(["hold", "resend"]),
        bounces=st.sampled_from([None, 1]),
        at_once=st.booleans(),
    )
    def begin_bulk(self, name, letter, mailer, lane, rate, burst, windows, delay, expires, hold, bounces, at_once):
        self.there._bring_up_to_date()
        made = Plan(
            name=name,
            letter=letter,
            letter_digest=letter.decode(),
            mailer=mailer,
            lane=lane,
            due_at=self.at + delay,
            expires_at=None if expires is None else self.at + expires,
            on_in_doubt=hold,
            timetable=self.timetable(rate, burst, windows),
            max_bounces=bounces,
            bounce_window=4,
            opens_at_once=at_once,
        )
        bulk = self.both("bulks.begin", made)
        is_mine = bulk.plan.letter_digest == letter.decode() and bulk.gate is not BulkGate.CANCELLED
        (self.begun.add if is_mine and not bulk.forgotten else self.begun.discard)(name)

    @rule(
        name=bulks,
        domain=st.sampled_from(["slow.org", "busy.org", "other.org"]),
        copies=st.integers(1, 4),
        again=st.none() | st.integers(0, 99),
        suppressed=st.sampled_from([False, False, True]),
    )
    def put_rows(self, name, domain, copies, again, suppressed):
        if name not in self.begun:
            return
        self.there._bring_up_to_date()
        new = [f"{len(self.mails) + n + 1:032x}" for n in range(copies)]
        ids = [*new, new[0]] if again is None else [*new, self.mails[again % len(self.mails)].id]
        some = [Row(one, b"a\nrow", domain, suppressed) for one in ids]
        try:
            here: Any = self.here.bulks.put(name, some)
        except BulkClosed as error:
            here = str(error)
        try:
            there: Any = self.there.bulks.put(name, some)
        except BulkClosed as error:
            there = str(error)
        self.same("put_rows", here, there)
        if not isinstance(here, str):
            found = [self.here.get(one) for one in new]
            self.mails += [mail for mail in found if mail is not None]
            assert len(found) == len(new)

    @rule(name=bulks, read=st.integers(0, 3), bad=st.integers(0, 2))
    def end_filling(self, name, read, bad):
        if self.here.bulks.get(name) is not None:
            self.both("bulks.end", name, read, bad)
            self.begun.discard(name)

    @rule(name=bulks, rate=bulk_rates, burst=st.integers(1, 3), windows=windows)
    def retime(self, name, rate, burst, windows):
        self.both("bulks.retime", name, self.timetable(rate, burst, windows))

    @rule(name=bulks, what=st.sampled_from(["bulks.get", "bulks.letter", "bulks.replay_failed"]))
    def bulk(self, name, what):
        self.both(what, name)

    @rule(name=bulks)
    def report(self, name):
        self.same("report", list(self.here.bulks.mails(name)), list(self.there.bulks.mails(name)))

    @rule(which=st.integers(0, 99))
    def put_again(self, which):
        mail = self.mails[which % len(self.mails)]
        if not mail.is_row:
            self.both("put", [mail])

    @rule(target=leases, limit=st.integers(1, 6), mailer=st.none() | mailers, lanes=some_lanes, slot=slots)
    def claim(self, limit, mailer, lanes, slot):
        return multiple(*self.claimed(lanes, limit, mailer, slot))

    @rule(mailer=mailers, slot=slots)
    def leave(self, mailer, slot):
        self.both("leave", mailer, slot)

    def claimed(self, lanes, limit, mailer=None, slot="one") -> list[Pair]:
        here = self.here.claim(lanes, limit, LEASE, mailer, slot)
        there = self.there.claim(lanes, limit, LEASE, mailer, slot)
        return self.paired(here, there)

    def paired(self, here: Claim, there: Claim) -> list[Pair]:
        self.same("claim", *([one.mail.id for one in claim.leased] for claim in (here, there)))
        self.same("claim", *([replace(one, token="") for one in claim.leased] for claim in (here, there)))
        self.same("ended", *(sorted(claim.ended, key=str) for claim in (here, there)))
        self.compare_next(here, there)
        return [Pair(one, other) for one, other in zip(here.leased, there.leased, strict=True)]

    def compare_next(self, here: Claim, there: Claim) -> None:
        late = math.inf if here.next_in is None else here.next_in
        early = math.inf if there.next_in is None else there.next_in
        if abs(late - early) > 1e-5 and late != early:
            self.same("next_in", f"early, before {late}", f"early, before {late}" if 0 < early < late else early)

    @rule(target=leases)
    def a_worker_stalls_in_its_work_and_another_takes_over(self):
        stalled = self.claimed(LANES, 1)
        for one in stalled:
            self.word("mark", one, LEASE)
        self.move_on(LEASE)
        return multiple(*stalled, *self.claimed(LANES, 50))

    @rule(lanes=some_lanes, slot=slots)
    def has_ready(self, lanes, slot):
        # Either may be wrong about gates, but not about a mail that a claim would give out.
        there = self.there.has_ready(lanes, slot)
        leased = self.claimed(lanes, 1, slot=slot)
        assert there or not leased
        for pair in leased:
            self.word("snooze", pair, self.at)

    @rule(pair=leases, seconds=st.sampled_from([5.0, 30.0]))
    def mark(self, pair, seconds):
        self.word("mark", pair, seconds)

    @rule(pair=leases, seconds=st.sampled_from([2.0, LEASE]))
    def renew(self, pair, seconds):
        self.word("renew", pair, seconds)

    @rule(pair=leases, of=st.sampled_from([RECIPIENTS, RECIPIENTS, RECIPIENTS[:1], ()]))
    def done(self, pair, of):
        self.word("done", pair, dict.fromkeys(of, Outcome(OutcomeClass.ACCEPTED, Reply(250, "ok"))))

    @rule(
        over=st.none() | leases,
        following=st.none() | leases,
        of=st.sampled_from([RECIPIENTS, RECIPIENTS, RECIPIENTS[:1], ()]),
    )
    def a_step(self, over, following, of):
        outcomes = dict.fromkeys(of, Outcome(OutcomeClass.ACCEPTED, Reply(250, "ok")))
        self.step(None if over is None else (over, outcomes), following)

    @rule(pair=leases, of=st.sampled_from([RECIPIENTS, RECIPIENTS[:1]]))
    def a_turn(self, pair, of):
        if self.step(None, pair)[1]:
            self.step((pair, dict.fromkeys(of, Outcome(OutcomeClass.ACCEPTED, Reply(250, "ok")))), None)

    @rule(pair=leases, outcomes=outcomes, wait=st.sampled_from([0.0, 8.0]), resend=st.booleans())
    def defer(self, pair, outcomes, wait, resend):
        self.word("defer", pair, self.at + wait, outcomes, resend=resend)

    @rule(pair=leases, wait=st.sampled_from([0.0, 8.0, -1.0]))
    def snooze(self, pair, wait):
        self.word("snooze", pair, self.at + wait)

    @rule(pair=leases, outcomes=outcomes)
    def hold(self, pair, outcomes):
        self.word("hold", pair, outcomes, "a reason")

    @rule(pair=leases, outcomes=outcomes, keep=st.booleans())
    def bury(self, pair, outcomes, keep):
        self.word("bury", pair, outcomes, "a reason", keep=keep)

    @rule(pair=leases)
    def drop(self, pair):
        self.word("drop", pair, "suppressed")

    @rule(which=st.integers(0, 99), what=st.sampled_from(["cancel", "replay", "purge", "status", "get"]))
    def person(self, which, what):
        self.both(what, self.mails[which % len(self.mails)].id)

    @rule(
        group=st.sampled_from(GROUPS),
        what=st.sampled_from(["pause_group", "resume_group", "cancel_group", "status_of_group"]),
    )
    def gate_of_group(self, group, what):
        # A group whose last mail is forgotten is forgotten unless its gate is shut, and each forgets in its own time.
        self.stats()
        self.both(what, group)
        if what == "cancel_group":
            for mail in self.mails:
                self.both("status", mail.id)

    @rule(mailer=mailers, what=st.sampled_from(["pause", "resume", "resume", "recover", "mailer_state"]))
    def gate_of_mailer(self, mailer, what):
        self.both(what, mailer, *(["lunch"] if what == "pause" else []))

    @rule(mailer=mailers, wait=st.sampled_from([0.0, 10.0]), reason=st.sampled_from(["trouble", ""]))
    def trip(self, mailer, wait, reason):
        self.both("trip", mailer, (4.0, 9.0), reason)
        self.move_on(wait)

    @rule(seconds=st.sampled_from([0.5, 3.0, LEASE, 40.0, RETENTION]))
    def advance(self, seconds):
        self.move_on(seconds)

    @rule()
    def stats(self):
        self.both("stats")

    @rule(state=st.sampled_from(State))
    def ids(self, state):
        here, there = self.here.ids(state), self.there.ids(state)
        assert sorted(there) == sorted(here)
        created = {mail.id: mail.created_at for mail in self.mails}
        assert [created[one] for one in there] == sorted(created[one] for one in there)

    @rule()
    def all_that_is_known_is_the_same(self):
        for mail in self.mails:
            self.both("status", mail.id)
            self.both("get", mail.id)
        self.stats()
        for state in State:
            self.ids(state)
        for group in GROUPS:
            self.both("status_of_group", group)
        for name in BULKS:
            self.both("bulks.get", name)
            self.report(name)
        for mailer in MAILERS:
            self.both("mailer_state", mailer)
        self.contents_are_those_of_the_mails()

    def contents_are_those_of_the_mails(self) -> None:
        having = {content.name: 0 for content in CONTENTS}
        for mail in self.mails:
            record = self.here.get(mail.id)
            for content in record.contents if record is not None else ():
                having[content.name] += 1
        for name, number in having.items():
            kept = self.client.hgetall(f"{{twin}}:content:{name}")
            assert int(kept.get(b"mails", 0)) == number, name
            assert (b"bytes" in kept) is (number > 0)

    def teardown(self) -> None:
        """Whatever has happened: with open gates and patience nothing stays due or leased, and no index keeps an id."""
        if self.differs:
            return
        self.all_that_is_known_is_the_same()
        for mailer in MAILERS:
            self.both("resume", mailer)
        self.bulks_are_open()
        for group in GROUPS:
            self.both("resume_group", group)
        for _ in range(500):
            here = self.here.claim(LANES, 10, LEASE, None, "one")
            there = self.there.claim(LANES, 10, LEASE, None, "one")
            for pair in self.paired(here, there):
                assert self.word("mark", pair, LEASE)
                assert self.word("done", pair, dict.fromkeys(RECIPIENTS, Outcome(OutcomeClass.ACCEPTED)))
            if there.next_in is None:
                assert here.next_in is None
                break
            # To the next 1/64 of a second: then both clocks mean the same number.
            self.move_on(-(-there.next_in * 64 // 1) / 64)
        else:
            pytest.fail("a claim always promises more")
        self.all_that_is_known_is_the_same()
        assert not {state for _, _, state in self.there.stats().counts} & {State.DUE, State.LEASED}
        self.move_on(RETENTION)
        for state in (State.DEAD, State.HELD):
            for mail_id in self.here.ids(state):
                self.both("purge" if state is State.DEAD else "cancel", mail_id)
        self.move_on(RETENTION)
        for _ in range(20):
            self.both("claim", LANES, 1, LEASE)
        self.all_that_is_known_is_the_same()
        self.nothing_is_left()

    def bulks_are_open(self) -> None:
        for name in BULKS:
            self.both("bulks.retime", name, Timetable())
            if self.here.bulks.get(name) is not None:
                self.both("bulks.end", name)

    def nothing_is_left(self) -> None:
        kept = {"count", "mailers", "turn", "contested", "gates", "test-clock", "heaps"}
        left = {key.decode().removeprefix("{twin}:") for key in self.client.keys("*")} - kept
        left -= {f"{kind}:{mailer}" for kind in ("gate", "domain") for mailer in MAILERS}
        # A bulk is remembered for a while.
        left -= {"bulks", *(f"{kind}:{name}" for kind in ("bulk", "outcomes", "errors") for name in BULKS)}
        # A seat that a dead lease or slot held goes when the next mail asks for one.
        taken = {key for key in left if key.startswith(("seats:", "sessions:"))}
        assert not any(self.client.zcount(f"{{twin}}:{key}", f"({self.at}", "+inf") for key in taken)
        assert left == taken


@pytest.fixture(autouse=True)
def ties_are_broken_by_name(monkeypatch):
    monkeypatch.setattr(streams, "Agenda", _ByName)


def run(connect: Callable[[], Any], examples: int) -> None:
    machine = type("OnRedis", (SideBySide,), {"connect": staticmethod(connect)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            report_multiple_bugs=False,
            # To make a failing order of calls shorter takes minutes: add Phase.shrink to look closer.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


@pytest.fixture(scope="module")
def redis_server() -> Iterator[processes.RedisServer]:
    with processes.RedisServer() as server:
        yield server


@pytest.mark.integration
def test_any_order_of_calls_gets_the_same_answers_from_a_redis_as_from_memory(redis_server):
    client = redis.Redis(port=redis_server.port)
    run(lambda: client, int(os.environ.get("MAILWORKER_TEST_EXAMPLES", "75")))


def test_any_order_of_calls_gets_the_same_answers_from_fakeredis_as_from_memory():
    server = fakeredis.FakeServer()
    run(lambda: fakeredis.FakeStrictRedis(server=server), 5)
