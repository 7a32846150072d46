"""`python -m mailworker.testing.guard PROGRAM...`: runs one part, and ends it when its starter is gone.

Its standard input is a pipe whose other end only the starter holds, so it ends with the starter, also with one that got SIGKILL
and could do nothing itself. Then its whole process group is killed: the part, what the part has started, and the guard. Else it
ends as the part does, with the same status or by the same signal; a part that cannot be started is one sentence and status
126. Known limit: a guard and a starter that are both killed with SIGKILL leave the part behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Exit status for a program that cannot be started, as in a shell.
_NOT_STARTED = 126


def main(argv: Sequence[str]) -> int:
    """Run a program, and return its exit status.

    Args:
        argv: its command line.
    """
    assert os.getpgrp() == os.getpid(), "a guard leads a process group of its own, or it would kill its caller's"
    # Before the part is there: a starter that has gone already must not leave one behind.
    threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        part = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"{argv[0]} cannot be started: {error.strerror}", file=sys.stderr)
        return _NOT_STARTED
    status = part.wait()
    return status if status >= 0 else _end_by(-status)


def _end_with_input() -> None:
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGKILL)


def _end_by(number: int) -> int:
    """End by a signal; return a shell's status for it where the signal ends nobody."""
    with contextlib.suppress(OSError):  # SIGKILL has no handler that could be reset
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
