"""What the worker says of the mails, read from its log: which kinds were accepted, at which attempt, and which are dead.

The log names recipients' domains and never an address; the demo gives each kind a domain of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LINE = re.compile(
    r"(?P<what>mail accepted|mail is dead|mail is held)\b.* attempt=(?P<attempt>\d+) domains=(?P<domains>\S+)"
    r".*?(?: codes=(?P<codes>\S+))?$"
)


@dataclass(slots=True)
class Record:
    """How many mails of each kind came to which end, so far.

    Attributes:
        accepted: kind -> how many.
        given_up: kind -> how many are dead or held.
        attempts: kind -> the highest attempt at which one was accepted.
        codes: kind -> the reply codes with which mails were given up.
    """

    accepted: Counter[str] = field(default_factory=Counter)
    given_up: Counter[str] = field(default_factory=Counter)
    attempts: dict[str, int] = field(default_factory=dict)
    codes: dict[str, set[str]] = field(default_factory=dict)

    @property
    def ended(self) -> int:
        """How many mails have come to an end."""
        return self.accepted.total() + self.given_up.total()

    def note(self, line: str) -> None:
        """Take account of one line of the log."""
        found = _LINE.search(line)
        if found is None:
            return
        kind = found["domains"].partition(",")[0].rpartition(".example")[0].rpartition(".")[2]
        if found["what"] == "mail accepted":
            self.accepted[kind] += 1
            self.attempts[kind] = max(self.attempts.get(kind, 0), int(found["attempt"]))
        else:
            self.given_up[kind] += 1
            self.codes.setdefault(kind, set()).update(filter(None, (found["codes"] or "").split(",")))


class Reader:
    """Reads a log that is being written, each line once.

    Args:
        path: of the log.
    """

    def __init__(self, path: Path) -> None:
        self.record = Record()
        self._path = path
        self._position = 0

    def read(self) -> Record:
        """Take account of the lines that are new, and return all that is known."""
        with self._path.open("rb") as log:
            log.seek(self._position)
            fresh = log.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._position += len(whole)
        for line in whole.decode("utf-8", "replace").splitlines():
            self.record.note(line)
        return self.record
