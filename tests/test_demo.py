from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from email.message import EmailMessage as Parsed
from pathlib import Path
from shutil import which
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

from mailworker.cli import main
from mailworker.demo import command, display, kind, verdict
from mailworker.demo.mailbox import Mailbox
from mailworker.demo.record import Reader, Record
from mailworker.demo.run import _accounted_for
from mailworker.sink import Sink
from mailworker.testing import surroundings
from mailworker.testing.part import Part, PartFailed
from tests.processes import PATIENCE, Process, clean_environment, free_port, missing

COMMAND = [sys.executable, "-m", "mailworker", "demo"]

GUARD = "mailworker.testing.guard"

#: Marks the processes of one test, which may be anybody's children by then.
MARK = "DEMO_TEST_MARK"


@pytest.fixture
def env(tmp_path):
    (tmp_path / "tmp").mkdir()
    return {"TMPDIR": str(tmp_path / "tmp"), MARK: str(tmp_path)}


def clean(env: dict[str, str]) -> dict[str, str]:
    return {**clean_environment(), **env}


def demo(env: dict[str, str], *args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *args],
        env=clean(env),
        cwd=cwd or env[MARK],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )


def left_running(env: dict[str, str]) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            # Redis writes its title over its environment.
            is_ours = process.environ().get(MARK) == env[MARK] or process.cwd().startswith(env[MARK])
            if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def left_lying(env: dict[str, str]) -> list[str]:
    return [
        path.name for path in (Path(env[MARK]) / "tmp").iterdir() if not path.name.startswith("mailworker-demo-mails-")
    ]


def part_of(env: dict[str, str], name: str) -> psutil.Process:
    """Return the process that does the work of a part: the child of its guard."""
    marks = {"broker": ("redis-server", "fake_broker"), "sink": (" sink ",), "worker": (" worker ",)}[name]
    guards = [one for one in left_running(env) if GUARD in one.cmdline()]
    (guard,) = [one for one in guards if any(mark in " ".join(one.cmdline()) for mark in marks)]
    (part,) = guard.children()
    return part


def without_redis(env: dict[str, str], folder: Path) -> dict[str, str]:
    folder.mkdir()
    return {**env, "PATH": str(folder)}


