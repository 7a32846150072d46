"""What a run of the task carrier leaves behind, and where it goes."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from mailworker import EmailMessage, settings
from mailworker.mail.codec import Codec
from mailworker.queue import carrier, runtime
from mailworker.queue.publisher import PublishError
from mailworker.queue.runtime import Runtime
from mailworker.spool.base import MAX_LAPSES
from mailworker.spool.record import Ledger, Mail, State
from mailworker.testing.smtpd import ScriptedServer


@pytest.fixture
def relay() -> Any:
    with (
        ScriptedServer() as server,
        settings.override(
            EMAIL_HOST=server.host, EMAIL_PORT=server.port, MAILWORKER_RETRY_SCHEDULE="60", MAILWORKER_RETRY_JITTER=0
        ),
    ):
        yield server
        runtime.close()


@pytest.fixture
def parts(relay: ScriptedServer) -> Runtime:
    return runtime.current()


def mail(number: int = 0, **more: Any) -> Mail:
    message = EmailMessage("s", "b", "from@example.com", [f"to{number}@example.com"])
    return Mail(id=f"{number:032x}", payload=Codec().encode(message), **more)


def test_a_chunk_leaves_nothing_when_all_goes_well(parts: Runtime, relay: ScriptedServer) -> None:
    assert carrier.delivered([mail(n) for n in range(5)], parts) == carrier.Leftover()
    assert len(relay.accepted) == 5
    assert relay.connections_ever == 1


def test_deferred_mails_go_back_with_their_ledger_and_dead_ones_to_the_dead_queue(
    parts: Runtime, relay: ScriptedServer
) -> None:
    relay.script(rcpt={"to1@example.com": "450 busy", "to2@example.com": "550 no", "to3@example.com": "550 no"})
    mails = [mail(0), mail(1), mail(2), mail(3, fail_silently=True)]
    left = carrier.delivered(mails, parts)
    ((due, wait),) = left.due
    assert (due.id, due.ledger.attempts) == (mails[1].id, 1)
    assert due.ledger.outcomes["to1@example.com"].reply.code == 450  # type: ignore[union-attr]
    assert 59 < wait <= 60
    ((dead, state),) = left.dead
    assert (dead.id, state, dead.payload) == (mails[2].id, State.DEAD, mails[2].payload)


def test_what_cannot_be_decoded_is_dead_with_its_bytes_and_the_others_go(parts: Runtime, relay: ScriptedServer) -> None:
    junk = replace(mail(1), payload=b"MW\xff junk")
    left = carrier.delivered([mail(0), junk, mail(2)], parts)
    ((dead, state),) = left.dead
    assert (dead.payload, state) == (b"MW\xff junk", State.DEAD)
    assert len(relay.accepted) == 2


def test_a_mail_that_is_not_due_goes_back_untouched(parts: Runtime, relay: ScriptedServer) -> None:
    later = mail(due_at=time.time() + 3600)
    ((due, wait),) = carrier.delivered([later], parts).due
    assert due == later
    assert 3599 < wait <= 3600
    assert relay.sessions == []


def test_a_broken_relay_gives_all_back_until_the_pause_is_over_and_remembers_it(
    parts: Runtime, relay: ScriptedServer
) -> None:
    relay.script(greeting="421 come back later")
    left = carrier.delivered([mail(0), mail(1)], parts)
    assert {due.ledger.attempts for due, _ in left.due} == {0}
    assert all(wait > 3 for _, wait in left.due)
    connections = relay.connections_ever
    second = carrier.delivered([mail(2)], parts)
    assert relay.connections_ever == connections, "the next task does not knock while the mailer pauses"
    assert all(wait > 3 for _, wait in second.due)


def test_lost_mails_are_flagged_and_counted(parts: Runtime) -> None:
    left = carrier.taken_up([mail(0), mail(1, ledger=Ledger(lapses=1))])
    assert [(one.ledger.lapses, one.ledger.in_doubt) for one, _ in left.due] == [(1, True), (2, True)]


@pytest.mark.parametrize(("silent", "state"), [(False, State.DEAD), (True, State.DROPPED)])
def test_a_mail_that_lost_its_worker_three_times_is_given_up(*, silent: bool, state: State) -> None:
    left = carrier.taken_up([mail(0, ledger=Ledger(lapses=MAX_LAPSES - 1), fail_silently=silent)])
    assert left.due == ()
    ((given_up, found),) = left.dead
    assert found is state
    assert "3 times in a row" in given_up.ledger.reason


def test_a_lost_mail_that_must_not_be_sent_twice_is_held() -> None:
    ((held, state),) = carrier.taken_up([mail(0, on_in_doubt="hold")]).dead
    assert (state, held.ledger.in_doubt) == (State.HELD, True)


def test_a_mail_that_is_not_due_yet_cannot_have_been_begun() -> None:
    later = mail(0, due_at=time.time() + 3600, on_in_doubt="hold")
    ((same, wait),) = carrier.taken_up([later]).due
    assert same == later
    assert wait > 3599


def test_a_run_that_ends_well_forgets_the_losses_before_it(parts: Runtime, relay: ScriptedServer) -> None:
    relay.script(rcpt="450 busy")
    ((due, _),) = carrier.delivered([mail(0, ledger=Ledger(lapses=2, in_doubt=True))], parts).due
    assert (due.ledger.lapses, due.ledger.in_doubt) == (0, True)


def test_mails_that_wait_for_a_pause_are_not_taken_for_begun_when_a_worker_stops_meanwhile(
    parts: Runtime, relay: ScriptedServer
) -> None:
    relay.script(greeting="421 come back later")
    carrier.delivered([mail(0)], parts)
    left = carrier.delivered([mail(1, on_in_doubt="hold")], parts)
    again = carrier.taken_up(one for one, _ in left.due)
    assert again.dead == ()
    assert [(one.ledger.lapses, one.ledger.in_doubt) for one, _ in again.due] == [(0, False)]


def test_the_wait_for_a_pause_is_time_that_does_not_count(parts: Runtime, relay: ScriptedServer) -> None:
    relay.script(greeting="421 come back later")
    carrier.delivered([mail(0)], parts)
    tried = Ledger(attempts=1, first_attempt_at=time.time() - 60)
    ((untried, _), (waiting, wait)) = carrier.delivered([mail(1), mail(2, ledger=tried)], parts).due
    assert untried.ledger.snoozed == 0
    assert waiting.ledger.snoozed == pytest.approx(wait)
    assert wait > 3


def test_what_is_published_again_after_a_lost_answer_is_flagged() -> None:
    told: list[bool] = []

    def publish(may_have_it: bool) -> None:
        told.append(may_have_it)
        if len(told) < 4:
            raise PublishError("lost", maybe_published=len(told) == 2)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(carrier, "_REPUBLISH_WAIT", 0.0)
        carrier._until_taken(publish)
    assert told == [False, False, True, True]
