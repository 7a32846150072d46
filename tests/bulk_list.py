"""A list of recipients of any length, made while it is written: which row is what follows from its number, so that whoever counts asks nobody.

Of each fifty rows one is bad, one names a recipient again, one wants no mail, and two are of a domain whose server refuses them; the
others are good. The file has a byte order mark, names that are not ASCII, quotes, commas and line breaks in quotes, and
empty lines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, NamedTuple

HEADER = "\ufeffemail,name,city,order,note\r\n".encode()

#: Its server refuses each recipient.
REFUSING = "refusing.example"

#: All of it stands on the list of those who want no mail.
SUPPRESSED = "no-more.example"

#: Rows after which it begins anew, and rows between two empty lines.
ROUND, _EMPTY = 50, 500

_NAMES = ("Ann", "Zoë Müller", "Łukasz Żak", '"O\'Brien, Pat"', "李雷", '"Bob ""B"" Smith"', "Jürgen", "Marie-Claire")
_CITIES = ("Berlin", "São Paulo", '"Washington, D.C."', "Oslo", "Kraków")
_DOMAINS = ("example.com", "example.net", "example.org", "mail.example", "post.example", "web.example")
_NOTES = ("thank you", '"with a ""gift"""', '"two\r\nlines"', "", "no hurry", "grüße")


class Kind(StrEnum):
    """What a row is."""

    GOOD = "good"
    REFUSED = "refused"
    SUPPRESSED = "suppressed"
    DUPLICATE = "duplicate"
    BAD = "bad"


class Listed(NamedTuple):
    """A row.

    Attributes:
        kind: what it is.
        address: of its recipient; of a bad row one that must never get anything.
        line: as it stands in the file, with its end; it may go over two lines.
    """

    kind: Kind
    address: str
    line: bytes


@dataclass(slots=True)
class Written:
    """What stands in a file.

    Attributes:
        kinds: how many rows of each kind.
        size: bytes of the rows that become mails, suppressed ones included.
        bad_lines: where the bad ones begin, counted as an editor does.
    """

    kinds: Counter[Kind] = field(default_factory=Counter)
    size: int = 0
    bad_lines: list[int] = field(default_factory=list)

    @property
    def mails(self) -> int:
        """Rows that become mails."""
        return self.sent + self.kinds[Kind.SUPPRESSED]

    @property
    def sent(self) -> int:
        """Those of them that a relay hears of."""
        return self.kinds[Kind.GOOD] + self.kinds[Kind.REFUSED]


def listed(number: int) -> Listed:
    """Return the row of a number, from 0."""
    turn, place = divmod(number, ROUND)
    if place == 11:
        return Listed(Kind.BAD, *_bad(number, turn))
    if place == 31:
        # It comes again, every other time in other letters.
        address = listed(number - 30).address
        return _row(Kind.DUPLICATE, address.upper() if turn % 2 else address, number)
    if place == 23:
        if turn % 2:
            return _row(Kind.SUPPRESSED, f"reader{number}@{SUPPRESSED}", number)
        return _row(Kind.SUPPRESSED, f"no.more.{number}@example.com", number)
    if place in (7, 40):
        return _row(Kind.REFUSED, f"reader{number}@{REFUSING}", number)
    return _row(Kind.GOOD, f"reader{number}@{_DOMAINS[number % len(_DOMAINS)]}", number)


def suppression(rows: int) -> Iterator[str]:
    """Yield the lines of the list of those who want no mail, for a list of so many rows."""
    yield f"# who wants no mail\n{SUPPRESSED}\n"
    for number in range(23, rows, ROUND):
        row = listed(number)
        if not row.address.endswith(SUPPRESSED):
            yield f"{row.address}\n"


def write(file: IO[bytes], rows: int, which: Callable[[Kind], bool] = lambda kind: True) -> Written:
    """Write a list as CSV, and return what stands in it.

    Args:
        file: where to; it may be a pipe.
        rows: numbers that are gone through.
        which: which kinds are written.
    """
    file.write(HEADER)
    done = Written()
    at = 2
    for number in range(rows):
        row = listed(number)
        if not which(row.kind):
            continue
        if row.kind is Kind.BAD:
            done.bad_lines.append(at)
        elif row.kind is not Kind.DUPLICATE:
            done.size += len(row.line)
        done.kinds[row.kind] += 1
        file.write(row.line)
        at += row.line.count(b"\n")
        if number % _EMPTY == _EMPTY - 1:
            file.write(b"\r\n")
            at += 1
    return done


def write_to(path: Path, rows: int, which: Callable[[Kind], bool] = lambda kind: True) -> Written:
    """Write a list into a file; arguments as for `write`."""
    with path.open("wb") as file:
        return write(file, rows, which)


def _row(kind: Kind, address: str, number: int) -> Listed:
    name, city = _NAMES[number % len(_NAMES)], _CITIES[number % len(_CITIES)]
    note = _NOTES[number // 3 % len(_NOTES)]
    return Listed(kind, address, f"{address},{name},{city},{1_000_000 + number},{note}\r\n".encode())


def _bad(number: int, turn: int) -> tuple[str, bytes]:
    """Return the address and the line of a bad row."""
    address = f"bad{number}@example.com"
    lines = (
        f"bad{number} at example.com,Ann,Oslo,{number},no address\r\n".encode(),
        f"{address},Ann\r\n".encode(),
        f'{address},"Ann\r\nBcc: {address}",Oslo,{number},an injection\r\n'.encode(),
        f"{address},J\xfcrgen,Oslo,{number},no UTF-8\r\n".encode("latin-1"),
    )
    return address, lines[turn % len(lines)]