@pytest.mark.integration
@pytest.mark.parametrize("has_redis", [True, False], ids=["redis-server", "fakeredis"])
def test_every_kind_of_mail_comes_to_the_end_that_it_should_and_nothing_is_left(env, tmp_path, has_redis):
    if has_redis and which("redis-server") is None:
        missing("redis-server")
    if not has_redis:
        env = without_redis(env, tmp_path / "empty")
    done = demo(env, "-n", "60", "-c", "2", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    report = json.loads(done.stdout)
    assert report["ok"] is True
    assert report["broker"].startswith("redis-server" if has_redis else "fakeredis")
    assert (report["mails"], report["files"]) == (60, 59)
    kinds = {row["kind"]: row for row in report["kinds"]}
    assert kinds["refused for good"] == {
        "kind": "refused for good", "made_with": "send_mail", "sent": 1, "accepted": 0, "result": "dead letter, 550",
    }  # fmt: skip
    assert kinds["deferred once"]["result"] == "accepted at attempt 2"
    assert sum(row["accepted"] for row in kinds.values()) == 59
    assert len(list(Path(report["folder"]).glob("*.eml"))) == 59
    assert left_running(env) == []
    assert left_lying(env) == []


@pytest.mark.integration
def test_settings_of_the_caller_reach_no_part_of_it(env, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    (here / ".env").write_text(f"EMAIL_PORT={free_port()}\nMAILWORKER_NOSUCH=1\n")
    hostile = {
        "MAILWORKER_BROKER_URL": "nosuch://",
        "MAILWORKER_TASK_ALWAYS_EAGER": "1",
        "EMAIL_BACKEND": "nosuch.Backend",
        "EMAIL_URL": f"smtp://127.0.0.1:{free_port()}",
        "MAILERS": "no json",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "DJANGO_SETTINGS_MODULE": "nosuch",
    }
    done = demo({**env, **hostile}, "-n", "10", "-c", "1", "--dir", "mails", cwd=here)
    assert done.returncode == 0, done.stderr + done.stdout
    assert len(list((here / "mails").glob("*.eml"))) == 9
    assert f"9 .eml files in {here / 'mails'}" in done.stdout


@pytest.mark.integration
def test_where_nobody_looks_on_it_prints_plain_lines_within_80_columns(env):
    done = demo(env, "-n", "10", "-c", "1")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "\x1b" not in done.stdout
    assert "done: 10 of 10\n" in done.stdout
    table = done.stdout[done.stdout.index("Made with") :]
    assert max(len(line) for line in table.splitlines()[:-1]) <= 80
    for one in kind.KINDS:
        assert one.title in table


@pytest.mark.integration
def test_a_real_relay_gets_the_mails_and_no_sink_is_started(env):
    with Sink(port=0) as relay:
        done = demo(env, "-n", "20", "-c", "1", "--smtp", f"127.0.0.1:{relay.port}", "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        assert relay.counts.messages == 20
    report = json.loads(done.stdout)
    assert (report["relay"], report["folder"]) == (f"127.0.0.1:{relay.port}", None)
    assert {row["kind"] for row in report["kinds"]} == {one.title for one in kind.KINDS if not one.needs_sink}


@pytest.mark.integration
def test_what_a_real_relay_refuses_is_told_and_is_exit_status_1(env):
    with Sink(port=0, refuse=["*@html.example"]) as relay:
        done = demo(env, "-n", "20", "-c", "1", "--smtp", f"127.0.0.1:{relay.port}")
    assert done.returncode == 1
    assert "dead letters, 550" in done.stdout
    assert "problem: text and HTML: 0 of 4 were accepted" in done.stderr


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_leaves_nothing_running_and_nothing_lying_about(env, number):
    with Process([*COMMAND, "-n", "50000", "-c", "1"], env) as process:
        process.wait_for("enqueued: ")
        assert len(left_running(env)) > 3
        process.signal(number)
        assert process.wait() != 0
        assert "Traceback" not in process.output
    assert left_running(env) == []
    assert left_lying(env) == []


@pytest.mark.integration
@pytest.mark.parametrize("said", ["enqueued: ", "broker: "], ids=["at work", "just started"])
def test_a_demo_that_is_killed_leaves_nothing_running(env, said):
    with Process([*COMMAND, "-n", "50000", "-c", "2"], env) as process:
        process.wait_for(said)
        parts = [one for one in left_running(env) if one.pid != process.pid]
        assert len(parts) >= 8  # three guards, a broker, a sink, a worker and its two children
        process.signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert psutil.wait_procs(parts, timeout=PATIENCE)[1] == []
    assert left_running(env) == []


@pytest.mark.integration
@pytest.mark.parametrize("options", [[], ["--json"]], ids=["lines", "json"])
def test_an_interrupted_demo_names_the_folder_of_the_mails_that_have_come(env, tmp_path, options):
    mails = tmp_path / "mails"
    mails.mkdir()
    with Process([*COMMAND, "-n", "50000", "-c", "1", "--dir", str(mails), *options], env) as process:
        wait_until(lambda: any(mails.glob("*.eml")))
        process.signal(signal.SIGINT)
        assert process.wait() != 0
        files = len(list(mails.glob("*.eml")))
        assert f"the demo ends early; {files} .eml files are in {mails}\n" in process.output


def test_a_demo_that_fails_names_the_folder_of_the_mails_or_takes_an_empty_one_of_its_own_away(tmp_path, capsys):
    full, empty = tmp_path / "full", tmp_path / "empty"
    for folder in (full, empty):
        mailbox = Mailbox(folder)
        if folder == full:
            (full / "one.eml").write_bytes(b"")
        with pytest.raises(PartFailed), _accounted_for(mailbox, display.Lines(), is_ours=True):
            raise PartFailed("the worker ended")
    assert capsys.readouterr().err == f"the demo ends early; 1 .eml files are in {full}\n"
    assert (full.exists(), empty.exists()) == (True, False)


@pytest.mark.integration
@pytest.mark.parametrize("name", ["worker", "sink", "broker"])
def test_a_part_that_dies_ends_the_demo_with_the_end_of_its_log(env, name):
    with Process([*COMMAND, "-n", "50000", "-c", "1"], env) as process:
        process.wait_for("enqueued: ")
        part_of(env, name).kill()
        assert process.wait() == 1
        assert f"Error: the {name} ended with status -9; the end of its log:\n  " in process.output
        assert "Traceback" not in process.output
    assert left_running(env) == []


@pytest.mark.integration
def test_a_broker_that_does_not_start_is_told_with_its_log(env, tmp_path):
    program = tmp_path / "bin" / "redis-server"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'no memory for you'\nexit 3\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    done = demo({**env, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}, "-n", "10")
    assert done.returncode == 1
    assert "the broker ended with status 3" in done.stderr
    assert "no memory for you" in done.stderr
    assert left_running(env) == []
    assert left_lying(env) == []


@pytest.mark.integration
def test_a_broker_that_is_no_program_is_told_in_one_sentence(env, tmp_path):
    program = tmp_path / "bin" / "redis-server"
    program.parent.mkdir()
    program.write_bytes(b"\x7fELF of another machine")
    program.chmod(0o755)
    done = demo({**env, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}, "-n", "10")
    assert done.returncode == 1
    assert "the broker ended with status 126" in done.stderr
    assert f"{program} cannot be started: Exec format error" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("blocked", "args", "said"),
    [
        (["rich", "aiosmtpd", "fakeredis"], [], "rich, aiosmtpd and fakeredis, which are"),
        (["rich", "fakeredis"], [], "rich and fakeredis, which are"),
        (["aiosmtpd"], [], "aiosmtpd, which is"),
    ],
)
def test_a_missing_extra_is_one_sentence_before_anything_is_started(env, tmp_path, blocked, args, said):
    code = (
        "import importlib.util, sys\n"
        "real = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name, *a: None if name in {blocked!r} else real(name, *a)\n"
        "from mailworker.cli import main\n"
        "main(['demo', *sys.argv[1:]])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        env=clean(without_redis(env, tmp_path / "empty")),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 1
    assert done.stderr == f"Error: the demo needs {said} not installed; run: pip install 'mailworker[demo]'\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["-n", "9"], "'-n': 9 is too few: give at least 10, so that each kind of mail is there."),
        (["-n", "-5"], "'-n': -5 is too few: give at least 10, so that each kind of mail is there."),
        (["-n", "100000"], "'-n': 100000 is too many: give at most 99999, each mail has a number of five digits."),
        (["-n", "x"], "'-n': 'x' is not a valid integer."),
        (["--smtp", "host"], "'--smtp': 'host' is no relay: write HOST:PORT, such as localhost:1025."),
        (["--smtp", "host:0"], "'--smtp': 'host:0' is no relay: write HOST:PORT, such as localhost:1025."),
        (["--smtp", "a b:25"], "'--smtp': 'a b:25' is no relay: write HOST:PORT, such as localhost:1025."),
        (["--smtp", "h:1", "--dir", "x"], "--dir is for the sink's mails: there is none with --smtp."),
        (["-c", "0"], "'-c': 0 is not in the range 1<=x<=64."),
    ],
)
def test_wrong_usage_is_exit_status_2_and_one_sentence_that_says_why(args, said):
    result = CliRunner().invoke(main, ["demo", *args])
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].removeprefix("Error: ").removeprefix("Invalid value for ") == said


