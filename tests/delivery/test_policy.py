"""The decision about a mail after an attempt (DESIGN §9)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.delivery.policy import Bury, Decision, Defer, Done, Hold, RetryPolicy, backoff, decide, remaining
from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.spool.record import Ledger, Mail

ACCEPTED = Outcome(OutcomeClass.ACCEPTED, Reply(250, "ok"))
DEFERRED = Outcome(OutcomeClass.DEFERRED, Reply(450, "busy"))
REJECTED = Outcome(OutcomeClass.REJECTED, Reply(550, "no such user"))
IN_DOUBT = Outcome(OutcomeClass.IN_DOUBT, None, "connection lost after the dot")

POLICY = RetryPolicy()
NOW = 1_000_000.0

outcomes = st.sampled_from([ACCEPTED, DEFERRED, REJECTED, IN_DOUBT])
recipients = st.lists(st.sampled_from(["a@x", "b@x", "c@y", "d@z"]), min_size=1, unique=True)


def mail(**ledger: object) -> Mail:
    return Mail(id="0" * 32, payload=b"", ledger=Ledger(**ledger))  # type: ignore[arg-type]


def decided(one: Mail, new: dict[str, Outcome], *, now: float = NOW, policy: RetryPolicy = POLICY) -> Decision:
    return decide(one, list(new), new, now=now, random=0.5, policy=policy)


def test_a_mail_whose_recipients_were_all_accepted_is_done() -> None:
    assert decided(mail(), {"a@x": ACCEPTED, "b@x": ACCEPTED}) == Done()


def test_a_mail_without_recipients_left_to_wait_for_is_done() -> None:
    assert decide(mail(), [], {}, now=NOW, random=0.5, policy=POLICY) == Done()


def test_one_rejected_recipient_makes_the_mail_dead_once_nothing_else_is_open() -> None:
    assert decided(mail(), {"a@x": ACCEPTED, "b@x": REJECTED}) == Bury("rejected by the relay")


def test_a_deferred_recipient_keeps_a_mail_open_beside_a_rejected_one() -> None:
    assert isinstance(decided(mail(), {"a@x": REJECTED, "b@x": DEFERRED}), Defer)


def test_a_recipient_without_an_outcome_is_tried_again() -> None:
    assert isinstance(decide(mail(), ["a@x", "b@x"], {"a@x": ACCEPTED}, now=NOW, random=0.5, policy=POLICY), Defer)


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 60), (2, 300), (3, 900), (4, 1800), (5, 3600), (6, 7200), (9, 7200)]
)
def test_the_waits_are_one_minute_to_two_hours_and_the_last_repeats(attempt: int, seconds: int) -> None:
    assert backoff(attempt, POLICY.schedule, 0.2, 0.5) == pytest.approx(seconds)


@given(st.integers(1, 50), st.floats(0, 1, exclude_max=True), st.floats(0, 1))
def test_jitter_stays_within_its_share(attempt: int, random: float, jitter: float) -> None:
    plain = backoff(attempt, POLICY.schedule, 0.0, 0.0)
    assert (
        plain * (1 - jitter) - 1e-6 <= backoff(attempt, POLICY.schedule, jitter, random) <= plain * (1 + jitter) + 1e-6
    )


def test_it_gives_up_a_day_after_the_first_attempt() -> None:
    old = mail(attempts=9, first_attempt_at=NOW - 86_400)
    assert decided(old, {"a@x": DEFERRED}) == Bury("given up 86400 s after the first attempt")


def test_snoozed_time_does_not_count_towards_giving_up() -> None:
    old = mail(attempts=9, first_attempt_at=NOW - 86_400, snoozed=10_000.0)
    assert isinstance(decided(old, {"a@x": DEFERRED}), Defer)


def test_the_last_attempt_falls_on_the_deadline_itself() -> None:
    old = mail(attempts=9, first_attempt_at=NOW - 86_000)
    assert decided(old, {"a@x": DEFERRED}) == Defer(NOW + 400)


def test_it_gives_up_at_the_number_of_attempts_that_was_set() -> None:
    tried = mail(attempts=2, first_attempt_at=NOW - 60)
    assert decided(tried, {"a@x": DEFERRED}, policy=RetryPolicy(max_attempts=3)) == Bury("given up after 3 attempts")


def test_no_attempt_is_planned_beyond_the_expiry() -> None:
    one = replace(mail(), expires_at=NOW + 10)
    assert decided(one, {"a@x": DEFERRED}) == Defer(NOW + 10)


def test_a_mail_in_doubt_is_sent_again_once_and_then_dead() -> None:
    assert decided(mail(), {"a@x": IN_DOUBT}) == Defer(NOW + 60, resend=True)
    again = mail(attempts=1, first_attempt_at=NOW, in_doubt_resends=1, outcomes={"a@x": IN_DOUBT})
    assert remaining(again, ["a@x"], POLICY) == ["a@x"]
    assert decided(again, {"a@x": IN_DOUBT}) == Bury("in doubt, and sent again as often as allowed")


def test_a_mail_in_doubt_waits_for_a_person_if_that_was_asked_for() -> None:
    one = replace(mail(), on_in_doubt="hold")
    assert isinstance(decided(one, {"a@x": IN_DOUBT, "b@x": DEFERRED}), Hold)


def test_a_recipient_in_doubt_is_left_out_once_its_resends_are_used_up() -> None:
    again = mail(attempts=1, first_attempt_at=NOW, in_doubt_resends=1, outcomes={"a@x": IN_DOUBT, "b@x": DEFERRED})
    decision = decided(again, {"a@x": IN_DOUBT, "b@x": DEFERRED})
    assert decision == Defer(NOW + 300, resend=True)
    third = mail(attempts=2, first_attempt_at=NOW, in_doubt_resends=2, outcomes={"a@x": IN_DOUBT, "b@x": DEFERRED})
    assert remaining(third, ["a@x", "b@x"], POLICY) == ["b@x"]


@given(recipients, st.data())
def test_what_was_accepted_or_rejected_is_never_tried_again(everyone: list[str], data: st.DataObject) -> None:
    known = data.draw(st.dictionaries(st.sampled_from(everyone), outcomes))
    left = remaining(mail(outcomes=known), everyone, POLICY)
    settled = {r for r, o in known.items() if o.kind in (OutcomeClass.ACCEPTED, OutcomeClass.REJECTED)}
    assert settled.isdisjoint(left)
    assert {r for r in everyone if r not in known} <= set(left)


@given(recipients, st.data(), st.floats(0, 1, exclude_max=True), st.integers(0, 30), st.integers(0, 3))
def test_every_decision_is_total_and_never_goes_back_in_time(
    everyone: list[str], data: st.DataObject, random: float, attempts: int, resends: int
) -> None:
    before = data.draw(st.dictionaries(st.sampled_from(everyone), outcomes))
    one = mail(attempts=attempts, first_attempt_at=NOW - attempts * 60, outcomes=before, in_doubt_resends=resends)
    new = {r: data.draw(outcomes) for r in everyone}
    decision = decide(one, everyone, new, now=NOW, random=random, policy=POLICY)
    merged = one.ledger.merged(new)
    kinds = {o.kind for o in merged.values()}
    match decision:
        case Done():
            assert kinds == {OutcomeClass.ACCEPTED}
        case Defer(until=until):
            assert until >= NOW
            assert kinds & {OutcomeClass.DEFERRED, OutcomeClass.IN_DOUBT}
        case Bury():
            assert kinds - {OutcomeClass.ACCEPTED}
        case Hold():
            assert one.on_in_doubt == "hold"


@given(recipients, st.data())
def test_a_mail_comes_to_an_end_however_often_the_relay_defers(everyone: list[str], data: st.DataObject) -> None:
    one = mail()
    now = NOW
    for _ in range(200):
        new = {r: data.draw(st.sampled_from([DEFERRED, IN_DOUBT])) for r in remaining(one, everyone, POLICY)}
        decision = decide(one, everyone, new, now=now, random=0.5, policy=POLICY)
        if not isinstance(decision, Defer):
            return
        resends = one.ledger.in_doubt_resends + decision.resend
        ledger = replace(
            one.ledger,
            outcomes=one.ledger.merged(new),
            attempts=one.ledger.attempts + 1,
            first_attempt_at=one.ledger.first_attempt_at or now,
            in_doubt_resends=resends,
        )
        one, now = replace(one, ledger=ledger), decision.until
    pytest.fail("the mail never ended")
