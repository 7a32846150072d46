from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from mailworker import settings
from mailworker.cli import main
from mailworker.spool.bulk import BulkGate
from mailworker.spool.record import State
from tests.cli.bulk.conftest import LIST
from tests.cli.conftest import on_terminal, run
from tests.processes import PATIENCE, clean_environment

pytestmark = pytest.mark.integration


def started(bulks, *options, name="news-1", template="news", rows=None):
    return run("bulk", "start", name, template, rows or bulks.path, *options)


def test_it_counts_what_came_in_and_names_what_did_not(bulks):
    result = started(bulks)
    assert result.exit_code == 0
    assert result.stdout.startswith("6 rows: 3 mails queued, 1 duplicate, 0 suppressed, 2 bad; ")
    assert result.stdout.endswith("bulk 'news-1': sending\n")
    assert result.stderr.splitlines() == [
        "  line 3: email: it is no address; expected one such as ann@example.com or Ann <ann@example.com>",
        "  line 6: has 1 value and the header 2 columns",
    ]
    stands = bulks.spool.bulks.get("news-1")
    assert (stands.gate, stands.states, stands.read, stands.bad) == (BulkGate.OPEN, {State.DUE: 3}, 6, 2)


def test_in_json_it_is_the_same(bulks):
    found = json.loads(started(bulks, "--json", "--delay", "1h").stdout)
    assert list(found) == [
        *("name", "read", "new", "known", "duplicates", "suppressed", "bad", "bad_rows", "seconds", "phase"),
    ]
    assert (found["new"], found["bad_rows"][1]["line"], found["phase"]) == (3, 6, "waiting")


def test_the_same_command_again_adds_what_is_missing_and_says_that_the_plan_stays(bulks):
    started(bulks, "--rate", "5/s")
    with open(bulks.path, "a") as file:  # noqa: PTH123 - one line more
        file.write("eve@example.org,Eve\n")
    result = started(bulks, "--rate", "9/s")
    assert result.stdout.startswith("7 rows: 1 mail queued, 4 known, 0 duplicates, 0 suppressed, 2 bad; ")
    assert result.stderr.startswith(
        "bulk 'news-1' is known with 3 mails: what is missing is added, by its plan of then"
    )
    assert bulks.spool.bulks.get("news-1").plan.timetable.rate == 5.0


