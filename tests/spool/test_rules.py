from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.outcome import Outcome, OutcomeClass
from mailworker.spool import rules
from mailworker.spool.base import MAX_LAPSES
from mailworker.spool.record import Ledger, Mail
from mailworker.spool.rules import Verdict

outcomes = st.dictionaries(st.sampled_from("abcde"), st.sampled_from(OutcomeClass).map(Outcome), max_size=5)
ledgers = st.builds(
    Ledger,
    outcomes=outcomes,
    attempts=st.integers(0, 9),
    snoozed=st.floats(0, 1e6),
    lapses=st.integers(0, MAX_LAPSES),
    in_doubt=st.booleans(),
    in_doubt_resends=st.integers(0, 3),
).map(lambda ledger: replace(ledger, first_attempt_at=5.0 if ledger.attempts else None))


def accepted(ledger: Ledger) -> frozenset[str]:
    return ledger.accepted


@given(ledgers, outcomes, st.booleans(), st.booleans())
def test_no_word_makes_an_accepted_recipient_anything_else(ledger, told, was_marked, resend):
    after = rules.heard(ledger, told, was_marked=was_marked, resend=resend)
    assert ledger.accepted <= after.accepted
    assert (
        after.accepted - ledger.accepted
        == {r for r, o in told.items() if o.kind is OutcomeClass.ACCEPTED} - ledger.accepted
    )
    assert set(after.outcomes) == set(ledger.outcomes) | set(told)


@given(ledgers, outcomes, st.booleans(), st.booleans())
def test_the_flag_in_doubt_is_never_taken_back(ledger, told, was_marked, resend):
    for after in (
        rules.heard(ledger, told, was_marked=was_marked, resend=resend),
        rules.lapsed(ledger, was_marked=was_marked),
        rules.charged(ledger, 9.0),
        rules.refunded(ledger, 9.0, was_marked=was_marked),
        rules.replayed(Mail(id="0" * 32, payload=b"", ledger=ledger), 9.0).ledger,
    ):
        assert after.in_doubt or not ledger.in_doubt


@given(ledgers, outcomes)
def test_an_outcome_in_doubt_or_a_resend_sets_the_flag(ledger, told):
    doubtful = any(o.kind is OutcomeClass.IN_DOUBT for o in told.values())
    assert rules.heard(ledger, told, was_marked=True).in_doubt is (ledger.in_doubt or doubtful)
    resent = rules.heard(ledger, told, was_marked=True, resend=True)
    assert resent.in_doubt
    assert resent.in_doubt_resends == ledger.in_doubt_resends + 1


@given(ledgers, st.floats(0, 1e9))
def test_a_refund_undoes_a_charge(ledger, now):
    assert rules.refunded(rules.charged(ledger, now), 0.0, was_marked=True) == ledger


@given(ledgers, st.floats(-10, 1e6))
def test_a_pause_counts_as_snoozed_only_after_a_charged_attempt(ledger, pause):
    after = rules.refunded(ledger, pause, was_marked=False)
    counted = max(pause, 0.0) if ledger.attempts else 0.0
    assert after == replace(ledger, snoozed=ledger.snoozed + counted)


@given(ledgers, outcomes)
def test_news_are_the_acceptances_that_were_not_known(ledger, told):
    news = rules.news(ledger, told)
    assert set(news) == {r for r, o in told.items() if o.kind is OutcomeClass.ACCEPTED} - ledger.accepted
    assert rules.news(replace(ledger, outcomes=ledger.merged(news)), told) == {}


@given(ledgers)
def test_accepted_throughout_means_every_known_recipient_and_at_least_one(ledger):
    assert rules.is_accepted_throughout(ledger) is (set(ledger.outcomes) == ledger.accepted != set())


@given(ledgers)
def test_a_replay_keeps_the_acceptances_and_the_flag_and_nothing_else(ledger):
    mail = rules.replayed(Mail(id="0" * 32, payload=b"x", due_at=1.0, ledger=ledger), 77.0)
    kept = {r: o for r, o in ledger.outcomes.items() if r in ledger.accepted}
    assert (mail.due_at, mail.payload) == (77.0, b"x")
    assert mail.ledger == Ledger(outcomes=kept, in_doubt=ledger.in_doubt)


@pytest.mark.parametrize(
    ("lapses", "has_lapsed", "expires_at", "verdict"),
    [
        (0, False, None, Verdict.GIVE),
        (0, False, 100.1, Verdict.GIVE),
        (0, False, 100.0, Verdict.EXPIRE),
        (0, True, None, Verdict.GIVE_ALONE),
        (1, False, None, Verdict.GIVE_ALONE),
        (MAX_LAPSES - 2, True, None, Verdict.GIVE_ALONE),
        (MAX_LAPSES - 1, False, None, Verdict.GIVE_ALONE),
        (MAX_LAPSES - 1, True, None, Verdict.BURY),
        (MAX_LAPSES - 1, True, 99.0, Verdict.EXPIRE),
    ],
)
def test_a_claim_decides_by_the_mail_s_end_and_its_lapses(lapses, has_lapsed, expires_at, verdict):
    mail = Mail(id="0" * 32, payload=b"", expires_at=expires_at, ledger=Ledger(lapses=lapses))
    assert rules.verdict(mail, 100.0, has_lapsed=has_lapsed) is verdict


def test_a_mail_whose_time_is_over_after_an_attempt_is_given_up_with_what_became_of_it():
    mail = Mail(id="0" * 32, payload=b"", expires_at=100.0, ledger=Ledger(attempts=1))
    assert rules.verdict(mail, 99.9, has_lapsed=False) is Verdict.GIVE
    assert rules.verdict(mail, 100.0, has_lapsed=False) is Verdict.GIVE_UP
