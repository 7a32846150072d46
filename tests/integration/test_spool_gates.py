"""Who goes first, how fast, how many at one time, and who waits: lanes and gates of the spool with real workers."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable

import pytest

import mailworker
from mailworker import State, enqueue
from mailworker.testing.script import OK, Answer, Drip, Hang
from mailworker.testing.script import Command as SmtpCommand
from mailworker.testing.smtpd import ScriptedServer
from tests.integration.conftest import Broker, producing
from tests.integration.spool_mails import all_sent, copies, everybody, message, messages, states, status, with_mailer
from tests.processes import (
    Worker,
    eventually,
)

pytestmark = pytest.mark.integration

StartWorker = Callable[..., Worker]


def test_a_mail_in_the_high_lane_overtakes_a_batch_that_is_claimed(
    spool: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    # A relay that takes its time: between two quick mails a worker does not even look for higher ones.
    relay.script(dot=[OK, Hang(), *[Drip("250 taken", 0.02)] * 3])
    ids = enqueue(messages(5), lane="bulk")
    start_worker(spool, "-c", "1")
    relay.wait_hanging()
    assert states(ids) == [State.SENT, *[State.LEASED] * 4]
    (high,) = enqueue(message("high@example.com"), lane="high")
    relay.release()
    all_sent([*ids, high])
    order = [one.recipients[0] for one in relay.accepted]
    assert order.index("high@example.com") < 4, order
    assert sorted(set(order) - {"high@example.com"}) == sorted(everybody(5))
    assert len(order) == 6
    assert [status(mail_id).attempts for mail_id in ids] == [1] * 5, "making way costs nothing"


def test_a_rate_holds_over_all_workers_together(
    spool_broker: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    mailers = with_mailer(relay, rate="14/s", burst=1)
    noted: list[float] = []

    def note(command: SmtpCommand) -> Answer:
        noted.append(time.monotonic())
        return OK

    relay.script(dot=note)
    with producing(spool_broker, MAILERS=mailers):
        workers = [start_worker(spool_broker, "-c", "1", MAILERS=json.dumps(mailers)) for _ in range(2)]
        ids = enqueue(messages(50))
        all_sent(ids)
    assert copies(relay) == everybody(50)
    lasted = noted[-1] - noted[0]
    # 49 intervals of a fourteenth of a second; never faster, and not slower because of what it is made of.
    assert 14 * lasted >= 49 - 2
    assert 14 * lasted <= 2 * 49, "not half as fast, on whatever machine"
    assert all("mail accepted" in worker.output for worker in workers), "both took part"


def test_a_domain_gets_no_more_at_one_time_than_it_may_and_the_others_go_on(
    spool_broker: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    mailers = with_mailer(relay, domain_concurrency={"slow.example": 1})
    relay.script(rcpt={f"to{n}@slow.example": Hang() for n in range(3)})
    with producing(spool_broker, MAILERS=mailers):
        others = enqueue(messages(5))
        slow = enqueue([message(f"to{n}@slow.example") for n in range(3)])
        start_worker(spool_broker, "-c", "2", MAILERS=json.dumps(mailers))
        all_sent(others)
        for number in range(3):
            relay.wait_hanging()
            assert states(slow).count(State.LEASED) == 1
            assert states(slow).count(State.SENT) == number
            relay.release()
            eventually(lambda number=number: states(slow).count(State.SENT) > number, "the next one")  # type: ignore[misc]
    assert copies(relay) == everybody(5) + Counter(f"to{n}@slow.example" for n in range(3))


def test_what_a_person_pauses_waits_and_goes_on_when_it_is_resumed(
    spool_broker: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    mailers = {**with_mailer(relay), "other": with_mailer(relay)["relay"]}
    with producing(spool_broker, MAILERS=mailers):
        start_worker(spool_broker, "-c", "1", MAILERS=json.dumps(mailers))
        mailworker.pause("relay", "the provider moves house")
        mailworker.pause_group("letter")
        paused = enqueue(message("paused@example.com"), using="relay")
        letter = enqueue([message("one@example.com"), message("two@example.com")], using="other", group="letter")
        # The worker has been at it, and has passed by: this one was put in last.
        all_sent(enqueue(message("beside@example.com"), using="other"))
        assert states([*paused, *letter]) == [State.DUE] * 3
        assert mailworker.status_of_group("letter") == {State.DUE: 2}
        assert copies(relay) == {"beside@example.com": 1}
        mailworker.resume("relay")
        all_sent(paused)
        assert states(letter) == [State.DUE] * 2
        mailworker.resume_group("letter")
        all_sent(letter)
        assert mailworker.status_of_group("letter") == {State.SENT: 2}
        assert [status(mail_id).attempts for mail_id in [*paused, *letter]] == [1] * 3
        mailworker.pause_group("letter")
        (cancelled,) = enqueue(message("three@example.com"), using="other", group="letter")
        mailworker.cancel_group("letter")
        mailworker.resume_group("letter")
        all_sent(enqueue(message("last@example.com"), using="other"))
        assert mailworker.status_of_group("letter") == {State.SENT: 2, State.CANCELLED: 1}
        assert states([cancelled]) == [State.CANCELLED]
    assert "three@example.com" not in copies(relay)


def test_a_worker_that_does_not_know_a_mailer_leaves_its_mail_to_those_that_do(
    spool_broker: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    news = {"OPTIONS": {"host": relay.host, "port": relay.port}}
    with producing(spool_broker, MAILERS={"news": news}):
        stranger = start_worker(spool_broker, "-c", "1")
        ids = enqueue(messages(5), using="news")
        stranger.wait_for("mail waits for the mailer news, which this worker does not know")
        assert states(ids) == [State.DUE] * 5
        start_worker(spool_broker, "-c", "1", MAILERS=json.dumps({"news": news}))
        all_sent(ids)
        assert [status(mail_id).attempts for mail_id in ids] == [1] * 5
    assert copies(relay) == everybody(5)
    assert "pauses" not in stranger.output
