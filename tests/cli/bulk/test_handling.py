from __future__ import annotations

import csv
import io
import json

import pytest

from mailworker.spool.bulk import BulkGate
from mailworker.spool.record import State
from tests.cli.conftest import ACCEPTED, REJECTED, on_terminal, run

pytestmark = pytest.mark.integration


@pytest.fixture
def sent(bulks):
    assert run("bulk", "start", "news-1", "news", bulks.path).exit_code == 0
    return bulks


def settle(bulks):
    """Let the relay refuse the first, and accept the others."""
    first, *others = bulks.spooled.claimed(3)
    bulks.spool.bury(first, {"ann@example.com": REJECTED}, "rejected")
    for one, address in zip(others, ["bob@example.net", "dan@example.org"], strict=True):
        bulks.spool.done(one, {address: ACCEPTED})


def test_a_bulk_is_paused_and_resumed(sent):
    result = run("bulk", "pause", "news-1", "--reason", "the price is wrong")
    assert (result.exit_code, result.stdout) == (0, "bulk 'news-1' is paused; now paused: the price is wrong\n")
    assert sent.spool.bulks.get("news-1").gate is BulkGate.PAUSED
    assert run("bulk", "resume", "news-1").stdout == "bulk 'news-1' goes on; now sending\n"
    assert json.loads(run("bulk", "pause", "news-1", "--json").stdout)["phase"] == "paused"
    assert json.loads(run("bulk", "resume", "news-1", "--json").stdout)["phase"] == "sending"
    assert run("bulk", "pause", "news-1", "--reason", "a\x1bb").exit_code == 2


def test_rate_and_hours_are_set(sent):
    assert run("bulk", "set", "news-1", "--rate", "50/s", "--between", "08:00-20:00 UTC").exit_code == 0
    timetable = sent.spool.bulks.get("news-1").plan.timetable
    assert (timetable.rate, len(timetable.windows) > 700) == (50.0, True)
    assert run("bulk", "set", "news-1", "--rate", "none", "--between", "always").exit_code == 0
    timetable = sent.spool.bulks.get("news-1").plan.timetable
    assert (timetable.rate, timetable.windows) == (None, ())
    assert run("bulk", "set", "news-1", "--rate", "fast").exit_code == 2
    assert "Nothing to set: give --rate, --between, or both." in run("bulk", "set", "news-1").stderr


def test_what_has_not_gone_is_taken_back_once_somebody_has_said_yes(sent):
    assert run("bulk", "cancel", "news-1").exit_code == 2
    with on_terminal("bulk", "cancel", "news-1", env=sent.env) as terminal:
        terminal.said("Take back the 3 mails of bulk 'news-1' that have not gone?")
        terminal.types("n\n")
        assert terminal.ends() == 1
    assert sent.spool.bulks.get("news-1").left == 3
    result = run("bulk", "cancel", "news-1", "--yes")
    assert result.stdout == "what had not gone of bulk 'news-1' is taken back; now cancelled: 3 mails taken back\n"
    assert sent.spool.bulks.get("news-1").states == {State.CANCELLED: 3}
    result = run("bulk", "resume", "news-1")
    assert (result.exit_code, "is cancelled" in result.stderr) == (1, True)


def test_what_failed_is_reported_and_tried_again(sent):
    settle(sent)
    rows = list(csv.DictReader(io.StringIO(run("bulk", "report", "news-1").stdout)))
    assert [(row["recipient"], row["outcome"], row["code"]) for row in rows] == [
        ("ann@example.com", "rejected", "550"),
        ("bob@example.net", "accepted", "250"),
        ("dan@example.org", "accepted", "250"),
    ]
    result = run("bulk", "report", "news-1", "--failed", "--json")
    assert json.loads(result.stdout)["text"] == "No such user here"
    assert run("bulk", "retry-failed", "news-1").stdout == "1 mail of bulk 'news-1' to try again; now sending\n"
    assert json.loads(run("bulk", "retry-failed", "news-1", "--json").stdout) == {"name": "news-1", "retried": 0}
    assert sent.spool.bulks.get("news-1").states == {State.DUE: 1, State.SENT: 2}


@pytest.mark.parametrize(("name", "options"), [("a.jsonl", []), ("a.csv", ["--format", "jsonl"]), ("a", ["--json"])])
def test_a_report_goes_into_a_file_by_its_name_or_as_it_is_asked_for(sent, name, options):
    path = sent.folder / name
    result = run("bulk", "report", "news-1", "-o", str(path), *options)
    assert (result.exit_code, result.stderr) == (0, f"3 recipients in {path}\n")
    assert [json.loads(line)["state"] for line in path.read_text().splitlines()] == ["due"] * 3


def test_a_report_as_two_things_is_wrong_usage(sent):
    assert run("bulk", "report", "news-1", "--json", "--format", "csv").exit_code == 2


@pytest.mark.parametrize("command", ["pause", "resume", "retry-failed", "report", "cancel", "set"])
def test_an_unknown_bulk_is_told_by_all_commands(bulks, command):
    options = {"cancel": ["--yes"], "set": ["--rate", "5"]}.get(command, [])
    result = run("bulk", command, "nosuch", *options)
    assert result.exit_code == 1
    assert "there is no bulk 'nosuch'; `mailworker bulk list` shows those that there are" in result.stderr