def test_options_are_in_the_plan(bulks):
    (bulks.folder / "gone.txt").write_text("bob@example.net\n")
    result = started(
        bulks, "--rate", "100/min", "--between", "mon-fri 08:00-20:00 Europe/Berlin", "--at", "2099-12-01T09:00Z",
        "--lane", "normal", "--using", "news", "--max-bounces", "2%", "--on-in-doubt", "hold", "--expires", "2099-12-03",
        "--suppress", str(bulks.folder / "gone.txt"), "--header", "X-Campaign=spring", "--from", "{{ name }} <n@example.com>",
        "--reply-to", "office@example.com", "--no-wait",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    stands = bulks.spool.bulks.get("news-1")
    plan = stands.plan
    assert (plan.mailer, plan.lane.value, plan.max_bounces, plan.on_in_doubt) == ("news", "normal", 10, "hold")
    assert (plan.timetable.rate, plan.opens_at_once, stands.suppressed) == (100 / 60, True, 1)
    assert plan.due_at == 4_099_798_800.0
    assert "bulk 'news-1': waits for its time: 2099-12-01" in result.stdout


def test_standard_input_is_a_list_too(bulks):
    result = CliRunner().invoke(main, ["bulk", "start", "news-1", "news", "-"], input=LIST)
    assert result.stdout.startswith("6 rows: 3 mails queued")
    jsonl = '{"email": "x@example.com", "name": "X"}\n'
    result = CliRunner().invoke(main, ["bulk", "start", "news-2", "news", "-"], input=jsonl)
    assert result.stdout.startswith("1 row: 1 mail queued")


def test_encoding_and_delimiter_of_a_list_can_be_said(bulks):
    path = bulks.folder / "other.csv"
    path.write_bytes("email\tname, or nick\tname\njörg@example.com\tx\tJörg\n".encode("cp1252"))
    result = started(bulks, "--encoding", "cp1252", "--delimiter", "tab", rows=str(path))
    assert result.stdout.startswith("1 row: 1 mail queued")


def test_bad_rows_are_written_into_a_file_where_that_is_asked_for(bulks):
    path = bulks.folder / "many.csv"
    path.write_text("email,name\n" + "nobody,N\n" * 2000 + "ann@example.com,Ann\n")
    result = started(bulks, "--bad", str(bulks.folder / "bad.csv"), rows=str(path))
    assert result.exit_code == 0
    assert len(result.stderr.splitlines()) == 11
    assert result.stderr.splitlines()[-1] == f"  and 1,990 more: all are in {bulks.folder / 'bad.csv'}"
    with (bulks.folder / "bad.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [row["line"] for row in read] == [str(n) for n in range(2, 2002)]
    assert "; --bad FILE writes them all" in started(bulks, name="news-2", rows=str(path)).stderr


def test_a_list_without_a_good_row_is_a_failure_and_an_empty_one_is_not(bulks):
    path = bulks.folder / "some.csv"
    path.write_text("email,name\nnobody,N\n")
    result = started(bulks, rows=str(path))
    assert result.exit_code == 1
    assert "no row of the list can become a mail" in result.stderr
    path.write_text("email,name\n")
    result = started(bulks, rows=str(path))
    assert result.exit_code == 0
    assert result.stdout.startswith("0 rows: 0 mails queued")
    assert "finished: no row has come in; a list that can be sent may be started by this name" in result.stdout


def test_strict_ends_at_the_first_bad_row(bulks):
    result = started(bulks, "--strict")
    assert result.exit_code == 1
    assert "Error: line 3: email: it is no address" in result.stderr
    assert "; strict ends it here, and nothing goes until the list is mended and started again\n" in result.stderr
    assert not bulks.spool.bulks.get("news-1").rows


def test_a_dry_run_shows_messages_and_counts_and_puts_nothing_anywhere(bulks):
    result = started(bulks, "--dry-run")
    assert result.exit_code == 0
    assert "From: news@example.com\nTo: ann@example.com\nSubject: News for Ann\n" in result.stdout
    assert "Dear Ann,\n\nthere is news.\n(and text/html, 37 characters)\n" in result.stdout
    assert result.stdout.endswith("6 rows: 3 mails would go, 1 duplicate, 0 suppressed, 2 bad; nothing was sent\n")
    assert result.stderr.splitlines()[0].startswith("  line 3: ")
    assert bulks.spool.bulks.get("news-1") is None
    found = json.loads(started(bulks, "--dry-run", "--json").stdout)
    assert (found["good"], found["samples"][2]["to"]) == (3, ["bob@example.net"])


def test_a_dry_run_needs_no_broker(bulks):
    with settings.override(MAILWORKER_BROKER_URL="redis://127.0.0.1:1/0"):
        assert started(bulks, "--dry-run").exit_code == 0


def test_a_message_speaks_to_no_terminal(bulks):
    path = bulks.folder / "some.jsonl"
    path.write_text(json.dumps({"email": "ann@example.com", "name": "\x1b[2J"}) + "\n")
    (bulks.templates / "news.subject.txt").write_text("News")
    assert "\x1b" not in started(bulks, "--dry-run", rows=str(path)).output


def test_a_test_goes_to_one_address_and_to_nobody_else(bulks):
    result = started(bulks, "--test-to", "me@example.org", "--json")
    found = json.loads(result.stdout)
    assert (found["test_to"], len(found["ids"])) == ("me@example.org", 3)
    assert bulks.spool.bulks.get("news-1") is None
    assert [one.mail.domain for one in bulks.spooled.claimed(3)] == ["example.org"] * 3
    assert (
        "3 messages queued for me@example.org, and for nobody else: "
        in started(bulks, "--test-to", "me@example.org").stdout
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--at", "tomorrow"], "'tomorrow' is no moment"),
        (["--at", "+2h", "--delay", "1h"], "--at and --delay both say when: keep one."),
        (
            ["--dry-run", "--test-to", "me@example.com"],
            "--dry-run sends nothing, --test-to sends to one address: keep one.",
        ),
        (["--strict", "--no-wait"], "--strict and --no-wait contradict each other"),
        (["--rate", "fast"], "rate is 'fast', but must be a number of mails a second"),
        (["--between", "9-17"], "'9-17' is no window of time"),
        (["--max-bounces", "150%"], "'150%' is no share: write 10%, 0.1, or off."),
        (["--using", "nobody"], "--using is 'nobody': known mailers are default, news, relay."),
        (["--header", "X"], "--header is 'X': expected NAME=VALUE"),
        (["--header", "X y=1"], "a header name 'X' goes on with ' '"),
        (["--from", "nobody at all"], "nobody"),
        (["--test-to", "me"], "there is no @ in the address of who looks at the messages"),
        (["--suppress", "nosuch:function"], "suppress is 'nosuch:function': there is no module 'nosuch'"),
    ],
)
def test_what_cannot_be_meant_is_told_and_leaves_nothing(bulks, options, said):
    result = started(bulks, *options)
    assert result.exit_code == (1 if "--suppress" in options else 2), result.output
    assert said in result.stderr
    assert bulks.spool.bulks.get("news-1") is None


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["news-1", "news", "nosuch.csv"], 2, "File 'nosuch.csv' does not exist."),
        (["news-1", "news", "."], 2, "File '.' is a directory."),
        (["", "news", "LIST"], 2, "the name of a bulk is '': expected 1 to 200 characters, all printable"),
        (["a\x1b", "news", "LIST"], 2, r"the name of a bulk is 'a\x1b'"),
        (["news-1", "nosuch", "LIST"], 1, "there is no template 'nosuch': looked for nosuch.txt, nosuch.html in "),
        (
            ["news-1", "news", "LIST", "--to", "mail"],
            1,
            "there is no column 'mail' with the recipient: the list has email, name",
        ),
        (
            ["news-1", "news", "LIST", "--at", "2020-01-01"],
            1,
            "which is over: name a time to come, or none to begin at once",
        ),
        (
            ["news-1", "news", "LIST", "--suppress", "none.txt"],
            1,
            "none.txt cannot be read (No such file or directory)",
        ),
    ],
)
def test_what_is_not_there_is_one_clear_error(bulks, arguments, status, said):
    result = run("bulk", "start", *(bulks.path if each == "LIST" else each for each in arguments))
    assert (result.exit_code, bulks.spool.bulks.get("news-1")) == (status, None)
    assert said in result.stderr


