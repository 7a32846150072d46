from __future__ import annotations

import json
import signal

import pytest

from tests.cli.conftest import on_terminal, run

pytestmark = pytest.mark.integration


@pytest.fixture
def sent(bulks):
    assert run("bulk", "start", "news-1", "news", bulks.path).exit_code == 0
    return bulks


def test_without_a_terminal_a_bulk_is_shown_once(sent):
    result = run("bulk", "show", "news-1")
    assert result.exit_code == 0
    assert result.stdout.startswith("news-1: sending\n  [------------------------------] 0.0%, 0 of 3\n")
    found = json.loads(run("bulk", "show", "news-1", "--json").stdout)
    assert (found["name"], found["states"], found["rows_from"]) == ("news-1", {"due": 3}, sent.path)


def test_a_mailer_that_is_paused_is_told(sent):
    run("pause", "relay", "--reason", "moving")
    assert "news-1: waits for its mailer, which is paused by a person: moving" in run("bulk", "show", "news-1").stdout


def test_on_a_terminal_it_is_drawn_anew_until_the_bulk_has_ended(sent):
    with on_terminal("bulk", "show", "news-1", env=sent.env) as terminal:
        terminal.said("0 of 3")
        for one in sent.spooled.claimed(3):
            sent.spool.done(one, {"ann@example.com": one_accepted()})
        terminal.said("3 of 3")
        terminal.said("finished")
        assert terminal.ends() == 0


def test_ctrl_c_ends_the_watching_and_not_the_bulk(sent):
    with on_terminal("bulk", "show", "news-1", "--watch", env=sent.env) as terminal:
        terminal.said("0 of 3")
        terminal.signal(signal.SIGINT)
        assert terminal.ends() == 0
    assert sent.spool.bulks.get("news-1").left == 3


def test_on_a_terminal_it_can_be_shown_once(sent):
    with on_terminal("bulk", "show", "news-1", "--once", env=sent.env) as terminal:
        terminal.said("0 of 3")
        assert terminal.ends() == 0


def test_an_unknown_bulk_is_exit_status_1(bulks):
    result = run("bulk", "show", "nosuch")
    assert result.exit_code == 1
    assert result.stderr == "Error: there is no bulk 'nosuch'; `mailworker bulk list` shows those that there are\n"


def test_watching_and_json_or_no_terminal_is_wrong_usage(sent):
    assert run("bulk", "show", "news-1", "--watch", "--json").exit_code == 2
    assert run("bulk", "show", "news-1", "--watch").exit_code == 2


def test_all_bulks_are_listed_the_newest_first(sent):
    run("bulk", "start", "news-2", "news", sent.path, "--delay", "1h")
    lines = run("bulk", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["news-2", "news-1"]
    assert "waits for its time" in lines[0]
    assert lines[1] == "news-1  0 of 3    0.0%  sending"
    assert [one["name"] for one in json.loads(run("bulk", "list", "--json").stdout)] == ["news-2", "news-1"]


def test_where_there_is_none_the_list_is_empty(bulks):
    assert run("bulk", "list").stderr == "no bulks\n"
    assert json.loads(run("bulk", "list", "--json").stdout) == []


def one_accepted():
    from tests.cli.conftest import ACCEPTED

    return ACCEPTED
