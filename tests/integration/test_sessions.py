"""Several sessions a worker: threads and prefork, and the limit that holds over all of them together."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable

import pytest

from mailworker import State, enqueue
from mailworker.testing.script import OK, Drip, Hang
from mailworker.testing.smtpd import ScriptedServer
from tests.integration.conftest import Broker, producing
from tests.integration.spool_mails import all_sent, copies, everybody, messages, states, status, with_mailer
from tests.processes import Worker, eventually

pytestmark = pytest.mark.integration

StartWorker = Callable[..., Worker]

#: A slot begins with claims of five mails: so many are something for each of sixteen.
MANY = 100


def test_no_more_sessions_are_open_than_the_mailer_allows_whatever_the_workers(
    spool_broker: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    mailers = with_mailer(relay, sessions=3)
    relay.script(dot=lambda _: Drip("250 taken", 0.02))
    with producing(spool_broker, MAILERS=mailers):
        workers = [
            start_worker(spool_broker, *options, MAILERS=json.dumps(mailers))
            for options in (("-c", "4"), ("-c", "8", "-P", "threads"))
        ]
        for _ in range(5):
            # One by one, so that slots are woken again and again while all seats are taken; and again when they have been
            # given up, so that other slots have them.
            ids = [mail_id for one in messages(25) for mail_id in enqueue(one)]
            all_sent(ids)
            assert [status(mail_id).attempts for mail_id in ids] == [1] * 25
        relay.wait_closed()
    assert copies(relay) == Counter(dict.fromkeys(everybody(25), 5))
    assert relay.connections_most == 3, "never more, and all of them are used"
    assert not any("pauses" in worker.output for worker in workers)


def test_the_seats_of_a_worker_that_is_killed_come_back_after_its_lease(
    spool_broker: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    mailers = with_mailer(relay, sessions=3)
    relay.script(dot=[Hang()] * 3)
    env = {"MAILERS": json.dumps(mailers), "MAILWORKER_LEASE": "5"}
    with producing(spool_broker, MAILERS=mailers):
        doomed = start_worker(spool_broker, "-c", "8", "-P", "threads", **env)
        ids = enqueue(messages(MANY))
        relay.wait_hanging(3)
        start_worker(spool_broker, "-c", "4", **env)
        doomed.signal(signal.SIGKILL, group=True)
        all_sent(ids)
        doubtful = [mail_id for mail_id in ids if status(mail_id).in_doubt]
    assert len(doubtful) == 3, "those whose dot was out"
    assert copies(relay) == everybody(MANY)
    assert relay.connections_most == 3


def test_who_waits_for_a_seat_gets_it_when_another_worker_is_done(
    spool_broker: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    mailers = with_mailer(relay, sessions=1)
    mailers["other"] = with_mailer(relay)["relay"]
    relay.script(dot=[Hang()])
    env = {"MAILERS": json.dumps(mailers)}
    with producing(spool_broker, MAILERS=mailers):
        first = start_worker(spool_broker, "-c", "1", **env)
        held = enqueue(messages(1), using="relay")
        relay.wait_hanging()
        start_worker(spool_broker, "-c", "1", **env)
        waiting = enqueue(messages(1), using="relay")
        # The second worker has looked, was refused, and serves the others meanwhile.
        all_sent(enqueue(messages(3), using="other"))
        assert states([*held, *waiting]) == [State.LEASED, State.DUE]
        first.signal(signal.SIGTERM)
        first.wait_for("all others go back")
        relay.release()
        assert first.wait() == 0
        all_sent([*held, *waiting])
    assert sum(copies(relay).values()) == 5


@pytest.mark.parametrize("limits", [{}, {"sessions": 16}], ids=["without a limit", "all that the limit allows"])
def test_threads_deliver_at_the_same_time_and_end_in_order(
    spool_broker: Broker, relay: ScriptedServer, start_worker: StartWorker, limits: dict[str, int]
) -> None:
    mailers = with_mailer(relay, **limits)
    relay.script(dot=[Hang()] * 16)
    env = {"MAILERS": json.dumps(mailers)}
    with producing(spool_broker, MAILERS=mailers):
        worker = start_worker(spool_broker, "-c", "16", "-P", "threads", **env)
        ids = enqueue(messages(MANY))
        relay.wait_hanging(16)
        assert relay.connections_open == relay.connections_most == 16
        worker.signal(signal.SIGTERM)
        worker.wait_for("all others go back")
        relay.release()
        assert worker.wait() == 0
        # Of each session what was on the wire: with a final dot the envelope of the next mail may have gone out.
        sent = Counter(states(ids))[State.SENT]
        assert 16 <= sent <= 32
        assert Counter(states(ids)) == {State.SENT: sent, State.DUE: MANY - sent}
        assert Counter(status(mail_id).attempts for mail_id in ids) == {1: sent, 0: MANY - sent}
        start_worker(spool_broker, "-c", "16", "-P", "threads", **env)
        all_sent(ids)
        assert not any(status(mail_id).in_doubt for mail_id in ids)
    assert copies(relay) == everybody(MANY)
    assert relay.connections_most == 16


def test_threads_that_are_killed_lose_nothing_and_flag_what_was_on_the_wire(
    spool_broker: Broker, relay: ScriptedServer, start_worker: StartWorker
) -> None:
    mailers = with_mailer(relay)
    relay.script(dot=[*[OK] * 20, *[Hang()] * 16])
    env = {"MAILERS": json.dumps(mailers), "MAILWORKER_LEASE": "5"}
    with producing(spool_broker, MAILERS=mailers):
        worker = start_worker(spool_broker, "-c", "16", "-P", "threads", **env)
        ids = enqueue(messages(2 * MANY))
        relay.wait_hanging(16)
        worker.signal(signal.SIGKILL)
        start_worker(spool_broker, "-c", "16", "-P", "threads", **env)
        all_sent(ids)
        doubtful = sum(status(mail_id).in_doubt for mail_id in ids)
    sent = copies(relay)
    assert sent.keys() == everybody(2 * MANY).keys()
    assert set(sent.values()) <= {1, 2}
    assert 16 <= doubtful <= 32, "what hung, and of each thread what it had not recorded"
    assert sum(count == 2 for count in sent.values()) <= doubtful
    eventually(lambda: relay.connections_open <= 16, "the end of the dead sessions")
