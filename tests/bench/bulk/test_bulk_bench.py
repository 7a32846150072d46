"""The small twin of `python -m tests.bench.bulk`: its command on a short list, and what is made of its figures."""

from __future__ import annotations

import csv
import io
import json
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from mailworker import settings
from mailworker.mail.letter import Letter
from tests.bench.bulk.goals import GOALS, PARTS, Goal, verdicts
from tests.bench.bulk.singles import rows
from tests.bench.letters import BODY
from tests.bulk_letter import SOURCES, environment, write_templates
from tests.bulk_list import HEADER, REFUSING, ROUND, Kind, listed, suppression, write, write_to
from tests.processes import ROOT, Process

ROWS = 1500

_COMMAND = [sys.executable, "-m", "tests.bench.bulk", "--own-relay", "--json", "--rounds", "1", "--letters", "text"]


@pytest.mark.integration
@pytest.mark.timeout(300)  # some ten processes start one after the other, and the machine may be busy
def test_the_command_measures_each_goal_on_a_list_that_came_as_it_was_written(tmp_path: Path) -> None:
    # That all rows were counted as the list has them, and that all mails came to the relay, the command makes sure of itself.
    options = ["--rows", str(ROWS), "--drain", "200", "--mails", "3", "--fast-rows", "8000", "--slow-rows", "300"]
    with Process([*_COMMAND, *options], {"TMPDIR": str(tmp_path)}, ROOT) as bench:
        status = bench.wait()
    found = json.loads(bench.output[bench.output.index("{") :])
    goals = {each["name"]: each for each in found["goals"]}
    assert goals.keys() == {goal.name for goal in GOALS}
    measured = {name for name, each in goals.items() if each["measured"] is not None}
    assert measured == goals.keys() - {"drain_html"}, bench.output
    assert status == (1 if any(each["is_reached"] is False for each in goals.values()) else 0)
    figures = found["figures"]
    assert (figures["rows"], figures["mails"]) == (ROWS, ROWS * 48 // 50)
    # What the clock has no part in: a process with these modules, and the records of so many mails with their keys.
    assert 20 < figures["producer_mb"] < 150
    assert 100 < figures["queued_bytes"] < 1500
    assert 100 < figures["sent_bytes"] < 1500
    assert figures["drain_text"] == pytest.approx(figures["bulk_text_rate"] / figures["single_text_rate"])
    for relay in ("fast", "slow"):
        assert figures[f"{relay}_p50_ms"] <= figures[f"{relay}_p95_ms"] <= figures[f"{relay}_most_ms"]
    # A mail waits for its own 250.
    assert figures["slow_p50_ms"] >= 100


def test_a_list_has_the_rows_that_it_is_said_to_have() -> None:
    file = io.BytesIO()
    written = write(file, ROWS)
    text = file.getvalue().decode("utf-8", "surrogateescape")
    assert file.getvalue().startswith(b"\xef\xbb\xbfemail,")
    records = [each for each in csv.reader(io.StringIO(text, newline="")) if each]
    assert len(records) == ROWS + 1
    turns = ROWS // ROUND
    assert written.kinds == {
        Kind.GOOD: 45 * turns,
        Kind.REFUSED: 2 * turns,
        Kind.SUPPRESSED: turns,
        Kind.DUPLICATE: turns,
        Kind.BAD: turns,
    }
    assert (written.sent, written.mails) == (47 * turns, 48 * turns)
    assert written.size == sum(
        len(row.line) for row in map(listed, range(ROWS)) if row.kind not in (Kind.BAD, Kind.DUPLICATE)
    )
    lines = text.split("\n")
    bad = [row for row in map(listed, range(ROWS)) if row.kind is Kind.BAD]
    for line, row in zip(written.bad_lines, bad, strict=True):
        assert (lines[line - 1] + "\n").encode("utf-8", "surrogateescape") == row.line.splitlines(keepends=True)[0]


def test_each_recipient_of_a_list_is_one_but_for_those_that_come_again() -> None:
    listed_rows = [listed(number) for number in range(ROWS)]
    counts = Counter(row.address.casefold() for row in listed_rows)
    again = [row.address.casefold() for row in listed_rows if row.kind is Kind.DUPLICATE]
    assert {address for address, number in counts.items() if number > 1} == set(again)
    first = {row.address for row in listed_rows if row.kind is not Kind.DUPLICATE}
    assert all(address in first for address in again)
    assert any(row.address not in first for row in listed_rows if row.kind is Kind.DUPLICATE), "in other letters"
    assert all(row.address.endswith(f"@{REFUSING}") is (row.kind is Kind.REFUSED) for row in listed_rows)


def test_the_list_of_those_who_want_none_has_all_of_them_and_nobody_else(tmp_path: Path) -> None:
    from mailworker.mail.suppression import Suppression

    (tmp_path / "unwanted.txt").write_text("".join(suppression(ROWS)))
    unwanted = Suppression.for_enqueue(settings.current(), tmp_path / "unwanted.txt")
    for row in map(listed, range(ROWS)):
        assert unwanted.holds(row.address) is (row.kind is Kind.SUPPRESSED)


def test_a_list_may_be_written_into_a_pipe() -> None:
    import os

    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb") as target:

        def fill() -> None:
            with target:
                write(target, ROWS)

        thread = threading.Thread(target=fill)
        thread.start()
        content = source.read()
        thread.join()
    assert content.startswith(HEADER)
    assert content.count(b"\n") > ROWS


def test_single_mails_and_those_of_a_bulk_have_the_same_words_and_the_size_of_the_bench_s(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").touch()
    written = write_to(tmp_path / "rows.csv", ROWS, lambda kind: kind is Kind.GOOD)
    found = list(rows(tmp_path / "rows.csv", 0, ROWS))
    assert len(found) == written.sent
    assert list(rows(tmp_path / "rows.csv", 7, 3)) == found[7:10]
    env = environment(write_templates(tmp_path))
    assert {name.partition(".")[0] for name in SOURCES} == {"text", "html"}
    from datetime import UTC, datetime

    with settings.override(**env):
        for name in ("text", "html"):
            message = Letter.load(name).message(found[1], mail_id="0" * 32, bulk="b", date=datetime.now(UTC))
            assert found[1]["name"] in message.subject
            assert found[1]["city"] in message.body
            assert 0.9 < len(message.body) / len(BODY) < 1.3
            assert len(message.alternatives) == (name == "html")


def test_a_goal_is_reached_at_its_limit_or_short_of_it_as_it_says() -> None:
    least, most, below = (
        Goal(name="a", part="drain", title="A", unit="ratio", limit=0.6, is_least=True),
        Goal(name="b", part="memory", title="B", unit="bytes", limit=450, may_equal=True),
        Goal(name="c", part="enqueue", title="C", unit="MB", limit=150),
    )
    assert [least.is_reached(value) for value in (0.59, 0.6, 0.7)] == [False, True, True]
    assert [most.is_reached(value) for value in (449.0, 450.0, 450.1)] == [True, True, False]
    assert [below.is_reached(value) for value in (149.9, 150.0, 151.0)] == [True, False, False]
    assert [goal.wanted for goal in (least, most, below)] == [">= 0.6", "<= 450", "< 150"]


def test_each_goal_is_of_a_part_and_what_was_not_measured_is_neither_reached_nor_missed() -> None:
    assert {goal.part for goal in GOALS} == set(PARTS)
    made = {each.goal.name: each for each in verdicts({"producer_mb": 80.0, "queued_bytes": 451.0})}
    assert made["producer_mb"].is_reached is True
    assert made["queued_bytes"].is_reached is False
    assert made["fast_p95_ms"].is_reached is None
    assert made["producer_mb"].plain()["wanted"] == "< 150"
