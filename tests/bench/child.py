"""One process of a measurement with all that it starts: its output, its CPU, its memory, and its end.

The output goes to a file and not through a pipe: a reader would take CPU from what is measured for each line that a worker
logs. CPU and memory are those of the whole tree, since contenders spread their work over it in different ways.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.processes import PATIENCE, clean_environment, kill_tree


class ChildError(Exception):
    """A process ended, or did not do in time what was waited for; the text has the end of its output."""


class Child:
    """A process in a session of its own.

    Args:
        argv: the command.
        env: variables over the clean environment.
        log: the file for its output; beside it is where it runs, so that no `.env` is found.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self.argv = list(argv)
        self.log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**clean_environment(), **env},
                cwd=log.parent,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait_for(self, pattern: str, patience: float = PATIENCE) -> re.Match[str]:
        """Wait until the output matches, and return the match.

        Raises:
            ChildError: it ended before, or took too long.
        """
        ends = time.monotonic() + patience
        while True:
            is_running = self.is_running
            found = re.search(pattern, self.log.read_text(errors="replace"))
            if found is not None:
                return found
            if not is_running or time.monotonic() > ends:
                raise ChildError(f"never said {pattern!r}: {self.what_it_said()}")
            time.sleep(0.02)

    def wait(self, patience: float) -> None:
        """Wait for a good end.

        Raises:
            ChildError: it was a bad one, or took too long.
        """
        try:
            status = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            raise ChildError(f"does not end: {self.what_it_said()}") from None
        if status:
            raise ChildError(f"ended with {status}: {self.what_it_said()}")

    def what_it_said(self) -> str:
        """Return command and last output, for people."""
        return f"{' '.join(self.argv)}\n{self.log.read_text(errors='replace')[-3000:]}"

    def cpu(self) -> float:
        """Return the seconds of CPU, user and system, of the tree so far, those of children that ended included."""
        used = 0.0
        for one in self._tree():
            with contextlib.suppress(psutil.Error):
                used += sum(one.cpu_times()[:4])
        return used

    def memory(self) -> int:
        """Return the bytes of the tree now: PSS, in which pages that n processes share count as an n-th for each."""
        used = 0
        for one in self._tree():
            with contextlib.suppress(psutil.Error):
                used += one.memory_full_info().pss
        return used

    def close(self) -> None:
        """End it and all that it started."""
        kill_tree(self.pid)
        self._process.wait(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def _tree(self) -> list[psutil.Process]:
        try:
            one = psutil.Process(self.pid)
            return [one, *one.children(recursive=True)]
        except psutil.Error:
            return []
