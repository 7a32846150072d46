from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections import Counter
from email.message import EmailMessage as Parsed
from pathlib import Path
from shutil import which

import psutil
import pytest
from click.testing import CliRunner

from mailworker.cli import main
from mailworker.demo import kind, surroundings, verdict
from mailworker.demo.mailbox import Mailbox
from mailworker.demo.part import Part, PartFailed
from mailworker.demo.record import Reader, Record
from mailworker.sink import Sink
from tests.processes import PATIENCE, Process, clean_environment, free_port, missing

COMMAND = [sys.executable, "-m", "mailworker", "demo"]

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


def left_lying(env: dict[str, str]) -> list[str]:
    return [
        path.name for path in (Path(env[MARK]) / "tmp").iterdir() if not path.name.startswith("mailworker-demo-mails-")
    ]


def is_part(name: str, command: list[str]) -> bool:
    if name == "broker":
        return "redis-server" in command[0] or "mailworker.demo.fake_broker" in command
    return name in command


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
@pytest.mark.parametrize("name", ["worker", "sink", "broker"])
def test_a_part_that_dies_ends_the_demo_with_the_end_of_its_log(env, name):
    with Process([*COMMAND, "-n", "50000", "-c", "1"], env) as process:
        process.wait_for("enqueued: ")
        parts = [one for one in left_running(env) if one.ppid() == process.pid]
        (part,) = [one for one in parts if is_part(name, one.cmdline())]
        part.kill()
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


@pytest.mark.parametrize(
    ("blocked", "args", "said"),
    [
        (["rich", "aiosmtpd", "fakeredis"], [], "rich and aiosmtpd and fakeredis, which are"),
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
    "args",
    [
        ["-n", "9"],
        ["-n", "x"],
        ["--smtp", "host"],
        ["--smtp", "host:0"],
        ["--smtp", "a b:25"],
        ["--smtp", "h:1", "--dir", "x"],
        ["-c", "0"],
    ],
)
def test_wrong_usage_is_exit_status_2(args):
    assert CliRunner().invoke(main, ["demo", *args]).exit_code == 2


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
        (ARRIVED, [], {}, "the dead queue holds"),
        (ARRIVED, [450], {}, "the dead queue holds"),
        (ARRIVED, [550], {"plain": 1}, "1 of 2 were accepted"),
        (ARRIVED, [550], {"refused": 1}, "expected a dead letter"),
    ],
)
def test_what_is_not_as_it_should_be_is_a_problem(arrived, refusals, accepted, said):
    assert any(said in problem for problem in judged(arrived, refusals, **accepted))


def test_a_part_that_is_just_dying_is_seen_dead_if_it_gets_a_moment(tmp_path, env):
    with (
        Part("short", ["sh", "-c", "sleep 0.5; exit 3"], tmp_path, clean(env)) as part,
        pytest.raises(PartFailed, match="the short ended with status 3"),
    ):
        part.check(PATIENCE)


def test_a_part_ends_with_everything_that_it_has_started(tmp_path, env):
    with Part("family", ["sh", "-c", "sleep 1000 & echo ready; wait"], tmp_path, clean(env)) as part:
        part.wait_for("ready")
        assert len(left_running(env)) == 2
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
