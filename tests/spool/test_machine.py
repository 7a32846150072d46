"""Any order of calls on a MemorySpool, by Hypothesis, against what must hold after every one of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from mailworker.lane import LANES
from mailworker.outcome import Outcome, OutcomeClass
from mailworker.spool import rules
from mailworker.spool.base import Leased, Limits
from mailworker.spool.memory import MemorySpool
from mailworker.spool.record import Mail, State

LEASE = 10.0
RETENTION = 200.0
RECIPIENTS = ("a@a.org", "b@b.org")
LIMITS = {
    "fast": Limits(rate=3, burst=4),
    "relay": Limits(domain_rate={"slow.org": 1}, domain_concurrency={"busy.org": 2}),
}

groups = st.sampled_from(["news", "receipts"])
mailers = st.sampled_from(["relay", "fast"])
outcomes = st.dictionaries(st.sampled_from(RECIPIENTS), st.sampled_from(OutcomeClass).map(Outcome), max_size=2)


@dataclass
class Known:
    """What the test remembers of a mail, from the answers alone."""

    mail: Mail
    tokens: list[str] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)
    flagged: bool = False
    finished: bool = False
    purged: bool = False


class AnyOrder(RuleBasedStateMachine):
    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.at = 1_000_000.0
        self.spool = MemorySpool(lambda: self.at, limits=LIMITS, retention=RETENTION)
        self.known: dict[str, Known] = {}
        self.tokens: set[str] = set()
        self.given: list[Leased] = []
        self.probe: dict[str, Leased] = {}
        self.number = 0

    def state(self, mail_id: str) -> State | None:
        status = self.spool.status(mail_id)
        return None if status is None else status.state

    @rule(
        group=st.none() | groups,
        mailer=mailers,
        lane=st.sampled_from(LANES),
        domain=st.sampled_from([None, "slow.org", "busy.org", "other.org"]),
        delay=st.sampled_from([0.0, 0.0, 0.0, 15.0]),
        expires=st.sampled_from([None, None, 12.0]),
        silent=st.booleans(),
        copies=st.integers(1, 4),
    )
    def put(self, group, mailer, lane, domain, delay, expires, silent, copies):
        for _ in range(copies):
            self.number += 1
            mail = Mail(
                id=f"{self.number:032x}",
                payload=b"x",
                mailer=mailer,
                lane=lane,
                created_at=self.at,
                due_at=self.at + delay,
                expires_at=None if expires is None else self.at + expires,
                fail_silently=silent,
                group=group,
                domain=domain,
            )
            assert self.spool.put([mail, mail]) == [True, False]
            self.known[mail.id] = Known(mail)

    @rule(target=leases, limit=st.integers(1, 6), mailer=st.none() | mailers)
    def claim(self, limit, mailer):
        return multiple(*self.claimed(limit, mailer))

    def claimed(self, limit, mailer):
        states = {mail_id: self.state(mail_id) for mail_id in self.known}
        answer = self.spool.claim(LANES, limit, LEASE, mailer)
        assert len(answer.leased) <= limit
        assert len({(one.mail.mailer, one.mail.lane) for one in answer.leased}) <= 1
        assert answer.next_in is None or answer.next_in >= 0
        for one in answer.leased:
            known = self.known[one.mail.id]
            assert states[one.mail.id] is State.DUE
            assert one.token not in self.tokens
            assert one.mail.expires_at is None or one.mail.expires_at > self.at
            assert mailer is None or one.mail.mailer == mailer
            assert one.mail.ledger.accepted >= known.accepted
            assert one.mail.payload == b"x"
            assert not one.in_doubt or one.mail.ledger.in_doubt
            assert not one.mail.ledger.lapses or len(answer.leased) == 1
            if self.spool.mailer_state(one.mail.mailer).failures:
                assert len(answer.leased) == 1
                assert not self.is_in_force(self.probe.get(one.mail.mailer))
                self.probe[one.mail.mailer] = one
            self.tokens.add(one.token)
            known.tokens.append(one.token)
        self.given += answer.leased
        return answer.leased

    def is_in_force(self, leased: Leased | None) -> bool:
        if leased is None or self.state(leased.mail.id) is not State.LEASED:
            return False
        entry = self.spool._shelf.find(leased.mail.id, self.at)
        return entry is not None and entry.token == leased.token

    @rule(target=leases)
    def a_worker_stalls_in_its_work_and_another_takes_over(self):
        stalled = self.claimed(1, None)
        for one in stalled:
            self.spool.mark(one, LEASE)
        self.at += LEASE
        return multiple(*stalled, *self.claimed(50, None))

    @rule(leased=leases, seconds=st.sampled_from([5.0, 30.0]))
    def mark(self, leased, seconds):
        attempts = self.attempts(leased)
        state = self.state(leased.mail.id)
        ours = self.spool.mark(leased, seconds)
        if ours:
            assert state is State.LEASED
            assert self.known[leased.mail.id].tokens[-1] == leased.token
            assert self.attempts(leased) - attempts in (0, 1)
            record = self.spool.get(leased.mail.id)
            assert record is not None
            if self.attempts(leased) > attempts:
                # What the worker is about to try is what the ledger leaves it to try.
                assert record.ledger.accepted == leased.mail.ledger.accepted
        else:
            assert self.attempts(leased) == attempts

    @rule(leased=leases)
    def renew(self, leased):
        if self.spool.renew(leased, LEASE):
            assert self.state(leased.mail.id) is State.LEASED
            assert self.known[leased.mail.id].tokens[-1] == leased.token

    @rule(leased=consumes(leases), last=st.sampled_from(RECIPIENTS))
    def done(self, leased, last):
        outcomes = dict.fromkeys(RECIPIENTS, Outcome(OutcomeClass.ACCEPTED))
        was_known = self.state(leased.mail.id) is not None
        if self.spool.done(leased, outcomes):
            self.was_the_last(leased)
        if was_known:
            assert self.state(leased.mail.id) is State.SENT
        self.told(leased, outcomes)

    @rule(leased=consumes(leases), outcomes=outcomes, wait=st.sampled_from([0.0, 8.0]), resend=st.booleans())
    def defer(self, leased, outcomes, wait, resend):
        if self.spool.defer(leased, self.at + wait, outcomes, resend=resend):
            self.was_the_last(leased)
            self.known[leased.mail.id].flagged |= resend
            self.ended_in(leased, outcomes, State.DUE)
        self.told(leased, outcomes)

    @rule(leased=leases, wait=st.sampled_from([0.0, 8.0]))
    def snooze(self, leased, wait):
        attempts = self.attempts(leased)
        ours = self.spool.snooze(leased, self.at + wait)
        assert attempts - self.attempts(leased) in ((0, 1) if ours else (0,))
        if ours:
            self.was_the_last(leased)

    @rule(leased=consumes(leases), outcomes=outcomes, hold=st.booleans())
    def give_up(self, leased, outcomes, hold):
        word = self.spool.hold if hold else self.spool.bury
        if word(leased, outcomes, "a reason"):
            self.was_the_last(leased)
            self.ended_in(leased, outcomes, *((State.HELD,) if hold else (State.DEAD, State.DROPPED)))
        self.told(leased, outcomes)

    def ended_in(self, leased: Leased, outcomes: dict[str, Outcome], *states: State) -> None:
        """A word with outcomes that leaves nothing but acceptances makes the mail sent, whatever the word."""
        record = self.spool.get(leased.mail.id)
        assert record is not None
        is_sent = bool(outcomes) and rules.is_accepted_throughout(record.ledger)
        assert self.state(leased.mail.id) in ((State.SENT,) if is_sent else (*states, State.CANCELLED))

    def was_the_last(self, leased: Leased) -> None:
        assert self.known[leased.mail.id].tokens[-1] == leased.token

    def told(self, leased, outcomes):
        if self.spool.get(leased.mail.id) is not None:
            known = self.known[leased.mail.id]
            known.accepted |= {r for r, o in outcomes.items() if o.kind is OutcomeClass.ACCEPTED}

    def attempts(self, leased: Leased) -> int:
        status = self.spool.status(leased.mail.id)
        return 0 if status is None else status.attempts

    @rule(data=st.data(), what=st.sampled_from(["cancel", "replay", "purge"]))
    def person(self, data, what):
        if not self.known:
            return
        mail_id = data.draw(st.sampled_from(sorted(self.known)))
        state = self.state(mail_id)
        allowed = {
            "cancel": (State.DUE, State.HELD),
            "replay": (State.DEAD, State.HELD),
            "purge": (State.DEAD,),
        }[what]
        ends = {"cancel": State.CANCELLED, "replay": State.DUE, "purge": None}
        assert getattr(self.spool, what)(mail_id) is (state in allowed)
        assert self.state(mail_id) is (ends[what] if state in allowed else state)
        if what == "purge" and state in allowed:
            self.known[mail_id].purged = True

    @rule(group=groups, what=st.sampled_from(["pause_group", "resume_group", "cancel_group"]))
    def gate_of_group(self, group, what):
        before = {mail_id: self.state(mail_id) for mail_id, known in self.known.items() if known.mail.group == group}
        getattr(self.spool, what)(group)
        for mail_id, state in before.items():
            taken_back = what == "cancel_group" and state in (State.DUE, State.HELD)
            assert self.state(mail_id) is (State.CANCELLED if taken_back else state)

    @rule(mailer=mailers, what=st.sampled_from(["pause", "resume", "resume", "recover"]))
    def gate_of_mailer(self, mailer, what):
        getattr(self.spool, what)(mailer)
        if what != "pause":
            self.probe.pop(mailer, None)

    @rule(mailer=mailers, wait=st.sampled_from([0.0, 10.0]))
    def trip(self, mailer, wait):
        paused = self.spool.mailer_state(mailer).paused_until is not None
        assert self.spool.trip(mailer, (4.0, 9.0), "trouble") > self.at
        if not paused:
            self.probe.pop(mailer, None)
        self.at += wait

    @rule(seconds=st.sampled_from([0.5, 3.0, LEASE, 40.0]))
    def advance(self, seconds):
        self.at += seconds

    @rule(mailer=mailers)
    def nothing_is_given_through_a_closed_gate(self, mailer):
        state = self.spool.mailer_state(mailer)
        if state.failures:
            return
        self.spool.pause(mailer)
        assert self.spool.claim(LANES, 5, LEASE, mailer).leased == ()
        self.spool.resume(mailer)

    @invariant()
    def every_mail_is_in_exactly_one_state_and_the_counts_agree(self):
        statuses = {mail_id: self.spool.status(mail_id) for mail_id in self.known}
        for mail_id, status in statuses.items():
            known = self.known[mail_id]
            if status is None:
                assert known.purged or known.finished
                continue
            # The late done of a mail that was given up is the one way out of a final state.
            assert not known.finished or status.state.is_finished
            known.finished = status.state.is_finished
        found = [status for status in statuses.values() if status is not None]
        by_lane = Counter((status.mailer, status.lane, status.state) for status in found)
        assert self.spool.stats().counts == by_lane
        for group in ("news", "receipts"):
            in_group = Counter(status.state for status in found if status.group == group)
            assert self.spool.status_of_group(group) == in_group
        for state in State:
            assert set(self.spool.ids(state)) == {status.id for status in found if status.state is state}

    @invariant()
    def what_was_accepted_stays_accepted_and_a_flag_stays_set(self):
        for mail_id, known in self.known.items():
            record = self.spool.get(mail_id)
            if record is not None:
                assert record.ledger.accepted >= known.accepted
                assert record.ledger.in_doubt or not known.flagged
                known.flagged = record.ledger.in_doubt
                assert bool(record.payload) is not known.finished

    @invariant()
    def no_mail_has_two_leases_in_force(self):
        in_force: Counter[str] = Counter()
        for leased in self.given[-40:]:
            status = self.spool.status(leased.mail.id)
            if status is not None and status.state is State.LEASED:
                entry = self.spool._shelf.find(leased.mail.id, self.at)
                assert entry is not None
                # Renewed to the very moment when it ends anyway, so that asking changes nothing.
                left = entry.lease_until - self.at
                in_force[leased.mail.id] += self.spool.renew(leased, left)
                assert entry.lease_until == pytest.approx(self.at + left)
        assert not in_force or max(in_force.values()) <= 1

    def teardown(self):
        """Whatever has happened: with open gates and patience, nothing stays due or leased for ever."""
        for mailer in ("relay", "fast"):
            self.spool.resume(mailer)
        for group in ("news", "receipts"):
            self.spool.resume_group(group)
        for _ in range(2000):
            answer = self.spool.claim(LANES, 10, LEASE)
            for leased in answer.leased:
                assert self.spool.mark(leased, LEASE)
                assert self.spool.done(leased, dict.fromkeys(RECIPIENTS, Outcome(OutcomeClass.ACCEPTED)))
            if answer.next_in is None:
                break
            self.at += answer.next_in
        left = {state for _, _, state in self.spool.stats().counts}
        assert not left & {State.DUE, State.LEASED}


AnyOrder.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestAnyOrderOfCalls = AnyOrder.TestCase
