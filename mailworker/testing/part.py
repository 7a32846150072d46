"""A process that a test or the demo starts, watches and ends for sure.

Each part runs under a guard (`guard.py`) that ends it also when its starter is killed; the two have a process group of their own,
a log, a clean environment and an empty working directory: no setting and no `.env` of the caller reaches them. A part that
does not come up, or ends too early, is a `PartFailed` that shows the end of its log.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

from mailworker.errors import MailworkerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: Seconds that a part may take to come up: a worker imports Celery, and a busy machine may need 20 times as long.
START = 40.0

#: Seconds between two looks at a log that another process writes.
_LOOK = 0.02

#: Lines of a log that a failure shows.
_TAIL = 15


class PartFailed(MailworkerError):  # noqa: N818 - what happened, not a kind of error
    """Raised when a process that was started does not come up, or ends before it should."""


class Part:
    """One process, and its guard.

    Args:
        name: what a person calls it.
        argv: its command line.
        folder: private folder, which gets its log and is its working directory.
        environment: all of its variables; with them `mailworker` can be imported.

    Attributes:
        pid: of the guard, and so of the process group.
    """

    def __init__(self, name: str, argv: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mailworker.testing.guard", *argv],
                # The pipe that the guard reads from: it ends with us, even if we are killed.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=folder,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def said(self) -> str:
        """Return its log so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def is_running(self) -> bool:
        """True until it has ended."""
        return self._process.poll() is None

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until its log has a line that matches.

        Raises:
            PartFailed: it ended, or took too long.
        """
        deadline = time.monotonic() + START
        while True:
            has_ended = self._process.poll() is not None
            if found := re.search(pattern, self.said()):
                return found
            if has_ended or time.monotonic() >= deadline:
                raise self.failure()
            time.sleep(_LOOK)

    def check(self, grace: float = 0.0) -> None:
        """Raise `PartFailed` if it does not run any more.

        Args:
            grace: seconds that it gets to end: what it held is closed a moment before its end can be seen.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace)
            raise self.failure()

    def failure(self) -> PartFailed:
        """Return what to tell of it: its state, and the end of its log."""
        status = self._process.poll()
        state = "did not get ready in time" if status is None else f"ended with status {status}"
        return PartFailed(f"the {self.name} {state}; the end of its log:\n{self.tail()}")

    def tail(self) -> str:
        """Return the last lines of its log, indented."""
        lines = self.said().rstrip().splitlines()[-_TAIL:]
        return "\n".join(f"  {line}" for line in lines) or "  (it said nothing)"

    def stop(self) -> None:
        """End it and everything that it has started; never raises.

        At once: all that a part has is thrown away with it, and an orderly end of Celery takes seconds.
        """
        # Also where it has ended by itself: a child that was left behind is still in the group.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
