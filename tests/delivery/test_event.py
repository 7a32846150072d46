"""What is told of mails and mailers: ids, domains and codes, once the spool has taken it down."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from mailworker.delivery.event import Event, MailerEvent, MailEvent
from mailworker.errors import MailerUnavailable, Trouble
from mailworker.lane import Lane
from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.spool.record import UNNAMED, Ledger, Mail, State
from tests.delivery.parts import Bench, times

NO = Outcome(OutcomeClass.REJECTED, Reply(550, "no such user person@x.org", "5.1.1"))
LATER = Outcome(OutcomeClass.DEFERRED, Reply(450, "later", "4.2.0"))
LOST = Outcome(OutcomeClass.IN_DOUBT, None, "lost")


def told(answer: Outcome, **more: Any) -> MailEvent:
    bench = Bench()
    bench.relay.answer = lambda _: answer
    bench.put("person@x.org", "person@y.org", lane=Lane.BULK, group="news", **more)
    bench.pipeline.run()
    (event,) = bench.told
    assert isinstance(event, MailEvent)
    assert "person" not in repr(event)
    assert (event.mail_id, event.mailer, event.lane, event.group) == ("0" * 32, "relay", Lane.BULK, "news")
    assert (event.attempt, event.domains) == (1, ("x.org", "y.org"))
    return event


def test_each_end_of_an_attempt_is_told_with_what_there_is_to_say_of_it() -> None:
    sent = told(Outcome(OutcomeClass.ACCEPTED, Reply(250, "ok", "2.0.0")))
    assert (sent.kind, sent.codes, sent.outcomes, sent.until, sent.reason) == ("sent", (250,), ("accepted",), None, "")
    deferred = told(LATER)
    assert (deferred.kind, deferred.codes, deferred.outcomes) == ("deferred", (450,), ("deferred",))
    assert deferred.until == 1060.0
    dead = told(NO)
    assert (dead.kind, dead.codes, dead.reason) == ("dead", (550,), "rejected by the relay")
    assert told(NO, fail_silently=True).kind == "dropped"
    held = told(LOST, on_in_doubt="hold")
    assert (held.kind, held.codes, held.outcomes) == ("held", (), ("in-doubt",))
    assert held.reason.startswith("in doubt")


@pytest.mark.parametrize("silently", [False, True])
def test_a_payload_that_is_no_message_is_dead_and_kept_whatever_its_sender_asked_for(silently: bool) -> None:
    bench = Bench()
    bench.memory.put([Mail(id="f" * 32, payload=b"junk", fail_silently=silently)])
    bench.pipeline.run()
    (event,) = bench.told
    assert isinstance(event, MailEvent)
    assert (event.kind, event.mail_id, bool(event.reason), event.domains) == ("dead", "f" * 32, True, ())
    kept = bench.memory.get("f" * 32)
    assert kept is not None
    assert kept.payload == b"junk"


def test_a_listener_hears_of_a_mail_when_its_status_shows_it() -> None:
    seen: list[State] = []

    def look(event: Event) -> None:
        assert isinstance(event, MailEvent)
        seen.append(bench.status(event.mail_id).state)

    bench: Bench = Bench(tell=look)
    bench.spool.after = times(3, "done")
    bench.put()
    bench.pipeline.run()
    assert seen == [State.SENT]


def test_a_listener_that_fails_harms_no_mail_and_its_words_stay_out_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_event: Event) -> None:
        raise RuntimeError("person@x.org")

    bench = Bench(tell=fail)
    ids = bench.put_several(2)
    with caplog.at_level(logging.DEBUG, "mailworker"):
        bench.pipeline.run()
    assert [bench.status(one).state for one in ids] == [State.SENT] * 2
    assert sum("RuntimeError" in record.getMessage() for record in caplog.records) == 2
    assert "person@x.org" not in caplog.text


@pytest.mark.parametrize(
    ("answer", "more", "name"),
    [
        (Outcome(OutcomeClass.ACCEPTED, Reply(250, "ok")), {}, "mail_sent"),
        (LATER, {}, "mail_deferred"),
        (NO, {}, "mail_dead"),
        (NO, {"fail_silently": True}, "mail_dropped"),
        (LOST, {"on_in_doubt": "hold"}, "mail_held"),
    ],
)
def test_the_log_names_the_event_among_its_fields(
    answer: Outcome, more: dict[str, Any], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    bench.relay.answer = lambda _: answer
    one = bench.put("person@x.org", **more)
    with caplog.at_level(logging.INFO, "mailworker"):
        bench.pipeline.run()
    (record,) = caplog.records
    fields = record.__dict__
    assert (fields["event"], fields["mail_id"], fields["mailer"]) == (name, one, "relay")
    assert (fields["lane"], fields["attempt"], fields["domains"]) == ("normal", 1, "x.org")
    assert fields["codes"] == (str(answer.reply.code) if answer.reply else "")
    assert "person" not in record.getMessage()


def test_a_mailers_pause_and_its_end_are_told(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    troubles: list[Exception] = [MailerUnavailable("refused", Trouble.CONNECT)]

    def on_open() -> None:
        if troubles:
            raise troubles.pop()

    bench.relay.on_open = on_open
    bench.put()
    with caplog.at_level(logging.INFO, "mailworker"):
        bench.pipeline.run()
        bench.clock.now += 5.0
        bench.pipeline.run()
    assert [event for event in bench.told if isinstance(event, MailerEvent)] == [
        MailerEvent(kind="paused", mailer="relay", trouble="connect", until=1005.0),
        MailerEvent(kind="recovered", mailer="relay"),
    ]
    paused, recovered = (record.__dict__ for record in caplog.records if "mailer_" in record.__dict__["event"])
    assert (paused["event"], paused["mailer"], paused["trouble"], paused["until"], paused["mails"]) == (
        "mailer_paused",
        "relay",
        "connect",
        1005.0,
        1,
    )
    assert (recovered["event"], recovered["mailer"]) == ("mailer_recovered", "relay")


@pytest.mark.parametrize(("answer", "kinds"), [(LATER, []), (Outcome(OutcomeClass.ACCEPTED, None, "ok"), ["sent"])])
def test_what_is_to_follow_is_not_told_by_a_worker_that_has_lost_its_lease(
    answer: Outcome, kinds: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    bench.relay.answer = lambda _: answer
    bench.put()
    # The dot is out, and the reply takes so long that another worker has the mail.
    reply = bench.relay.answer

    def late(message: Any) -> Outcome:
        bench.clock.now += 5000.0
        assert bench.memory.claim([Lane.NORMAL], 1, 60.0).leased
        return reply(message)

    bench.relay.answer = late
    with caplog.at_level(logging.INFO, "mailworker"):
        bench.pipeline.run_batch()
    assert [event.kind for event in bench.told] == kinds
    assert "lease was lost before the outcome could be recorded" in caplog.text


def test_a_mail_is_given_up_and_kept_if_nobody_here_can_tell_who_has_it_already() -> None:
    bench = Bench()
    sealed = Ledger(outcomes={f"{UNNAMED}0123456789ab)": Outcome(OutcomeClass.ACCEPTED)})
    mail_id = bench.put("person@x.org", ledger=sealed)
    bench.pipeline.run()
    (event,) = bench.told
    assert isinstance(event, MailEvent)
    assert (event.kind, event.reason) == (
        "dead",
        "what became of its recipients is sealed with a key that is not here",
    )
    assert bench.relay.taken == []
    kept = bench.memory.get(mail_id)
    assert kept is not None
    assert kept.payload
    assert kept.ledger.outcomes == sealed.outcomes
