"""Wakes workers for those that cannot wait while a broker is spoken to: event loops.

kombu blocks. One thread a process does it for all loops; a lane that somebody has asked for already is woken once for both. What
was asked for when a loop ends, or the process, is still done: the process waits for it as long as for any call to the queue. A
wake-up that fails is logged, and costs a second: workers look by themselves.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterable

from celery import Celery

from mailworker import log
from mailworker.lane import Lane
from mailworker.queue import to_spool
from mailworker.settings import Settings

logger = log.get(__name__)


class Waker:
    """Wakes in a thread of its own."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        #: (app, settings) by what names them -> lanes.
        self._asked: dict[tuple[int, int], tuple[Celery, Settings, set[Lane]]] = {}
        self._is_busy = False
        self._patience = 0.0
        self._thread: threading.Thread | None = None

    def ask(self, app: Celery, conf: Settings, lanes: Iterable[Lane]) -> None:
        """Wake workers soon; returns at once.

        Args:
            app: whose broker carries the wake-ups.
            conf: the settings.
            lanes: in which mail is ready.
        """
        if self._pid != os.getpid():
            # The thread is the parent's, and what it was asked for as well.
            self._forget()
        with self._changed:
            _, _, asked = self._asked.setdefault((id(app), id(conf)), (app, conf, set()))
            asked.update(lanes)
            self._patience = conf.MAILWORKER_ENQUEUE_TIMEOUT
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._wake, name="mailworker-waker", daemon=True)
                self._thread.start()

    def flush(self, patience: float | None = None) -> bool:
        """Wait until all that was asked for is done; False if it is not after so many seconds.

        Args:
            patience: None = as long as one call to the queue may take.
        """
        if self._pid != os.getpid():
            return True
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._asked and not self._is_busy, self._patience if patience is None else patience
            )

    def _wake(self) -> None:
        changed = self._changed
        while True:
            with changed:
                self._is_busy = False
                changed.notify_all()
                changed.wait_for(lambda: bool(self._asked))
                app, conf, lanes = self._asked.pop(next(iter(self._asked)))
                self._is_busy = True
            try:
                to_spool.wake_workers(app, conf, lanes)
            except Exception as error:  # noqa: BLE001 - the mail is in the spool, and this thread serves others as well
                logger.warning(
                    "the mail is in the spool, and no worker could be woken for it (%s): workers look each second",
                    type(error).__name__,
                    extra={"event": "wake_up_failed"},
                )


#: The process's own.
waker = Waker()


atexit.register(waker.flush)