def test_fewest_and_most_are_what_the_kinds_and_their_addresses_have_room_for():
    assert min(kind.plan(command.FEWEST, with_sink=True).values()) >= 1
    assert kind.recipient("plain", command.MOST) == f"plain{command.MOST}@plain.example"
    assert len(str(command.MOST)) == len(str(command.MOST + 1)) - 1 == 5


def a_report(**results: str) -> verdict.Report:
    rows = tuple(
        verdict.Row(one.title, one.made_with, 12345, 6789, results.get(one.name, "accepted at attempt 2"))
        for one in kind.KINDS
    )
    return verdict.Report("b", "r", 2, rows, (), 1.0, 1.0, None, 0)


def table_in(columns: int, report: verdict.Report, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> list[str]:
    monkeypatch.setattr(display, "_WIDTH", columns)
    display.show(report)
    lines: list[str] = capsys.readouterr().out.partition("enqueued")[0].strip().splitlines()
    assert max(map(len, lines)) <= columns
    return lines


@pytest.mark.parametrize("columns", [40, 50, 80])
def test_a_narrow_terminal_costs_the_calls_first_and_never_a_number(columns, monkeypatch, capsys):
    lines = table_in(columns, a_report(), monkeypatch, capsys)
    head = "\n".join(lines[: len(lines) - len([line for line in lines if "12345" in line])])
    assert [name in head for name in ("Mails", "Made with", "Sent", "Taken")] == [True, columns == 80, True, True]
    assert sum("12345" in line and "6789" in line for line in lines) == len(kind.KINDS)
    assert "…" not in "".join(lines)


def test_a_long_result_is_folded_and_shown_in_whole(monkeypatch, capsys):
    said = "accepted; dead letters, 450, 550, 552, 554, 571; 12 still on their way"
    lines = table_in(50, a_report(plain=said), monkeypatch, capsys)
    assert set(said.split()) <= {word for line in lines for word in line.split()}


def test_a_relay_that_is_not_there_is_one_sentence_before_anything_is_started(env):
    port = free_port()
    done = demo(env, "-n", "20", "--smtp", f"127.0.0.1:{port}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: --smtp: 127.0.0.1:{port} cannot be reached: ")
    assert len(done.stderr.splitlines()) == 1
    assert left_lying(env) == []


def test_a_folder_that_cannot_be_made_is_one_sentence_that_names_the_option(env, tmp_path):
    (tmp_path / "file").write_text("")
    done = demo(env, "--dir", str(tmp_path / "file" / "x"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: --dir: the folder {tmp_path / 'file' / 'x'} cannot be made: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("total", [10, 11, 60, 1000, 99_999])
@pytest.mark.parametrize("with_sink", [True, False])
def test_the_plan_has_every_kind_and_adds_up(total, with_sink):
    counts = kind.plan(total, with_sink=with_sink)
    assert sum(counts.values()) == total
    assert min(counts.values()) >= 1
    assert {one.name for one in counts} >= {"plain", "html", "attachment", "international", "mass"}
    assert ("refused" in {one.name for one in counts}) is with_sink


def a_mail(to: str, body: str = "text") -> Parsed:
    mail = Parsed()
    mail["To"] = to
    mail.set_content(body)
    return mail


def judged(arrived: list[tuple[tuple[str, int], Parsed]], refusals: list[int], **accepted: int) -> list[str]:
    """Judge a run of two plain mails, a refused and a deferred one."""
    sent = {one: {"plain": 2, "refused": 1, "deferred": 1}.get(one.name, 0) for one in kind.KINDS}
    sent = {one: many for one, many in sent.items() if many}
    record = Record(
        Counter({"plain": 2, "deferred": 1} | accepted), Counter({"refused": 1}), {"plain": 1, "deferred": 2}
    )
    return list(verdict.judge(sent, record, arrived, refusals)[1])


ARRIVED = [(("plain", 1), a_mail("a")), (("plain", 2), a_mail("a")), (("deferred", 1), a_mail("a"))]


def test_a_run_in_which_all_is_right_has_no_problem():
    assert judged(ARRIVED, [550]) == []


@pytest.mark.parametrize(
    ("arrived", "refusals", "accepted", "said"),
    [
        (ARRIVED[1:], [550], {}, "1 of 2 did not arrive"),
        ([*ARRIVED, ARRIVED[0]], [550], {}, "1 arrived more often"),
        ([*ARRIVED, (("refused", 1), a_mail("a"))], [550], {}, "refused for good: 1 arrived more often"),
        ([*ARRIVED, (("", 0), a_mail("a"))], [550], {}, "nobody sent"),
        ([(("plain", 1), a_mail("a", " ")), *ARRIVED[1:]], [550], {}, "do not look as they were made"),
        (ARRIVED, [], {}, "the dead letters are refusals"),
        (ARRIVED, [450], {}, "the dead letters are refusals"),
        (ARRIVED, [550], {"plain": 1}, "1 of 2 were accepted"),
        (ARRIVED, [550], {"refused": 1}, "expected a dead letter"),
    ],
)
def test_what_is_not_as_it_should_be_is_a_problem(arrived, refusals, accepted, said):
    assert any(said in problem for problem in judged(arrived, refusals, **accepted))


def test_a_part_that_is_just_dying_is_seen_dead_if_it_gets_a_moment(tmp_path, env):
    os.mkfifo(tmp_path / "go")
    with Part("short", ["sh", "-c", "read line < go; exit 3"], tmp_path, clean(env)) as part:
        part.check()  # it waits for the other end of the pipe
        go = threading.Thread(target=(tmp_path / "go").write_text, args=("\n",))
        go.start()
        with pytest.raises(PartFailed, match="the short ended with status 3"):
            part.check(PATIENCE)
        go.join()


@pytest.mark.parametrize(("ending", "status"), [("exit 7", 7), ("kill -KILL $$", -9), ("kill -TERM $$", -15)])
def test_a_guard_ends_as_its_part_does(tmp_path, env, ending, status):
    with (
        Part("short", ["sh", "-c", ending], tmp_path, clean(env)) as part,
        pytest.raises(PartFailed, match=f"the short ended with status {status};"),
    ):
        part.check(PATIENCE)


def test_a_guard_whose_input_ends_takes_the_part_and_all_that_it_has_started_with_it(tmp_path, env):
    argv = [sys.executable, "-m", GUARD, "sh", "-c", "sleep 1000 & echo ready; wait"]
    with subprocess.Popen(
        argv, env=clean(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as guard:
        assert guard.stdin is not None
        assert guard.stdout is not None
        assert guard.stdout.readline() == b"ready\n"
        family = left_running(env)
        assert len(family) == 3
        guard.stdin.close()
        assert guard.wait(PATIENCE) == -signal.SIGKILL
    assert psutil.wait_procs(family, timeout=PATIENCE)[1] == []


def test_a_guard_that_comes_too_late_for_its_demo_leaves_nothing(env):
    with Process([sys.executable, "-m", GUARD, "sleep", "1000"], env) as guard:  # its input is empty from the start
        assert guard.wait() == -signal.SIGKILL
        assert psutil.wait_procs(left_running(env), timeout=PATIENCE)[1] == []


def test_a_part_ends_with_everything_that_it_has_started(tmp_path, env):
    with Part("family", ["sh", "-c", "sleep 1000 & echo ready; wait"], tmp_path, clean(env)) as part:
        part.wait_for("ready")
        assert len(left_running(env)) == 3  # with its guard
    assert psutil.wait_procs(left_running(env), timeout=10)[1] == []


def test_a_mailbox_counts_only_what_came_since(tmp_path):
    (tmp_path / "old.eml").write_bytes(b"X-Envelope-To: <plain00001@plain.example>\r\n\r\nx")
    mailbox = Mailbox(tmp_path)
    assert mailbox.count() == 0
    (tmp_path / "new.eml").write_bytes(b"X-Envelope-To: <html00007@html.example>\r\n\r\nx")
    (tmp_path / "odd.eml").write_bytes(b"Subject: x\r\n\r\nx")
    (tmp_path / "half.part").write_bytes(b"x")
    assert sorted(which for which, _ in mailbox.mails()) == [("", 0), ("html", 7)]


def test_the_workers_log_is_read_as_it_grows_and_each_line_once(tmp_path):
    log = tmp_path / "log"
    accepted = "mail accepted: mail_id=1 mailer=relay lane=normal attempt={} domains={}"
    log.write_text(accepted.format(1, "plain.example") + " codes=250\nTask received\n" + accepted.format(2, "x.deferr"))
    reader = Reader(log)
    assert reader.read().accepted == {"plain": 1}
    with log.open("a") as more:
        more.write("ed.example outcomes=accepted codes=250\n")
        more.write(
            "mail is dead: rejected by the relay: mail_id=2 lane=normal attempt=1 domains=refused.example codes=550\n"
        )
    record = reader.read()
    assert record.accepted == {"plain": 1, "deferred": 1}
    assert record.attempts == {"plain": 1, "deferred": 2}
    assert (record.given_up, record.codes) == ({"refused": 1}, {"refused": {"550"}})
    assert reader.read().ended == 3


def test_what_was_put_aside_comes_back(tmp_path, monkeypatch):
    monkeypatch.setenv("EMAIL_HOST", "theirs")
    monkeypatch.setenv("KEPT", "yes")
    before, here = dict(os.environ), Path.cwd()
    with surroundings.put_aside(tmp_path):
        assert "EMAIL_HOST" not in os.environ
        assert os.environ["KEPT"] == "yes"
        assert Path.cwd() == tmp_path.resolve()
        os.environ["EMAIL_PORT"] = "1"
    assert (dict(os.environ), Path.cwd()) == (before, here)
