"""A process of a chaos run, whose output goes to a file: it may die at any moment, and what it said is still there."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.processes import clean_environment


@dataclass
class Child:
    """A process in a session of its own.

    Attributes:
        argv: the command.
        env: variables over the clean environment.
        output: file for what it prints; one that ends in .log also for its errors.
        stdin: as `Popen` takes it.
        process: it.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    output: Path
    stdin: int = subprocess.DEVNULL
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        with self.output.open("ab") as file:
            self.process = subprocess.Popen(
                self.argv,
                stdin=self.stdin,
                stdout=file,
                stderr=file if self.output.suffix == ".log" else None,
                env={**clean_environment(), **self.env},
                cwd=self.output.parent,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End it and its children, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
