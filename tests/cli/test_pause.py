from __future__ import annotations

import json

import pytest

from mailworker.lane import LANES
from tests.cli.conftest import run

pytestmark = pytest.mark.integration


def test_a_paused_mailer_gives_out_no_mail_until_it_is_resumed(spooled):
    spooled.queued()
    result = run("pause", "relay", "--reason", "lunch")
    assert (result.exit_code, result.output) == (0, "mailer relay is paused\n")
    assert spooled.spool.mailer_state("relay").reason == "lunch"
    assert spooled.spool.claim(LANES, 1, 60).leased == ()
    assert run("resume", "relay").output == "mailer relay goes on\n"
    assert len(spooled.spool.claim(LANES, 1, 60).leased) == 1


def test_the_name_of_a_mailer_that_queues_stands_for_the_one_that_delivers(spooled):
    assert json.loads(run("pause", "default", "--json").output) == {"mailer": "relay", "paused": True, "reason": ""}
    assert spooled.spool.mailer_state("relay").paused_by_person
    assert json.loads(run("resume", "default", "--json").output) == {"mailer": "relay", "paused": False}
    assert not spooled.spool.mailer_state("relay").paused_by_person


def test_resuming_also_ends_the_pause_of_a_breaker(spooled):
    spooled.spool.trip("relay", [240], "connection refused")
    assert run("resume", "relay").exit_code == 0
    assert spooled.spool.mailer_state("relay").paused_until is None


def test_a_group_is_paused_and_resumed_alone(spooled):
    in_group, other = spooled.queued(group="letters"), spooled.queued()
    assert json.loads(run("pause", "--group", "letters", "--json").output) == {"group": "letters", "paused": True}
    assert [one.mail.id for one in spooled.spool.claim(LANES, 10, 60).leased] == [other]
    assert run("resume", "--group", "letters").output == "group 'letters' goes on\n"
    assert [one.mail.id for one in spooled.spool.claim(LANES, 10, 60).leased] == [in_group]


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_an_unknown_mailer_is_wrong_usage_that_names_the_known_ones(spooled, command):
    result = run(command, "nobody")
    assert result.exit_code == 2
    assert "'nobody' is no mailer: known are default, news, relay." in result.output


@pytest.mark.parametrize(
    "args",
    [
        ["pause"],
        ["resume"],
        ["pause", "relay", "--group", "x"],
        ["resume", "", "--group", ""],
        ["pause", "--group", "x", "--reason", "y"],
        ["pause", "relay", "--reason", "a\x1b[2J"],
    ],
)
def test_nothing_or_too_much_named_is_wrong_usage(spooled, args):
    assert run(*args).exit_code == 2
