from __future__ import annotations

import json
import time

import pytest

import mailworker
from mailworker import settings
from mailworker.cli.moment import length, moment
from tests.cli.conftest import run
from tests.processes import free_port

pytestmark = pytest.mark.integration

UNKNOWN = "f" * 32


def test_a_mail_that_was_given_up_is_shown_with_the_relays_word_for_each_recipient(spooled):
    result = run("status", spooled.given_up(group="letters"))
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    assert lines[0][1] == "dead"
    assert ["reason", "rejected"] in lines
    assert ["attempts", "1"] in lines
    assert ["mailer", "relay"] in lines
    assert ["lane", "normal"] in lines
    assert ["group", "letters"] in lines
    assert ["ann@example.com", "rejected", "550", "5.1.1", "No", "such", "user", "here"] in lines
    assert ["bob@example.com", "accepted", "250", "OK"] in lines


def test_a_mail_that_waits_says_until_when_in_local_time_and_how_long_that_is(spooled, monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Vienna")
    time.tzset()
    try:
        result = run("status", spooled.queued(delay=3600 * 5))
    finally:
        monkeypatch.undo()
        time.tzset()
    (line,) = [line for line in result.output.splitlines() if "next attempt" in line]
    assert line.endswith((" CET, in 5 h", " CEST, in 5 h")), line


def test_a_mail_behind_a_closed_gate_says_whose_it_is_and_one_that_does_not_wait_does_not(spooled):
    dead, due = spooled.given_up(), spooled.queued()
    spooled.spool.pause("relay", "the provider is down")
    assert "held up       its mailer is paused by a person: the provider is down" in run("status", due).output
    assert "held up" not in run("status", dead).output


def test_a_mail_of_a_paused_group_says_so(spooled):
    due = spooled.queued(group="may")
    assert "held up" not in run("status", due).output
    spooled.spool.pause_group("may")
    assert "held up       its group is paused\n" in run("status", due).output


def test_a_mail_of_which_a_second_copy_may_exist_says_so(spooled):
    output = run("status", spooled.held()).output
    assert "in doubt      a second copy may exist" in output
    assert "ann@example.com  in-doubt  -  connection lost after the dot" in output


def test_json_is_what_the_library_says_one_object_for_one_id_and_a_list_for_several(spooled):
    ids = [spooled.given_up(), spooled.queued(delay=60)]
    expected = [status.to_json() for mail_id in ids if (status := mailworker.status(mail_id)) is not None]
    assert json.loads(run("status", ids[0].upper(), "--json").output) == expected[0]
    assert json.loads(run("status", *ids, "--json").output) == expected


def test_an_id_that_is_not_known_is_exit_status_1_and_the_others_are_shown(spooled):
    known = spooled.queued()
    result = run("status", UNKNOWN, known)
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{known}: due\n")
    assert f"{UNKNOWN}: not known" in result.stderr
    result = run("status", UNKNOWN, "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert json.loads(run("status", UNKNOWN, known, "--json").stdout)[0]["id"] == known


def test_a_group_is_counted_by_state(spooled):
    spooled.given_up(group="letters")
    for _ in range(3):
        spooled.queued(group="letters")
    assert run("status", "--group", "letters").output.split() == ["due", "3", "dead", "1"]
    shown = json.loads(run("status", "--group", "letters", "--json").output)
    assert shown == {"group": "letters", "states": {"due": 3, "dead": 1}}
    result = run("status", "--group", "nobody")
    assert (result.exit_code, "'nobody'" in result.output) == (1, True)


@pytest.mark.parametrize("args", [[], [UNKNOWN, "--group", "x"], ["5f0c"], [""]])
def test_nothing_or_too_much_or_the_beginning_of_an_id_is_wrong_usage(spooled, args):
    assert run("status", *args).exit_code == 2


def test_without_a_spool_it_says_that_it_needs_one(spooled):
    with settings.override(MAILWORKER_SPOOL_URL="", MAILERS={}):
        result = run("status", UNKNOWN)
    assert result.exit_code == 1
    assert "status() needs the spool" in result.output


@pytest.mark.parametrize(
    "args",
    [
        ["status", UNKNOWN],
        ["status", "--group", "x"],
        ["cancel", UNKNOWN],
        ["cancel", "--group", "x", "--yes"],
        ["queue"],
        ["pause", "relay"],
        ["resume", "--group", "x"],
        ["dead", "list"],
        ["dead", "purge", "--all", "--yes"],
    ],
)
def test_a_spool_that_is_away_is_one_sentence_without_a_password(args):
    with settings.override(
        MAILWORKER_BROKER_URL=f"redis://:hidden@127.0.0.1:{free_port()}/0", EMAIL_BACKEND=settings.QUEUE_BACKEND
    ):
        result = run(*args)
    assert result.exit_code == 1
    assert "Error: " in result.stderr
    assert "connection refused" in result.stderr
    assert "hidden" not in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (119, "119 s"), (240, "4 min"), (7200, "2 h"), (86400, "24 h"), (172800, "2 days")],
)
def test_a_length_of_time_is_told_in_the_unit_that_fits(seconds, shown):
    assert length(seconds) == shown


def test_a_moment_is_told_with_how_far_off_it_is():
    assert moment(1000.0, 1000.5).endswith(", now")
    assert moment(1240.0, 1000.0).endswith(", in 4 min")
    assert moment(1000.0, 1240.0).endswith(", 4 min ago")
