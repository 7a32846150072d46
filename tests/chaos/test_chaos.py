"""The small twin of `python -m tests.chaos`, and the accounting that both rely on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mailworker import MailStatus, State
from mailworker.lane import Lane
from tests.chaos.account import Account, account
from tests.chaos.crew import CHILDREN
from tests.chaos.deck import Deck
from tests.chaos.message import recipients
from tests.chaos.run import KINDS, Plan, Run
from tests.processes import ROOT, Process

#: Small enough for each test run.
TWIN = Plan(mails=600, seconds=6, workers=2, producers=2, pause=0.35, patience=30)


@pytest.mark.integration
def test_whatever_dies_no_mail_is_lost_and_what_came_twice_is_flagged(tmp_path: Path) -> None:
    story: list[str] = []
    result = Run(TWIN, tmp_path, story.append).run()
    # Shown when a test fails.
    print("\n".join(story), result, sep="\n")
    assert result.account.broken == []
    assert (result.account.accepted, result.account.lost) == (TWIN.mails, 0)
    assert sum(result.account.states.values()) == TWIN.mails
    assert sum(result.events.values()) >= 3, "nothing happened that could have lost a mail"
    assert result.account.ambiguous >= result.events["child killed"] + CHILDREN * result.events["worker killed"]


@pytest.mark.integration
def test_the_command_finds_a_worker_out_that_does_not_record_what_it_sent_and_keeps_its_log(tmp_path: Path) -> None:
    options = ["--mails", "100", "--seconds", "1", "--workers", "1", "--pause", "60", "--json"]
    mutant = ["--mutant", "done says yes and writes nothing"]
    command = [sys.executable, "-m", "tests.chaos", *options, *mutant]
    with Process(command, {"TMPDIR": str(tmp_path)}, ROOT) as chaos:
        assert chaos.wait() == 1
        chaos.wait_for("second copies, and only [0-9]+ events that may have caused one")
        figures, _ = json.JSONDecoder().raw_decode(chaos.output[chaos.output.index("{") :])
    assert figures["second copies"] > 0
    assert figures["sent"] == 0
    assert figures["broken"]
    (log,) = tmp_path.glob("mailworker-chaos-*/worker-0.log")
    assert "mail accepted" in log.read_text()


def test_every_kind_of_event_has_its_turn() -> None:
    deck = Deck(KINDS, 1.0, seed=0)
    assert {deck.choose()[0] for _ in range(sum(KINDS.values()))} == set(KINDS)


def test_the_moments_and_kinds_of_a_seed_are_the_same_each_time() -> None:
    def chosen(seed: int) -> list[tuple[str, float]]:
        deck = Deck(KINDS, 1.0, seed)
        return [deck.choose() for _ in range(20)]

    assert chosen(7) == chosen(7) != chosen(8)


def status(number: int, state: State = State.SENT, *, in_doubt: bool = False, reason: str = "") -> MailStatus:
    return MailStatus(
        id=f"id{number}",
        state=state,
        mailer="relay",
        lane=Lane.NORMAL,
        group=None,
        attempts=1,
        in_doubt=in_doubt,
        next_attempt_at=None,
        created_at=0.0,
        expires_at=None,
        reason=reason,
        outcomes={},
    )


class World:
    """A run in which all went well, to be spoiled."""

    def __init__(self) -> None:
        self.mails = 10
        self.ambiguous = 1
        self.accepted = {number: f"id{number}" for number in range(10)}
        self.statuses = {f"id{number}": status(number) for number in range(10)}
        self.copies = {
            recipient: [f"<{number}@example.com>"] for number in range(10) for recipient in recipients(number)
        }

    def account(self) -> Account:
        return account(self.mails, self.accepted, self.statuses, self.copies, self.ambiguous)

    def set(self, what: MailStatus) -> None:
        self.statuses[what.id] = what

    def twice(self, number: int, message_id: str | None = None) -> None:
        for recipient in recipients(number):
            self.copies[recipient] = [*self.copies[recipient], message_id or f"<{number}@example.com>"]

    def twice_and_flagged(self, *numbers: int, message_id: str | None = None) -> None:
        for number in numbers:
            self.twice(number, message_id)
            self.set(status(number, in_doubt=True))


def test_a_run_in_which_all_went_well_breaks_nothing() -> None:
    found = World().account()
    assert found.broken == []
    assert (found.accepted, found.lost, found.second_copies, found.states) == (10, 0, 0, {State.SENT: 10})


def test_a_second_copy_that_is_flagged_and_has_its_event_breaks_nothing() -> None:
    world = World()
    world.twice_and_flagged(3)
    found = world.account()
    assert found.broken == []
    assert (found.second_copies, found.flagged) == (1, 1), "three recipients, and one second copy"


def test_a_mail_that_was_given_up_after_its_workers_were_lost_breaks_nothing() -> None:
    world = World()
    world.set(status(0, State.DEAD, reason="3 workers in a row were lost while they had it"))
    world.set(status(1, State.DEAD, in_doubt=True, reason="in doubt, and sent again as often as allowed"))
    assert world.account().broken == []


SPOILED: dict[str, Callable[[World], object]] = {
    "never accepted": lambda world: world.accepted.pop(4),
    "the spool does not know it": lambda world: world.statuses.pop("id4"),
    "a recipient has no copy": lambda world: world.copies.pop("busy7@example.com"),
    "still due at the end": lambda world: world.set(status(4, State.DUE)),
    "dead without a doubt": lambda world: world.set(status(4, State.DEAD, reason="rejected by the relay")),
    "arrived twice, and is not flagged": lambda world: world.twice(4),
    "two Message-IDs": lambda world: world.twice_and_flagged(4, message_id="<other@example.com>"),
    "one id for two mails": lambda world: world.accepted.update({4: "id5"}),
    "mail that nobody sent": lambda world: world.copies.update({"stranger@example.com": ["<x@example.com>"]}),
    "2 second copies, and only 1 events": lambda world: world.twice_and_flagged(4, 5),
}


@pytest.mark.parametrize("what", SPOILED)
def test_a_promise_that_is_broken_is_named(what: str) -> None:
    world = World()
    SPOILED[what](world)
    assert any(what in each for each in world.account().broken)
