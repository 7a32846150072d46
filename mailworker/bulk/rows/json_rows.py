"""Rows of a JSON Lines file: each line is an object, whose names are the columns. An empty line is nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NoReturn

from mailworker.bulk.rows.item import Item, Unreadable
from mailworker.bulk.rows.text import MAX_LINE, Text, is_text
from mailworker.errors import RowsError


class JsonRows:
    """Rows of a JSON Lines file.

    Args:
        text: the file.
    """

    columns = None

    def __init__(self, text: Text) -> None:
        self._text = text

    def __iter__(self) -> Iterator[Item]:
        read = json.JSONDecoder(parse_constant=_refuse).decode
        for number, line in enumerate(self._text.lines(), 1):
            if len(line) >= MAX_LINE:
                raise RowsError(
                    f"line {number} of {self._text.shown} is longer than {MAX_LINE >> 20} MiB: expected one JSON object a line"
                )
            try:
                values = read(line)
            except ValueError as error:
                if line.strip():
                    yield number, Unreadable(_why(line, error))
                continue
            except RecursionError:
                yield number, Unreadable("is JSON that is nested too deeply")
                continue
            if not isinstance(values, dict):
                yield number, Unreadable("is JSON, and no object: expected {...}")
            elif line.isascii() or is_text(line):
                yield number, values
            else:
                yield number, Unreadable(self._text.no_text)

    def share(self) -> float | None:
        return self._text.share()


def _why(line: str, error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        # Not its line: each line is text of its own to the decoder.
        return f"is no JSON: {error.msg}, in column {error.colno}"
    return f"is no JSON: {error}"


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in it")


def is_object(line: str) -> bool:
    """Tell whether a line looks as if it were one of such a file."""
    return line.lstrip().startswith("{")
