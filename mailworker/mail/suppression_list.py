"""A list of addresses and domains that want no mail: in memory, and in a file that may change while it is used.

One entry a line: an address, or a domain, which stands for all of its addresses; what follows a `#` at the beginning of a line or
behind a space is a comment. The letter case does not matter. Addresses are kept as 64 bits each, so that a million
of them take 8 MB. Two different ones may share these bits: of a million recipients against a million entries, one is taken for
another in one mailing of eighteen million.
"""

from __future__ import annotations

import os
import re
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable
from pathlib import Path

from mailworker.errors import InvalidAddress, SuppressionUnavailable
from mailworker.lock import ForkSafeLock
from mailworker.mail.address import PLAIN_ADDRESS, envelope_address, idna

#: Seconds between two looks at a file.
_LOOK_EVERY = 1.0

#: Seconds for which the list that is known counts on although the file cannot be read: somebody replaces it just now.
_GRACE = 5.0

#: Parts of a list, so that each is small.
_HEAPS = 256

_PLAIN = re.compile(PLAIN_ADDRESS)
_DOMAIN = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+", re.IGNORECASE | re.ASCII)
_COMMENT = re.compile(r"(?:^|\s)#")


class SuppressionList:
    """Addresses and domains.

    Args:
        lines: as they stand in a file.
        where: what they are lines of, for an error's text.

    Raises:
        SuppressionUnavailable: a line is neither an address nor a domain.
    """

    def __init__(self, lines: Iterable[str], where: str) -> None:
        heaps = [array("q") for _ in range(_HEAPS)]
        domains: set[str] = set()
        for number, line in enumerate(lines, 1):
            entry = line.strip() if "#" not in line else _COMMENT.split(line, maxsplit=1)[0].strip()
            if not entry:
                continue
            if _PLAIN.fullmatch(entry):
                mark = hash(entry.lower())
                heaps[mark % _HEAPS].append(mark)
                continue
            try:
                if "@" in entry[1:]:
                    mark = hash(envelope_address(entry).lower())
                    heaps[mark % _HEAPS].append(mark)
                else:
                    domains.add(_domain(entry))
            except (InvalidAddress, UnicodeError):
                raise SuppressionUnavailable(
                    f"{where}, line {number}, is neither an address nor a domain: write ann@example.com or example.com, "
                    "and # before a comment"
                ) from None
        # Heap by heap: sorting a million numbers at once takes ten times as much memory as they do.
        self._heaps = [array("q", sorted(heap)) for heap in heaps]
        self._domains = frozenset(domains)

    def holds(self, address: str) -> bool:
        """Tell whether an address, in any case of letters, wants no mail."""
        folded = address.lower()
        if self._domains and folded.rpartition("@")[2] in self._domains:
            return True
        mark = hash(folded)
        heap = self._heaps[mark % _HEAPS]
        place = bisect_left(heap, mark)
        return place < len(heap) and heap[place] == mark

    def __len__(self) -> int:
        return sum(map(len, self._heaps)) + len(self._domains)


def _domain(entry: str) -> str:
    """Return a domain in ASCII and lower case.

    Raises:
        UnicodeError: it is none.
    """
    domain = idna(entry.removeprefix("@")).lower()
    if not _DOMAIN.fullmatch(domain):
        raise UnicodeError
    return domain


class SuppressionFile:
    """A list in a file, read again when that changes.

    While somebody writes it, the list before counts too, until the file has stood still for a second; and where it cannot be
    read, for a few seconds more.

    Args:
        path: of the file, which may be missing at first.
        clock: seconds, of a clock that only goes forward.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._lock = ForkSafeLock()
        self._next_look = -_LOOK_EVERY
        self._signature: tuple[int, int, int] | None = None
        #: The one of the file as it is, and until that stands still the one before.
        self._lists: tuple[SuppressionList, ...] = ()
        self._read_at: float | None = None
        self._failure: SuppressionUnavailable | None = None

    def holds(self, address: str) -> bool:
        """Tell whether an address wants no mail.

        Raises:
            SuppressionUnavailable: the file cannot be read.
        """
        if self._clock() >= self._next_look:
            with self._lock:
                now = self._clock()
                if now >= self._next_look:
                    self._look(now)
                    # Whoever mends it and asks at once is not told what was wrong before.
                    self._next_look = now + _LOOK_EVERY if self._failure is None else now
        if self._failure is not None:
            raise self._failure
        return any(known.holds(address) for known in self._lists)

    def _look(self, now: float) -> None:
        try:
            found = self._path.stat()
            signature = (found.st_mtime_ns, found.st_size, found.st_ino)
            if signature == self._signature:
                self._lists = self._lists[:1]
            else:
                self._lists = (self._read(), *self._lists[:1])
                self._signature = signature
        except (OSError, SuppressionUnavailable) as error:
            if self._read_at is None or now - self._read_at > _GRACE:
                self._failure = self._told(error)
            self._signature = None
        else:
            self._failure, self._read_at = None, now

    def _read(self) -> SuppressionList:
        try:
            with self._path.open(encoding="utf-8-sig") as lines:
                return SuppressionList(lines, os.fspath(self._path))
        except UnicodeDecodeError:
            raise SuppressionUnavailable(f"{self._path} is no text in UTF-8: convert it") from None

    def _told(self, error: OSError | SuppressionUnavailable) -> SuppressionUnavailable:
        if isinstance(error, SuppressionUnavailable):
            return error
        why = error.strerror or type(error).__name__
        return SuppressionUnavailable(f"the suppression list {self._path} cannot be read ({why})")
