"""From one mail to the next over the wire of our own backend: what is noted when, and that no dot runs ahead of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from mailworker.lane import LANES
from mailworker.mail.backends.smtp import EmailBackend
from mailworker.spool.base import Leased, Made, SpoolUnavailable, Step
from mailworker.spool.record import State
from mailworker.testing import DROP, OK, ScriptedServer
from tests.delivery.parts import AwaySpool, Bench, HandKeeper, times

OPENING = ["MAIL", "RCPT", "DATA"]


class Wire(Bench):
    """A pipeline over a spool that may be away, and our backend over a scripted server."""

    def __init__(self, server: ScriptedServer, **more: Any) -> None:
        self.server = server
        self.backend = EmailBackend(server.host, server.port)
        super().__init__(backend=self.backend, **more)

    @property
    def sent(self) -> list[str]:
        """The recipients whose messages the server has got the dot of, each as often as it has."""
        return [recipient for transaction in self.server.complete for recipient in transaction.recipients]

    def states(self, ids: list[str]) -> list[tuple[State, int]]:
        return [(self.status(one).state, self.status(one).attempts) for one in ids]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def wire(server: ScriptedServer) -> Iterator[Wire]:
    wire = Wire(server)
    yield wire
    wire.backend.close()


def calls(wire: Wire) -> list[tuple[str, str]]:
    return wire.spool.named("mark", "done")


def test_a_batch_is_one_round_trip_to_the_relay_and_one_step_of_the_spool_for_each_mail(wire: Wire) -> None:
    one, two, three = wire.put_several(3)
    assert wire.pipeline.run() == 3
    assert wire.server.sessions[0].bursts[1:5] == [OPENING, [".", *OPENING], [".", *OPENING], ["."]]
    assert calls(wire) == [
        ("mark", one),
        ("done", one),
        ("mark", two),
        ("done", two),
        ("mark", three),
        ("done", three),
    ]
    assert wire.states([one, two, three]) == [(State.SENT, 1)] * 3


class Late(AwaySpool):
    """A spool whose steps are made when their answer is asked for.

    Attributes:
        asked: called before each answer.
    """

    asked: Any = None

    def step(self, done: Any, following: Leased | None, lease: float) -> Step:  # type: ignore[override]
        return _Late(self, done, following, lease)


class _Late:
    def __init__(self, spool: Late, *step: Any) -> None:
        self._spool = spool
        self._step = step

    def answer(self) -> tuple[bool, bool]:
        self._spool.asked(self._step)
        made: Made = AwaySpool.step(self._spool, *self._step)
        return made.answer()


def test_the_answer_of_a_step_is_read_behind_the_next_envelope_and_before_the_next_dot(server: ScriptedServer) -> None:
    wire = Wire(server)
    late = Late(wire.memory)
    wire.spool = late
    wire.pipeline._spool._spool = late
    seen: list[tuple[bool, int, int]] = []
    late.asked = lambda step: seen.append((step[0] is not None, len(server.transactions), len(server.complete)))
    ids = wire.put_several(3)
    wire.pipeline.run()
    wire.backend.close()
    # Whether it says done of a mail, envelopes that have gone out, dots that have.
    assert seen == [(False, 1, 0), (True, 2, 1), (True, 3, 2), (True, 3, 3)]
    assert wire.states(ids) == [(State.SENT, 1)] * 3


def test_a_mark_that_is_refused_behind_the_envelope_means_no_dot_and_no_attempt(wire: Wire) -> None:
    ids = wire.put_several(3)
    mark = wire.memory.mark
    wire.spool.instead["mark"] = lambda leased, lease: leased.mail.id != ids[1] and mark(leased, lease)
    wire.pipeline.run_batch()
    # The one behind it goes back too: what took this lease may have taken that one, and each would cost a session.
    assert wire.sent == ["to0@x.org"]
    (first,) = wire.server.sessions
    assert first.bursts[1:] == [OPENING, [".", *OPENING]]
    wire.server.wait_until(lambda: first.ended_by is not None, "the end of the session")
    assert first.ended_by == "client"
    assert wire.states(ids) == [(State.SENT, 1), (State.DUE, 0), (State.DUE, 0)]
    del wire.spool.instead["mark"]
    wire.pipeline.run()
    assert sorted(wire.sent) == ["to0@x.org", "to1@x.org", "to2@x.org"]


def test_a_lease_that_another_worker_has_by_then_means_no_dot(wire: Wire) -> None:
    ids = wire.put_several(2)
    mark = wire.memory.mark

    def lapse(leased: Leased, lease: float) -> bool:
        if leased.mail.id == ids[1]:
            # Stalled for longer than the lease: somebody else has claimed it.
            wire.clock.now += 1000.0
            assert [other.mail.id for other in wire.memory.claim(list(LANES), 10, 60.0).leased] == ids[1:]
        return mark(leased, lease)

    wire.spool.instead["mark"] = lapse
    wire.pipeline.run_batch()
    assert wire.sent == ["to0@x.org"]
    assert wire.states(ids) == [(State.SENT, 1), (State.LEASED, 0)]


@pytest.mark.parametrize("lost", ["done", "mark"])
def test_a_step_whose_answer_is_lost_is_made_again_and_counts_once(wire: Wire, lost: str) -> None:
    ids = wire.put_several(3)
    wire.spool.after = times(2, lost)
    wire.pipeline.run()
    assert wire.sent == ["to0@x.org", "to1@x.org", "to2@x.org"]
    assert wire.server.connections_ever == 1
    assert wire.states(ids) == [(State.SENT, 1)] * 3
    assert [event.kind for event in wire.told] == ["sent"] * 3


def test_a_step_that_never_arrives_for_a_moment_is_made_again(wire: Wire) -> None:
    ids = wire.put_several(3)
    wire.spool.before = times(2, "done")
    wire.pipeline.run()
    assert wire.sent == ["to0@x.org", "to1@x.org", "to2@x.org"]
    assert wire.server.connections_ever == 1
    assert wire.states(ids) == [(State.SENT, 1)] * 3


def test_a_spool_that_goes_away_between_done_and_mark_leaves_the_next_mail_unsent_and_uncharged(wire: Wire) -> None:
    ids = wire.put_several(3)
    marks = iter([False])
    back_at = 1100.0
    # The first mark is made; from the second on, which goes with the first `done`, none arrives.
    wire.spool.before = lambda name: name == "mark" and next(marks, True) and wire.clock.now < back_at
    wire.pipeline.run_batch()
    assert wire.sent == ["to0@x.org"]
    assert wire.server.sessions[0].bursts[1:] == [OPENING, [".", *OPENING]]
    assert wire.states(ids) == [(State.SENT, 1), (State.DUE, 0), (State.DUE, 0)]
    assert [event.kind for event in wire.told] == ["sent"]
    wire.clock.now = back_at
    wire.pipeline.run()
    assert sorted(wire.sent) == ["to0@x.org", "to1@x.org", "to2@x.org"]


def test_a_spool_that_is_away_as_a_whole_is_told_of_the_sent_mail_first_and_nothing_is_sent_before(wire: Wire) -> None:
    ids = wire.put_several(3)
    dots: list[int] = []

    def away(name: str) -> bool:
        is_away = len(wire.server.complete) == 1 and wire.clock.now < 1060.0
        if name == "done":
            dots.append(len(wire.server.complete))
        return is_away

    wire.spool.before = away
    wire.pipeline.run_batch()
    assert wire.clock.now >= 1060.0
    assert set(dots) == {1}, "for as long as it was asked, there was one dot"
    assert wire.states(ids) == [(State.SENT, 1), (State.DUE, 0), (State.DUE, 0)]
    wire.pipeline.run()
    assert sorted(wire.sent) == ["to0@x.org", "to1@x.org", "to2@x.org"]
    assert [event.kind for event in wire.told] == ["sent"] * 3


def test_no_mail_of_the_claim_begins_after_a_step_that_could_not_be_made(wire: Wire) -> None:
    one, two, three = wire.put_several(3)
    # For as long as it is asked for; right after that the spool is there again.
    wire.spool.before = times(5, "done")
    wire.pipeline.run_batch()
    assert wire.sent == ["to0@x.org"]
    assert wire.spool.named("mark", "done", "snooze") == [
        ("mark", one),
        *[("done", one)] * 6,
        ("snooze", two),
        ("snooze", three),
    ]


def test_a_killed_worker_leaves_the_sent_mail_in_doubt_and_the_next_one_untouched(server: ScriptedServer) -> None:
    clock: list[Any] = []
    wire = Wire(server, should_give_up=lambda: bool(clock) and clock[0].now > 1010.0)
    clock.append(wire.clock)
    one, two = wire.put_several(2)
    wire.spool.before = lambda name: name == "done" and wire.clock.now < 1011.0
    with pytest.raises(SpoolUnavailable):
        wire.pipeline.run()
    wire.backend.close()
    assert wire.sent == ["to0@x.org"]
    assert wire.status(two).attempts == 0
    assert wire.told == []
    wire.clock.now += 3600.0
    wire.pipeline.run()
    wire.backend.close()
    assert wire.status(one).in_doubt
    assert wire.status(two).state is State.SENT
    assert wire.sent.count("to1@x.org") == 1


@pytest.mark.parametrize("answer", ["451 4.3.0 later", "554 5.7.1 spam"])
def test_a_word_that_is_no_done_is_said_before_the_next_mail_is_marked(server: ScriptedServer, answer: str) -> None:
    server.script(dot=[answer])
    wire = Wire(server)
    one, two = wire.put_several(2)
    wire.pipeline.run_batch()
    wire.backend.close()
    word = "defer" if answer.startswith("4") else "bury"
    assert wire.spool.named("mark", "done", "defer", "bury") == [
        ("mark", one),
        (word, one),
        ("mark", two),
        ("done", two),
    ]
    assert server.connections_ever == 1
    assert wire.sent == ["to0@x.org", "to1@x.org"]


@pytest.mark.parametrize("death", ["421 4.3.2 bye", "451 4.4.2 idle"])
def test_a_session_that_ends_at_the_next_envelope_charges_its_mail_once(server: ScriptedServer, death: str) -> None:
    server.script(mail=[OK, death])
    wire = Wire(server)
    ids = wire.put_several(3)
    wire.pipeline.run_batch()
    wire.backend.close()
    assert wire.states(ids) == [(State.SENT, 1)] * 3
    assert wire.sent == ["to0@x.org", "to1@x.org", "to2@x.org"]
    assert [name for name, mail in calls(wire) if mail == ids[1]] == ["mark", "done"]


def test_a_worker_that_is_told_to_stop_sends_nothing_whose_envelope_went_ahead(server: ScriptedServer) -> None:
    wire: Wire = Wire(server, should_stop=lambda: len(server.complete) > 0)
    ids = wire.put_several(3)
    wire.pipeline.run()
    wire.backend.close()
    assert wire.sent == ["to0@x.org"]
    assert wire.states(ids) == [(State.SENT, 1), (State.DUE, 0), (State.DUE, 0)]


def test_a_mail_whose_envelope_went_ahead_is_given_back_if_the_one_before_it_takes_long(server: ScriptedServer) -> None:
    keeper = HandKeeper()
    wire = Wire(server, keeper=keeper)
    one, two, _ = ids = wire.put_several(3)

    def filtered(command: Any) -> Any:
        if command.transaction == 1:
            wire.clock.now += 6.0
            keeper.attend()
        return OK

    server.script(dot=filtered)
    wire.pipeline.run_batch()
    wire.backend.close()
    assert wire.sent == ["to0@x.org"]
    assert wire.states(ids) == [(State.SENT, 1), (State.DUE, 0), (State.DUE, 0)]
    assert wire.spool.named("mark") == [("mark", one)]
    # Given back while the relay was at work: another worker could have had them.
    assert wire.spool.calls.index(("snooze", two)) < wire.spool.calls.index(("done", one))


class Broken(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("secret@example.com")


@pytest.mark.parametrize("answer", ["450 busy", OK])
def test_a_log_handler_that_raises_harms_no_mail(wire: Wire, answer: Any, capfd: pytest.CaptureFixture[str]) -> None:
    wire.server.script(rcpt={"to0@x.org": answer})
    ids = wire.put_several(4)
    logger = logging.getLogger("mailworker")
    handler, level = Broken(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        assert wire.pipeline.run() == 4
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert wire.states(ids) == [(State.DUE if answer != OK else State.SENT, 1), *[(State.SENT, 1)] * 3]
    said = capfd.readouterr().err
    assert "a log record was lost: RuntimeError" in said
    assert "secret@example.com" not in said


def test_the_log_says_why_a_mail_is_deferred_where_no_code_does(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    wire.server.script(data=DROP)
    (mail_id,) = wire.put_several(1)
    with caplog.at_level(logging.INFO, "mailworker"):
        wire.pipeline.run()
    (said,) = [text for text in caplog.messages if mail_id in text]
    assert re.match(r"mail deferred for \d+ s \(connection lost in DATA\): ", said)
