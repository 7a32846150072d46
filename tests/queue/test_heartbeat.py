"""The file that says that a worker is alive, and who believes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mailworker.queue import heartbeat


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(heartbeat, "_self", None)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return heartbeat.directory("ns")


def written(folder: Path, name: str, text: str) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / name).write_text(text)


def said(pid: int, age: float) -> str:
    return json.dumps({"pid": pid, "name": "mail@host", "at": time.time() - age})


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_worker_that_beats_is_alive() -> None:
    heartbeat.beat("ns", "mail@host")
    (one,) = heartbeat.beats("ns")
    assert (one.pid, one.name, one.is_alive) == (os.getpid(), "mail@host", True)
    assert one.to_json()["alive"] is True
    assert heartbeat.beats("another") == []


def test_the_folder_is_nobody_elses_to_look_into(folder: Path) -> None:
    heartbeat.beat("ns", "mail@host")
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("age", "alive"), [(29.0, True), (31.0, False), (-3600.0, False)])
def test_a_beat_counts_for_as_long_as_it_is_fresh(folder: Path, age: float, *, alive: bool) -> None:
    written(folder, "1.json", said(os.getpid(), age))
    (one,) = heartbeat.beats("ns")
    assert one.is_alive is alive


def test_a_fresh_beat_of_a_process_that_is_gone_is_no_life(folder: Path, dead_pid: int) -> None:
    written(folder, "1.json", said(dead_pid, 0))
    (one,) = heartbeat.beats("ns")
    assert not one.is_alive


def test_living_workers_come_first(folder: Path, dead_pid: int) -> None:
    written(folder, "1.json", said(dead_pid, 0))
    written(folder, "2.json", said(os.getpid(), 20))
    written(folder, "3.json", said(os.getppid(), 5))
    assert [one.pid for one in heartbeat.beats("ns")] == [os.getppid(), os.getpid(), dead_pid]


def test_a_worker_that_ended_in_order_leaves_nothing(folder: Path) -> None:
    heartbeat.beat("ns", "mail@host")
    heartbeat.end("ns")
    assert heartbeat.beats("ns") == []
    assert list(folder.iterdir()) == []
    heartbeat.end("ns")


def test_what_cannot_be_read_is_passed_over(folder: Path) -> None:
    for number, junk in enumerate(["", "{", "[]", "{}", '{"pid": "x", "name": "y", "at": 0}', "\x00"]):
        written(folder, f"{number}.json", junk)
    (folder / "folder.json").mkdir()
    heartbeat.beat("ns", "mail@host")
    assert [one.pid for one in heartbeat.beats("ns")] == [os.getpid()]


def test_a_disk_that_takes_no_beat_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "file"))
    heartbeat.beat("ns", "mail@host")
    heartbeat.end("ns")
    assert heartbeat.beats("ns") == []


def test_a_task_in_the_workers_own_thread_beats_for_it_and_one_in_another_thread_does_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / f"{os.getpid()}.json"
    heartbeat.between_messages()
    assert not path.exists(), "this process is no worker yet"
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.0)
    heartbeat.begin("ns", "mail@host")
    path.unlink()
    thread = threading.Thread(target=heartbeat.between_messages)
    thread.start()
    thread.join()
    assert not path.exists()
    heartbeat.between_messages()
    assert [one.name for one in heartbeat.beats("ns")] == ["mail@host"]


def test_a_child_of_a_worker_does_not_beat(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.0)
    heartbeat.begin("ns", "mail@host")
    pid = os.fork()
    if pid == 0:
        heartbeat.between_messages()
        os._exit(0)
    os.waitpid(pid, 0)
    assert [one.pid for one in heartbeat.beats("ns")] == [os.getpid()]
