from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from mailworker.cli import main
from mailworker.queue import heartbeat


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("MAILWORKER_NAMESPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def health(*args: str):
    return CliRunner().invoke(main, ["health", *args])


def write_beat(namespace: str, *, pid: int, age: float, name: str = "w@h") -> None:
    place = heartbeat.directory(namespace)
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{pid}.json").write_text(json.dumps({"pid": pid, "name": name, "at": time.time() - age}))


def a_dead_pid() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_it_exits_0_while_a_worker_beats(folder):
    heartbeat.beat("mailworker", "mail@host")
    result = health()
    assert result.exit_code == 0
    assert "mail@host" in result.output


def test_it_exits_1_and_says_what_to_do_where_no_worker_has_ever_been(folder):
    result = health()
    assert result.exit_code == 1
    assert "mailworker worker" in result.output


def test_a_worker_that_has_said_nothing_for_long_is_not_alive(folder):
    write_beat("mailworker", pid=os.getpid(), age=20.0)
    assert health().exit_code == 0
    result = health("--max-age", "10")
    assert result.exit_code == 1
    assert "20 s ago" in result.output


def test_a_worker_whose_process_is_gone_is_not_alive(folder):
    write_beat("mailworker", pid=a_dead_pid(), age=1.0)
    assert health().exit_code == 1


def test_one_living_worker_is_enough_unless_another_is_asked_for_by_name(folder):
    write_beat("mailworker", pid=a_dead_pid(), age=1.0, name="gone@host")
    write_beat("mailworker", pid=os.getpid(), age=1.0, name="here@host")
    assert health().exit_code == 0
    assert health("--name", "here").exit_code == 0
    assert health("--name", "here@host").exit_code == 0
    assert health("--name", "gone").exit_code == 1


def test_json_tells_of_every_worker(folder):
    write_beat("mailworker", pid=os.getpid(), age=1.0)
    shown = json.loads(health("--json").output)
    assert shown["alive"] is True
    assert [(one["pid"], one["alive"]) for one in shown["workers"]] == [(os.getpid(), True)]
    assert json.loads(health("--json", "--namespace", "other").output) == {"alive": False, "workers": []}


def test_the_namespace_comes_from_the_environment_then_from_the_env_file(folder, monkeypatch):
    write_beat("first", pid=os.getpid(), age=1.0)
    assert health().exit_code == 1
    (folder / ".env").write_text("MAILWORKER_NAMESPACE=first\n")
    assert health().exit_code == 0
    monkeypatch.setenv("MAILWORKER_NAMESPACE", "second")
    assert health().exit_code == 1
