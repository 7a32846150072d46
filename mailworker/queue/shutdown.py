"""How a worker stops: one flag that all its processes see, and what a SIGTERM means to a pool child.

systemd's default, honcho and `killpg` send SIGTERM to the whole process group. Celery's children die of it at once, in
the middle of DATA. Ours end the message on the wire first. Only the main process knows whether the worker stops, so it
raises a flag in memory that was shared before the fork, and a child that is idle waits a moment for that flag before it
takes the signal as meant for itself alone (Celery shrinks its pool that way).
"""

from __future__ import annotations

import mmap
import os
import signal
import time
from types import FrameType

import celery
from billiard.common import reset_signals

from mailworker.queue.app import DELIVER, DRAIN

_RUNNING, _STOPPING, _KILLED = 0, 1, 2

#: Seconds that an idle child waits for the main process to say whether the worker stops; the main process gets the same
#: signal at the same time and answers within milliseconds.
_PATIENCE = 1.0

#: Shared with every child that is forked after this module was imported in the main process.
_flag = mmap.mmap(-1, 1)

#: True in a process that was itself told to stop.
_told = False


def is_stopping() -> bool:
    """Tell whether this worker, or this process of it, is to stop after the message on the wire."""
    return _told or _flag[0] != _RUNNING


def is_killed() -> bool:
    """Tell whether this worker is ended now, whatever it is waiting for."""
    return _flag[0] == _KILLED


def started() -> None:
    """Note that a worker starts in this process: nothing is to stop."""
    global _told
    _told = False
    _flag[0] = _RUNNING


def stopping() -> None:
    """Tell all processes of this worker to stop after the message on the wire."""
    _flag[0] = max(_flag[0], _STOPPING)


def killed() -> None:
    """Tell all processes of this worker that a SIGTERM from now on is final."""
    _flag[0] = _KILLED


def run_ended() -> None:
    """Note that this process has given back what it was told to stop.

    A SIGTERM that only one delivering child got has had its effect by then. If the child lived on with it, it would
    give back every chunk that it is handed, at once and for ever.
    """
    global _told
    _told = False


def install_in_child() -> None:
    """Take over SIGTERM in a pool child; only in its main thread, which is where Celery runs tasks."""
    signal.signal(signal.SIGTERM, _Handler())


class _Handler:
    """Handles SIGTERM in a pool child.

    Billiard puts a handler of its own over any that a child has after its initialization, except where the signal is
    ignored; so this one says that it equals SIG_IGN, which is about what it does.
    """

    def __eq__(self, other: object) -> bool:
        return other is signal.SIG_IGN or other is self

    def __hash__(self) -> int:
        return id(self)

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        global _told
        task = celery.current_task
        name = task.name if task else None
        if _flag[0] == _KILLED:
            _die()
        elif name in (DELIVER, DRAIN):
            _told = True
        elif name is not None or not _is_worker_stopping():
            # A user's task is left to what Celery does with it, as if we were not there.
            _die()


def _is_worker_stopping() -> bool:
    deadline = time.monotonic() + _PATIENCE
    while _flag[0] == _RUNNING and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(_flag[0] != _RUNNING)


def _die() -> None:
    """Do what a child does with SIGTERM when we are not there."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    reset_signals()
    os.kill(os.getpid(), signal.SIGTERM)
