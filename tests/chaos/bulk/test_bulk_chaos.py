"""The small twin of `python -m tests.chaos.bulk`, and the accounting that both rely on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bulk_list import Kind, listed
from tests.chaos.bulk.account import Account, Seen, account
from tests.chaos.bulk.run import Plan, Run
from tests.chaos.crew import CHILDREN

#: Small enough for each test run.
TWIN = Plan(rows=2500, kills=2, pause=0.5, late=40, patience=30)


@pytest.mark.integration
@pytest.mark.timeout(300)  # some ten processes start one after the other, and the machine may be busy
def test_whoever_dies_each_recipient_of_a_bulk_gets_it_once_and_the_report_says_so(tmp_path: Path) -> None:
    story: list[str] = []
    result = Run(TWIN, tmp_path, story.append).run()
    # Shown when a test fails.
    print("\n".join(story), result, sep="\n")
    assert result.broken == []
    assert result.account.broken == []
    assert result.account.kinds.keys() == set(Kind)
    assert result.account.refused == result.account.kinds[Kind.REFUSED]
    assert result.account.once > 0.9 * result.account.kinds[Kind.GOOD]
    assert result.account.late == TWIN.late
    assert result.events["producer killed"] == TWIN.kills
    assert result.account.ambiguous >= result.events["child killed"] + CHILDREN * result.events["worker killed"]


ROWS = 200


class World:
    """A run in which all went well, to be spoiled."""

    def __init__(self) -> None:
        self.late = {listed(0).address}
        self.copies: dict[str, list[str]] = {}
        self.refused: Counter[str] = Counter()
        self.lines: dict[str, dict[str, Any]] = {}
        for row in map(listed, range(ROWS)):
            if row.kind is Kind.GOOD and row.address not in self.late:
                self.copies[row.address] = [f"<{row.address}>"]
                self.lines[row.address] = line(row.address, "sent", "accepted", 250)
            elif row.kind is Kind.REFUSED:
                self.refused[row.address] = 1
                self.lines[row.address] = line(row.address, "dead", "rejected", 550)
            elif row.kind in (Kind.SUPPRESSED, Kind.GOOD):
                self.lines[row.address] = line(row.address, "dropped", "", None, "suppressed")
        self.show = self.counted()

    def counted(self) -> dict[str, Any]:
        domains: dict[str, Counter[str]] = {}
        for each in self.lines.values():
            if each["outcome"]:
                domains.setdefault(each["recipient"].partition("@")[2], Counter())[each["outcome"]] += 1
        total: Counter[str] = Counter()
        for counts in domains.values():
            total.update(counts)
        return {
            "rows": len(self.lines),
            "left": 0,
            "read": ROWS,
            "bad": 4,
            "suppressed": 4,
            "states": {**Counter(each["state"] for each in self.lines.values()), "held": 0},
            "outcomes": {**total, "deferred": 0},
            "domains": domains,
        }

    def account(self) -> Account:
        return account(
            Seen(
                rows=ROWS,
                late=self.late,
                copies=self.copies,
                refused=self.refused,
                report=list(self.lines.values()),
                show=self.show,
                ambiguous=1,
                interrupted=2,
            )
        )

    def set(self, recipient: str, **values: Any) -> None:
        self.lines[recipient] |= values
        self.show = self.counted()

    def twice(self, *recipients: str, message_id: str = "") -> None:
        for each in recipients:
            self.copies[each] = [*self.copies[each], message_id or self.copies[each][0]]

    def twice_and_flagged(self, *recipients: str, message_id: str = "") -> None:
        self.twice(*recipients, message_id=message_id)
        for each in recipients:
            self.set(each, in_doubt=True)


def line(recipient: str, state: str, outcome: str, code: int | None, reason: str = "") -> dict[str, Any]:
    return {
        "recipient": recipient,
        "state": state,
        "outcome": outcome,
        "code": code,
        "reason": reason,
        "in_doubt": False,
    }


def one(kind: Kind, which: int = 0) -> str:
    """Return a recipient of a kind."""
    return [row.address for row in map(listed, range(1, ROWS)) if row.kind is kind][which]


GOOD, OTHER, REFUSED, SUPPRESSED, BAD = (
    one(Kind.GOOD),
    one(Kind.GOOD, 1),
    one(Kind.REFUSED),
    one(Kind.SUPPRESSED),
    one(Kind.BAD, 1),
)
LATE = listed(0).address


def test_a_bulk_in_which_all_went_well_breaks_nothing() -> None:
    found = World().account()
    assert found.broken == []
    assert (found.once, found.twice, found.none, found.refused, found.late) == (179, 0, 0, 8, 1)


def test_a_second_copy_that_is_flagged_and_has_its_death_breaks_nothing() -> None:
    world = World()
    world.twice_and_flagged(GOOD)
    found = world.account()
    assert found.broken == []
    assert (found.once, found.twice, found.second_copies, found.doubts) == (178, 1, 1, 1)


def test_a_mail_that_was_given_up_after_its_workers_died_breaks_nothing() -> None:
    world = World()
    world.copies.pop(GOOD)
    world.set(GOOD, state="dead", outcome="in-doubt", code=None, in_doubt=True)
    world.set(REFUSED, outcome="in-doubt", code=None, in_doubt=True)
    found = world.account()
    assert found.broken == []
    assert found.none == 1


def test_a_refusal_that_was_asked_for_again_after_a_break_breaks_nothing() -> None:
    world = World()
    world.refused[REFUSED] += 2
    found = world.account()
    assert found.broken == []
    assert (found.refused, found.asked_again) == (8, 2)


SPOILED: dict[str, Callable[[World], object]] = {
    "not in the report": lambda world: world.lines.pop(GOOD),
    "sent, with 0 copies": lambda world: world.copies.pop(GOOD),
    "sent, with 1 copies and the outcome deferred 450": lambda world: world.set(GOOD, outcome="deferred", code=450),
    "good, and due": lambda world: world.set(GOOD, state="due"),
    "good, and dead with the reason 'rejected'": lambda world: world.set(GOOD, state="dead", reason="rejected"),
    "good, and dropped with the reason 'suppressed'": lambda world: world.set(
        GOOD, state="dropped", outcome="", code=None, reason="suppressed"
    ),
    "came twice, and is not flagged": lambda world: world.twice(GOOD),
    "two Message-IDs": lambda world: world.twice_and_flagged(GOOD, message_id="<other@example.com>"),
    "2 second copies, and only 1 deaths": lambda world: world.twice_and_flagged(GOOD, OTHER),
    "refused, and dead with the outcome rejected 554": lambda world: world.set(REFUSED, code=554),
    "refused, and sent": lambda world: world.set(REFUSED, state="sent"),
    "the relay does not know of it": lambda world: world.refused.pop(REFUSED),
    "refused, and got a copy": lambda world: world.copies.update({REFUSED: ["<x@example.com>"]}),
    "3 second refusals, and only 2 breaks": lambda world: world.refused.update({REFUSED: 3}),
    "good, and the relay has refused it": lambda world: world.refused.update({GOOD: 1}),
    "suppressed, and got a copy": lambda world: world.copies.update({SUPPRESSED: ["<x@example.com>"]}),
    "wants no mail, and is sent": lambda world: world.set(LATE, state="sent", reason=""),
    "a bad row, and the relay has heard of it": lambda world: world.copies.update({BAD: ["<x@example.com>"]}),
    "a bad row, and it is in the report": lambda world: world.lines.update({BAD: line(BAD, "due", "", None)}),
    "of nobody's list": lambda world: world.copies.update({"stranger@example.com": ["<x@example.com>"]}),
    "outcomes is": lambda world: world.show["outcomes"].update({"accepted": 178}),
    "domains is": lambda world: world.show["domains"]["example.com"].update({"accepted": 1}),
    "states is": lambda world: world.show["states"].update({"due": 1}),
    "bad is 5": lambda world: world.show.update({"bad": 5}),
    "left is 1": lambda world: world.show.update({"left": 1}),
}


@pytest.mark.parametrize("what", SPOILED)
def test_a_promise_of_a_bulk_that_is_broken_is_named(what: str) -> None:
    world = World()
    SPOILED[what](world)
    assert any(what in each for each in world.account().broken), world.account().broken
