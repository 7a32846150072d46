from __future__ import annotations

import json

import pytest

from tests.cli.conftest import on_terminal, run

pytestmark = pytest.mark.integration

UNKNOWN = "f" * 32


def test_mails_that_are_due_or_held_are_taken_back(spooled):
    ids = [spooled.held(), spooled.queued(delay=60)]
    result = run("cancel", *ids)
    assert (result.exit_code, result.stdout) == (0, "".join(f"{mail_id}: cancelled\n" for mail_id in ids))
    assert [spooled.state(mail_id) for mail_id in ids] == ["cancelled", "cancelled"]
    again = run("cancel", ids[0])
    assert (again.exit_code, "was cancelled before" in again.stdout) == (0, True)


def test_for_each_that_is_not_taken_back_it_says_why_and_exits_1(spooled):
    dead = spooled.given_up()
    leased = spooled.queued()
    spooled.claimed()
    sent = spooled.queued()
    spooled.spool.done(spooled.claimed()[0], {})
    due = spooled.queued()
    result = run("cancel", dead, leased, sent, UNKNOWN, due)
    assert result.exit_code == 1
    assert result.stdout == f"{due}: cancelled\n"
    said = dict(line.split(": ", 1) for line in result.stderr.splitlines())
    assert "given up already" in said[dead]
    assert "in a worker's hands" in said[leased]
    assert "it was sent already" in said[sent]
    assert "not known" in said[UNKNOWN]
    assert [spooled.state(mail_id) for mail_id in (dead, leased, sent)] == ["dead", "leased", "sent"]


def test_json_is_one_object_for_one_id_and_a_list_for_several(spooled):
    due, dead = spooled.queued(delay=60), spooled.given_up()
    shown = json.loads(run("cancel", due, "--json").output)
    assert (shown["id"], shown["cancelled"], shown["state"]) == (due, True, "cancelled")
    shown = json.loads(run("cancel", dead, UNKNOWN, "--json").output)
    assert [(one["cancelled"], one["state"]) for one in shown] == [(False, "dead"), (False, None)]


def test_a_group_is_taken_back_but_for_what_has_gone(spooled):
    spooled.given_up(group="letters")
    spooled.queued(group="letters")
    spooled.claimed()
    spooled.queued(group="letters")
    other = spooled.queued()
    result = run("cancel", "--group", "letters", "--yes")
    assert result.exit_code == 0, result.output
    assert "now 1 leased, 1 cancelled, 1 dead" in result.stdout
    assert "taken back there" in result.stderr
    assert spooled.state(other) == "due"
    shown = json.loads(run("cancel", "--group", "letters", "--yes", "--json").output)
    assert shown == {"group": "letters", "states": {"leased": 1, "cancelled": 1, "dead": 1}}


def test_a_group_that_is_not_known_is_exit_status_1(spooled):
    result = run("cancel", "--group", "nobody", "--yes")
    assert (result.exit_code, "'nobody'" in result.output) == (1, True)


def test_where_nobody_can_be_asked_a_group_wants_a_yes(spooled):
    mail_id = spooled.queued(group="letters")
    result = run("cancel", "--group", "letters")
    assert (result.exit_code, "--yes" in result.output) == (2, True)
    assert spooled.state(mail_id) == "due"


@pytest.mark.parametrize(("answer", "status", "state"), [("n", 1, "due"), ("y", 0, "cancelled")])
def test_on_a_terminal_it_asks_before_it_takes_back_a_group(spooled, answer, status, state):
    mail_id = spooled.queued(group="letters")
    with on_terminal("cancel", "--group", "letters", env=spooled.env) as terminal:
        terminal.said("the 1 mails of group 'letters'")
        terminal.types(f"{answer}\n")
        assert terminal.ends() == status
    assert spooled.state(mail_id) == state


@pytest.mark.parametrize("args", [[], [UNKNOWN, "--group", "x"], ["5f0c"]])
def test_nothing_or_too_much_or_the_beginning_of_an_id_is_wrong_usage(spooled, args):
    assert run("cancel", *args).exit_code == 2
