"""Rows of a CSV file: its first line names the columns, each record after it is a row (RFC 4180).

Values are text, as they stand. A record is told by the line on which it begins, as an editor counts them. One that has more or
fewer values than there are columns, or whose quotes do not match, is no row; an empty line, or one of empty values, is nothing.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

from mailworker.bulk.rows.item import Item, Unreadable
from mailworker.bulk.rows.text import Text, is_text
from mailworker.errors import RowsError

#: What may stand between two values, where nobody says.
_DELIMITERS = (",", ";", "\t")

_QUOTED = re.compile(r'"[^"]*"')


class CsvRows:
    """Rows of a CSV file.

    Args:
        text: the file.
        delimiter: what stands between two values; None = what parts the header into most columns.

    Attributes:
        columns: their names, without spaces around them.

    Raises:
        RowsError: the first line does not name the columns; the delimiter is none.
    """

    def __init__(self, text: Text, delimiter: str | None) -> None:
        self._text = text
        lines = text.lines()
        # Lines before the header that are empty; the reader counts them as well.
        before: list[str] = []
        for line in lines:
            before.append(line)
            if line.strip():
                break
        delimiter = delimiter or _sniffed(before[-1] if before else "")
        if len(delimiter) != 1 or delimiter in '"\r\n ':
            raise RowsError(f"delimiter is {delimiter!r}: expected one character, such as ';'")
        # Strict: a quote in the wrong place makes one bad row, and not a name with half of the list in it.
        self._reader = csv.reader(chain(before, lines), delimiter=delimiter, strict=True)
        self.columns = self._header()

    def __iter__(self) -> Iterator[Item]:
        reader, columns, width = self._reader, self.columns, len(self.columns)
        line = reader.line_num + 1
        while True:
            try:
                for values in reader:
                    joined = "".join(values)
                    if len(values) == width and joined.isascii() and joined and not joined.isspace():
                        yield line, dict(zip(columns, values, strict=True))
                    elif joined.strip():
                        yield line, self._looked_over(values, joined, line)
                    line = reader.line_num + 1
            except csv.Error as error:
                yield line, Unreadable(f"is no CSV: {error}{self._span(line)}")
                line = reader.line_num + 1
            else:
                return

    def share(self) -> float | None:
        return self._text.share()

    def _looked_over(self, values: list[str], joined: str, line: int) -> dict[str, Any] | Unreadable:
        if len(values) != len(self.columns):
            return Unreadable(
                f"has {len(values)} value{'s' * (len(values) != 1)} and the header {len(self.columns)} "
                f"column{'s' * (len(self.columns) != 1)}{self._span(line)}"
            )
        return dict(zip(self.columns, values, strict=True)) if is_text(joined) else Unreadable(self._text.no_text)

    def _span(self, line: int) -> str:
        """Say that a record goes over several lines: mostly somebody has forgotten a quote."""
        last = self._reader.line_num
        return f" (it goes on to line {last}: is a quotation mark missing?)" if last > line else ""

    def _header(self) -> tuple[str, ...]:
        try:
            found = next((values for values in self._reader if any(map(str.strip, values))), None)
        except csv.Error as error:
            raise RowsError(f"the header of {self._text.shown} is no CSV: {error}") from None
        if found is None:
            raise RowsError(f"{self._text.shown} is empty: expected a first line with the names of the columns")
        names = tuple(name.strip() for name in found)
        where = f"the first line of {self._text.shown}"
        if not is_text("".join(names)):
            raise RowsError(f"{where} {self._text.no_text}")
        if any("@" in name for name in names):
            # An address, which no error shows.
            raise RowsError(f"{where} has an @ in it: expected the names of the columns, such as email,name")
        if "" in names:
            raise RowsError(f"{where} has no name for column {names.index('') + 1}: give it one, or take it out")
        twice = next((name for n, name in enumerate(names) if name in names[:n]), None)
        if twice is not None:
            raise RowsError(f"{where} has two columns {twice!r}: give one of them another name")
        return names


def _sniffed(header: str) -> str:
    """Return what stands between the names of a header, most often and in no quotes; a comma if nothing does."""
    bare = _QUOTED.sub("", header)
    return max(_DELIMITERS, key=bare.count)