def test_a_name_that_is_taken_is_told_with_how_to_mend_it(bulks):
    started(bulks)
    result = started(bulks, template="other")
    assert result.exit_code == 1
    assert "the bulk 'news-1' is known, and its mails say something else" in result.stderr
    assert "give this one another name" in result.stderr
    assert run("bulk", "cancel", "news-1", "--yes").exit_code == 0
    assert "is cancelled, and takes no rows any more" in started(bulks).stderr


def test_ctrl_c_leaves_the_gate_closed_and_says_how_to_go_on(bulks):
    process = subprocess.Popen(
        [sys.executable, "-m", "mailworker", "bulk", "start", "news-1", "news", "-"],
        env={**clean_environment(), **bulks.env},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    rows = "".join(f"u{n}@example.com,U\n" for n in range(30_000)).encode()
    process.stdin.write(b"email,name\n" + rows)
    process.stdin.flush()
    # It has read more than a pipe holds, and waits for the rest.
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "stopped before the last row of bulk 'news-1': nothing of it goes, since its gate is closed" in said.decode()
    stands = bulks.spool.bulks.get("news-1")
    assert (stands.gate, stands.rows > 0) == (BulkGate.FILLING, True)
    path = bulks.folder / "all.csv"
    path.write_bytes(b"email,name\n" + rows)
    assert started(bulks, rows=str(path)).exit_code == 0
    assert bulks.spool.bulks.get("news-1").states == {State.DUE: 30_000}


def test_on_a_terminal_it_shows_how_far_it_is(bulks):
    path = bulks.folder / "long.csv"
    path.write_text("email,name\n" + "".join(f"u{n}@example.com,U\n" for n in range(60_000)))
    with on_terminal("bulk", "start", "news-1", "news", str(path), env=bulks.env) as terminal:
        terminal.said(" rows")
        assert "60,000 rows: 60,000 mails queued" in terminal.said("mails queued")
        assert terminal.ends() == 0
