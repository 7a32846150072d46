"""Workers that come too late: what still counts, what is refused, and how the truth about acceptances gets in."""

from __future__ import annotations

import pytest

from mailworker.outcome import OutcomeClass
from mailworker.spool.base import Leased, Spool
from mailworker.spool.record import Mail, State
from tests.spool.harness import (
    LEASE,
    Harness,
    accepted,
    claim,
    claim_one,
    deferred,
    in_doubt,
    let_lapse,
    put,
    record,
    rejected,
    state,
)


def taken_over(harness: Harness, **changes) -> tuple[Mail, Leased, Leased, Spool]:
    """Return a mail, the lost lease that had marked it, the newer one that has not, and the newer one's worker."""
    (mail,) = put(harness.spool, **changes)
    (old,) = let_lapse(harness, marked=True)
    second = harness.second_worker()
    return mail, old, claim_one(second), second


class LateWordRules:
    def test_done_after_the_lease_ran_out_counts_as_long_as_nobody_took_the_mail(self, harness: Harness):
        (mail,) = put(harness.spool)
        (leased,) = let_lapse(harness, marked=True)
        assert state(harness.spool, mail) is State.DUE
        assert harness.spool.done(leased, accepted("a@a.org"))
        assert state(harness.spool, mail) is State.SENT
        assert not record(harness.spool, mail).ledger.in_doubt
        assert claim(harness.second_worker()) == ()

    def test_any_word_after_the_lease_ran_out_counts_as_long_as_nobody_took_the_mail(self, harness: Harness):
        (mail,) = put(harness.spool)
        (leased,) = let_lapse(harness, marked=True)
        assert harness.spool.defer(leased, harness.spool.now() + 50, accepted("a@a.org") | deferred("b@b.org"))
        assert claim(harness.second_worker()) == ()
        harness.advance(50)
        again = claim_one(harness.second_worker())
        assert (again.in_doubt, again.mail.ledger.lapses, again.mail.ledger.attempts) == (False, 0, 1)
        assert again.mail.ledger.outcomes == accepted("a@a.org") | deferred("b@b.org")
        assert again.mail.id == mail.id

    @pytest.mark.parametrize("word", ["defer", "snooze", "bury", "hold"])
    def test_a_late_worker_cannot_write_over_the_result_of_a_newer_one(self, harness: Harness, word):
        mail, old, new, second = taken_over(harness)
        assert second.mark(new, LEASE)
        assert second.done(new, accepted("a@a.org"))
        before = harness.spool.status(mail.id), harness.spool.get(mail.id)
        outcomes = rejected("a@a.org", "b@b.org")
        late = {
            "defer": lambda: harness.spool.defer(old, harness.spool.now(), outcomes, resend=True),
            "snooze": lambda: harness.spool.snooze(old, harness.spool.now()),
            "bury": lambda: harness.spool.bury(old, outcomes, "late"),
            "hold": lambda: harness.spool.hold(old, outcomes, "late"),
        }[word]
        assert not late()
        assert (harness.spool.status(mail.id), harness.spool.get(mail.id)) == before

    @pytest.mark.parametrize("word", ["defer", "snooze", "bury", "hold"])
    def test_a_late_worker_cannot_take_the_mail_from_the_newer_one(self, harness: Harness, word):
        mail, old, new, second = taken_over(harness)
        before = harness.spool.get(mail.id)
        outcomes = deferred("a@a.org") | rejected("b@b.org") | in_doubt("c@c.org")
        late = {
            "defer": lambda: harness.spool.defer(old, harness.spool.now(), outcomes),
            "snooze": lambda: harness.spool.snooze(old, harness.spool.now()),
            "bury": lambda: harness.spool.bury(old, outcomes, "late"),
            "hold": lambda: harness.spool.hold(old, outcomes, "late"),
        }[word]
        assert not late()
        assert (state(harness.spool, mail), harness.spool.get(mail.id)) == (State.LEASED, before)
        assert second.mark(new, LEASE)

    def test_a_late_done_makes_the_mail_sent_and_forbids_the_newer_worker_to_begin(self, harness: Harness):
        mail, old, new, second = taken_over(harness)
        assert not harness.spool.done(old, accepted("a@a.org"))
        assert state(harness.spool, mail) is State.SENT
        assert not second.mark(new, LEASE)
        assert not second.defer(new, harness.spool.now(), deferred("a@a.org"))
        harness.advance(10 * LEASE)
        assert claim(second) == ()
        assert record(harness.spool, mail).ledger.outcomes == accepted("a@a.org")

    def test_a_late_done_holds_against_whatever_a_newer_worker_says_that_had_begun(self, harness: Harness):
        mail, old, new, second = taken_over(harness)
        assert second.mark(new, LEASE)
        assert not harness.spool.done(old, accepted("a@a.org"))
        assert not second.defer(new, harness.spool.now(), deferred("a@a.org"))
        assert state(harness.spool, mail) is State.SENT
        assert record(harness.spool, mail).ledger.outcomes == accepted("a@a.org")
        assert record(harness.spool, mail).ledger.in_doubt
        assert claim(second) == ()

    def test_a_late_done_ends_a_mail_that_is_due_again(self, harness: Harness):
        mail, old, new, second = taken_over(harness)
        assert second.defer(new, harness.spool.now() + 5, deferred("a@a.org"))
        assert not harness.spool.done(old, accepted("a@a.org"))
        assert state(harness.spool, mail) is State.SENT
        assert record(harness.spool, mail).payload == b""
        harness.advance(5)
        assert claim(second) == ()

    @pytest.mark.parametrize("end", ["bury", "drop", "hold", "cancel"])
    def test_a_late_done_tells_the_truth_of_a_mail_that_was_given_up_meanwhile(self, harness: Harness, end):
        mail, old, new, second = taken_over(harness, fail_silently=end == "drop")
        if end == "hold":
            assert second.hold(new, {}, "in doubt")
        elif end == "cancel":
            assert second.snooze(new, harness.spool.now())
            assert second.cancel(mail.id)
        else:
            assert second.bury(new, rejected("a@a.org"), "rejected")
        assert not harness.spool.done(old, accepted("a@a.org"))
        assert state(harness.spool, mail) is State.SENT
        assert record(harness.spool, mail).ledger.outcomes == accepted("a@a.org")
        assert harness.spool.ids(State.DEAD) == harness.spool.ids(State.HELD) == []
        assert not harness.spool.replay(mail.id)

    def test_a_late_done_after_a_lapse_that_a_person_cancelled_shows_the_mail_sent_and_in_doubt(self, harness: Harness):
        (mail,) = put(harness.spool)
        (leased,) = let_lapse(harness, marked=True)
        assert harness.spool.cancel(mail.id)
        assert state(harness.spool, mail) is State.CANCELLED
        assert record(harness.spool, mail).ledger.in_doubt
        assert not harness.spool.done(leased, accepted("a@a.org"))
        assert state(harness.spool, mail) is State.SENT

    def test_a_late_done_does_not_hide_that_another_recipient_was_rejected(self, harness: Harness):
        mail, old, new, second = taken_over(harness)
        assert second.bury(new, rejected("b@b.org"), "rejected")
        assert not harness.spool.done(old, accepted("a@a.org"))
        assert state(harness.spool, mail) is State.DEAD
        assert record(harness.spool, mail).ledger.outcomes == accepted("a@a.org") | rejected("b@b.org")

    @pytest.mark.parametrize("word", ["defer", "bury", "hold"])
    def test_a_late_acceptance_of_some_keeps_the_newer_worker_from_trying_them_again(self, harness: Harness, word):
        mail, old, new, second = taken_over(harness)
        outcomes = accepted("a@a.org") | deferred("b@b.org")
        late = {
            "defer": lambda: harness.spool.defer(old, harness.spool.now(), outcomes),
            "bury": lambda: harness.spool.bury(old, outcomes, "late"),
            "hold": lambda: harness.spool.hold(old, outcomes, "late"),
        }[word]
        assert not late()
        assert not second.mark(new, LEASE)
        assert not second.renew(new, LEASE)
        assert state(harness.spool, mail) is State.DUE
        again = claim_one(second)
        assert again.mail.ledger.outcomes == accepted("a@a.org")
        assert again.mail.ledger.lapses == 1
        assert second.mark(again, LEASE)

    def test_a_late_acceptance_of_some_stays_whatever_a_newer_worker_says_that_had_begun(self, harness: Harness):
        mail, old, new, second = taken_over(harness)
        assert second.mark(new, LEASE)
        assert not harness.spool.defer(old, harness.spool.now(), accepted("a@a.org") | rejected("b@b.org"))
        assert state(harness.spool, mail) is State.LEASED
        assert second.defer(new, harness.spool.now(), deferred("a@a.org", "b@b.org"))
        assert claim_one(second).mail.ledger.outcomes == accepted("a@a.org") | deferred("b@b.org")

    def test_a_late_acceptance_that_is_known_already_disturbs_nobody(self, harness: Harness):
        mail, old, new, second = taken_over(harness)
        assert second.defer(new, harness.spool.now(), accepted("a@a.org") | deferred("b@b.org"))
        third = claim_one(second)
        assert not harness.spool.defer(old, harness.spool.now(), accepted("a@a.org") | deferred("b@b.org"))
        assert second.mark(third, LEASE)
        assert second.done(third, accepted("b@b.org"))
        assert state(harness.spool, mail) is State.SENT

    def test_a_late_done_of_the_rest_finishes_a_mail_whose_other_recipients_were_accepted_before(
        self, harness: Harness
    ):
        (mail,) = put(harness.spool)
        assert harness.spool.defer(
            claim_one(harness.spool), harness.spool.now(), accepted("a@a.org") | deferred("b@b.org")
        )
        (old,) = let_lapse(harness, marked=True)
        new = claim_one(harness.second_worker())
        assert not harness.spool.done(old, accepted("b@b.org"))
        assert state(harness.spool, mail) is State.SENT
        assert record(harness.spool, mail).ledger.outcomes == accepted("a@a.org", "b@b.org")
        assert not harness.second_worker().mark(new, LEASE)

    @pytest.mark.parametrize("word", ["bury", "hold", "defer"])
    def test_a_mail_whose_recipients_two_workers_saw_accepted_between_them_is_sent_whatever_the_last_word(
        self, harness: Harness, word: str
    ):
        (mail,) = put(harness.spool)
        (old,) = let_lapse(harness, marked=True)
        new = claim_one(harness.second_worker())
        assert harness.second_worker().mark(new, LEASE)
        assert not harness.spool.bury(old, accepted("a@a.org") | rejected("b@b.org"), "rejected")
        said = rejected("a@a.org") | accepted("b@b.org")
        match word:
            case "bury":
                assert harness.spool.bury(new, said, "rejected")
            case "hold":
                assert harness.spool.hold(new, in_doubt("a@a.org") | accepted("b@b.org"), "in doubt")
            case _:
                assert harness.spool.defer(new, harness.spool.now(), deferred("a@a.org") | accepted("b@b.org"))
        assert state(harness.spool, mail) is State.SENT
        assert record(harness.spool, mail).ledger.reason == ""
        assert claim(harness.spool) == ()

    def test_a_word_without_outcomes_does_not_make_sent_what_was_accepted_in_part(self, harness: Harness):
        (mail,) = put(harness.spool)
        assert harness.spool.defer(
            claim_one(harness.spool), harness.spool.now(), accepted("a@a.org") | deferred("b@b.org")
        )
        assert harness.spool.bury(claim_one(harness.spool), {}, "cannot be read")
        assert harness.spool.replay(mail.id)
        assert harness.spool.bury(claim_one(harness.spool), {}, "cannot be read")
        assert state(harness.spool, mail) is State.DEAD

    def test_a_late_word_about_a_cancelled_mail_changes_nothing_but_acceptances(self, harness: Harness):
        (mail,) = put(harness.spool)
        (leased,) = let_lapse(harness)
        assert harness.spool.cancel(mail.id)
        assert not harness.spool.defer(leased, harness.spool.now(), accepted("a@a.org") | deferred("b@b.org"))
        assert state(harness.spool, mail) is State.CANCELLED
        assert record(harness.spool, mail).ledger.outcomes == accepted("a@a.org")
        assert claim(harness.spool) == ()

    def test_another_word_of_a_lease_that_has_been_ended_is_refused_but_its_acceptances_count(self, harness: Harness):
        (mail,) = put(harness.spool)
        leased = claim_one(harness.spool)
        assert harness.spool.snooze(leased, harness.spool.now() + 10)
        assert not harness.spool.defer(leased, harness.spool.now(), accepted("a@a.org") | deferred("b@b.org"))
        assert claim(harness.spool) == ()
        assert record(harness.spool, mail).ledger.accepted == {"a@a.org"}
        assert OutcomeClass.DEFERRED not in {o.kind for o in record(harness.spool, mail).ledger.outcomes.values()}

    def test_a_word_about_a_mail_that_is_not_known_any_more_is_refused(self, harness: Harness):
        (mail,) = put(harness.spool)
        (old,) = let_lapse(harness)
        assert harness.spool.bury(claim_one(harness.spool), {}, "broken")
        assert harness.spool.purge(mail.id)
        assert not harness.spool.done(old, accepted("a@a.org"))
        assert not harness.spool.mark(old, LEASE)
        assert harness.spool.status(mail.id) is None

    def test_a_lease_of_before_a_replay_is_void(self, harness: Harness):
        (mail,) = put(harness.spool)
        old = claim_one(harness.spool)
        assert harness.spool.bury(old, rejected("a@a.org"), "rejected")
        assert harness.spool.replay(mail.id)
        assert not harness.spool.bury(old, rejected("a@a.org"), "rejected")
        assert state(harness.spool, mail) is State.DUE
