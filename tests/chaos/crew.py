"""The workers of a chaos run: real processes with children, some of which die, and are started again.

It keeps count of what may have made a second copy: each child that dies may have had one mail between the final dot and the record
of it, and so may each that stalled past its lease.
"""

from __future__ import annotations

import contextlib
import random
import re
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from tests.chaos.child import Child

#: Prefork children of a worker.
CHILDREN = 2

#: What a worker says when it stalled past a lease, by our doing or the machine's, and lived to tell.
_TOO_LATE = re.compile("lease was lost before the outcome could be recorded")


class Crew:
    """Workers.

    Args:
        env: their settings.
        folder: gets their logs.
        victims: who of those that are there is hit.
        tell: hears what happens.
        module: what is run: `python -m MODULE... worker`.

    Attributes:
        ambiguous: deaths so far that may each have caused one second copy.
        ended: workers that ended without having been killed.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        folder: Path,
        victims: random.Random,
        tell: Callable[[str], None],
        module: Sequence[str] = ("mailworker",),
    ) -> None:
        self._env = env
        self._folder = folder
        self._victims = victims
        self._tell = tell
        self._module = module
        self._workers: list[Child] = []
        self.ambiguous = 0
        self.ended = 0

    def start(self, number: int) -> None:
        """Start so many workers."""
        for each in range(number):
            self._workers.append(self._worker(each))

    def kill_worker(self) -> None:
        """Kill a worker with its children, and start another one in its place."""
        self.ambiguous += CHILDREN
        number = self._victims.randrange(len(self._workers))
        self._workers[number].kill()
        self._workers[number] = self._worker(number)

    def kill_child(self, spared: Sequence[psutil.Process] = ()) -> bool:
        """Kill a child; False if there is none."""
        victim = self.child(spared)
        if victim is None:
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            self.ambiguous += 1
            victim.kill()
        return True

    def child(self, spared: Sequence[psutil.Process] = ()) -> psutil.Process | None:
        """Choose a child; None if there is none."""
        found: list[psutil.Process] = []
        for worker in self._workers:
            with contextlib.suppress(psutil.Error):
                found += psutil.Process(worker.process.pid).children()
        found = [each for each in found if each not in spared]
        return self._victims.choice(found) if found else None

    def restart_ended(self) -> None:
        """Start workers again that ended by themselves, as an init system does."""
        for number, worker in enumerate(self._workers):
            if worker.process.poll() is not None:
                self._tell(f"worker {number} ended by itself with {worker.process.returncode}")
                self.ended += 1
                self.ambiguous += CHILDREN
                worker.kill()
                self._workers[number] = self._worker(number)

    def end(self) -> None:
        """End all of them, at once."""
        for worker in self._workers:
            worker.kill()

    def too_late(self) -> int:
        """Count the mails that were sent and could not be recorded in time, by what the workers have said."""
        return sum(len(_TOO_LATE.findall(file.read_text(errors="replace"))) for file in self._folder.glob("*.log"))

    def _worker(self, number: int) -> Child:
        options = ["-c", str(CHILDREN), "-l", "INFO", "-n", f"{uuid.uuid4().hex[:8]}@%h"]
        argv = [sys.executable, "-m", *self._module, "worker", *options]
        return Child(argv, self._env, self._folder / f"worker-{number}.log")
