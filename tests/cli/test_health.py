from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from mailworker.cli import main
from mailworker.queue import heartbeat
from tests.processes import PATIENCE, clean_environment


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("MAILWORKER_NAMESPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def health(*args: str):
    return CliRunner().invoke(main, ["health", *args])


def run_health(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Ask in a process of its own, which has read no settings yet."""
    return subprocess.run(
        [sys.executable, "-m", "mailworker", "health"],
        env={**clean_environment(), "XDG_RUNTIME_DIR": str(folder), **env},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


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


@pytest.mark.parametrize("age", ["nan", "0", "-1", "soon"])
def test_an_age_that_is_none_is_wrong_usage(folder, age):
    result = health("--max-age", age)
    assert result.exit_code == 2
    assert "--max-age" in result.output


@pytest.mark.parametrize("wrong", ["MAILWORKER_NAMESPACE=a/b", 'MAILWORKER_NAMESPACE=ab\nX="unclosed'])
def test_a_namespace_that_cannot_be_read_is_told_in_the_words_of_the_settings(folder, wrong):
    (folder / ".env").write_text(wrong)
    result = run_health(folder)
    assert result.returncode == 1
    assert "MAILWORKER_NAMESPACE (from .env) is 'a/b'" in result.stderr or "in line 2" in result.stderr


def test_a_namespace_in_the_env_file_is_read_as_the_settings_read_it(folder):
    for name, text in {
        "quoted": "MAILWORKER_NAMESPACE=other\nexport MAILWORKER_NAMESPACE='quoted' # ours\n",
        "pre-fix": "PRE=pre\nMAILWORKER_NAMESPACE=${PRE}-fix\n",
        "mailworker": "# MAILWORKER_NAMESPACE=other\nMAILWORKER_NAMESPACE=\n",
    }.items():
        write_beat(name, pid=os.getpid(), age=1.0)
        (folder / ".env").write_text(text)
        assert run_health(folder).returncode == 0, name
        (heartbeat.directory(name) / f"{os.getpid()}.json").unlink()


def test_in_a_django_project_the_namespace_is_that_of_its_settings(folder):
    (folder / "shop_settings.py").write_text("MAILWORKER = {'NAMESPACE': 'shop'}\n")
    write_beat("shop", pid=os.getpid(), age=1.0)
    assert run_health(folder).returncode == 1
    assert run_health(folder, DJANGO_SETTINGS_MODULE="shop_settings").returncode == 0


def test_the_namespace_comes_from_the_environment_then_from_the_env_file(folder, monkeypatch):
    write_beat("first", pid=os.getpid(), age=1.0)
    assert health().exit_code == 1
    (folder / ".env").write_text("MAILWORKER_NAMESPACE=first\n")
    assert health().exit_code == 0
    monkeypatch.setenv("MAILWORKER_NAMESPACE", "second")
    assert health().exit_code == 1
