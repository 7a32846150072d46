"""What a SIGTERM means to a pool child: real processes that signal themselves."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from celery._state import _task_stack

from mailworker.queue import shutdown
from mailworker.queue.app import DELIVER

#: Exit status of a child that lived on, by whether it is told to stop; and of one that the signal ended. (Billiard's own
#: handler ends a child by SystemExit.)
GOES_ON, STOPS, DIES = 10, 11, 12


@pytest.fixture(autouse=True)
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(shutdown, "_PATIENCE", 0.05)
    shutdown.started()
    yield
    shutdown.started()


def after_sigterm(task: str | None, *, run_ended: bool = False) -> int:
    """Return what becomes of a child that gets SIGTERM in the middle of a task."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            shutdown.install_in_child()
            if task is not None:
                _task_stack.push(SimpleNamespace(name=task))
            os.kill(os.getpid(), signal.SIGTERM)
            if run_ended:
                shutdown.run_ended()
            status = STOPS if shutdown.is_stopping() else GOES_ON
        except SystemExit:
            status = DIES
        finally:
            os._exit(status)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return DIES if ended == -signal.SIGTERM else ended


def test_an_idle_child_of_a_worker_that_goes_on_dies() -> None:
    assert after_sigterm(None) == DIES


def test_an_idle_child_of_a_worker_that_stops_waits_for_its_orderly_end() -> None:
    shutdown.stopping()
    assert after_sigterm(None) == STOPS


def test_a_delivering_child_only_notes_that_it_is_to_stop() -> None:
    assert after_sigterm(DELIVER) == STOPS
    assert not shutdown.is_stopping(), "it alone was told"


def test_a_child_that_has_given_back_its_chunk_delivers_the_next_one() -> None:
    assert after_sigterm(DELIVER, run_ended=True) == GOES_ON
    shutdown.stopping()
    assert after_sigterm(DELIVER, run_ended=True) == STOPS, "the worker's own end is not forgotten"


def test_a_child_with_a_users_task_dies_as_it_would_without_us() -> None:
    assert after_sigterm("proj.task") == DIES
    shutdown.stopping()
    assert after_sigterm("proj.task") == DIES


@pytest.mark.parametrize("task", [None, DELIVER])
def test_once_the_worker_is_terminated_every_child_dies(task: str | None) -> None:
    shutdown.killed()
    assert after_sigterm(task) == DIES


def test_stopping_does_not_take_back_that_the_worker_is_terminated() -> None:
    shutdown.killed()
    shutdown.stopping()
    assert after_sigterm(DELIVER) == DIES
