"""`mailworker bulk start` as a process that reads its list from a pipe, so that it can be killed at a row of one's choice."""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bulk_list import HEADER, listed
from tests.chaos.child import Child


class Producer:
    """The process, which has read nothing yet.

    Args:
        name: of the bulk.
        options: of `bulk start`.
        env: its settings.
        output: file for what it prints; a .log.
    """

    def __init__(self, name: str, options: list[str], env: Mapping[str, str], output: Path) -> None:
        argv = [sys.executable, "-m", "mailworker", "bulk", "start", name, "html", "-", "--json", *options]
        self._output = output
        self._child = Child(argv, env, output, stdin=subprocess.PIPE)
        assert self._child.process.stdin is not None
        # A page, the least that there is: what was fed has been read then, but for some dozen rows.
        fcntl.fcntl(self._child.process.stdin, fcntl.F_SETPIPE_SZ, mmap.PAGESIZE)
        self._write(HEADER)

    def feed(self, first: int, last: int) -> None:
        """Write the rows of the numbers from `first` to before `last`; returns when nearly all of them were read."""
        for number in range(first, last):
            self._write(listed(number).line)

    def kill(self) -> None:
        """Kill it with whatever it has in hand."""
        self._child.kill()
        self._close()

    def finish(self, patience: float) -> dict[str, Any]:
        """Tell it that this was the last row, and return what it says of all of them.

        Raises:
            AssertionError: it did not end well.
        """
        self._close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.process.wait(patience)
        said = self._output.read_text(errors="replace")
        assert self._child.process.returncode == 0, f"the producer ended with {self._child.process.returncode}: {said}"
        found: dict[str, Any] = json.loads(said[said.index("{") :])
        return found

    def _write(self, data: bytes) -> None:
        assert self._child.process.stdin is not None
        # One that ended by itself is found out when it shall finish.
        with contextlib.suppress(BrokenPipeError):
            self._child.process.stdin.write(data)

    def _close(self) -> None:
        assert self._child.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._child.process.stdin.close()
