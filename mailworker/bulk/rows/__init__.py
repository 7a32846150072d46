"""Rows of a bulk, from wherever they are: a file's path, an open file, a Django queryset, or any iterable of mappings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mailworker.bulk.rows.csv_rows import CsvRows
from mailworker.bulk.rows.item import Item, Source, Unreadable
from mailworker.bulk.rows.json_rows import JsonRows, is_object
from mailworker.bulk.rows.mapping_rows import MappingRows, is_queryset, of_queryset
from mailworker.bulk.rows.text import name_of, open_text
from mailworker.errors import RowsError

__all__ = ["Item", "Rows", "Source", "Unreadable", "named", "open_rows"]

#: What a call may give.
Rows = str | os.PathLike[str] | IO[Any] | Iterable[Mapping[str, Any]]

_CSV, _JSON = (".csv", ".tsv", ".txt"), (".jsonl", ".ndjson")


@contextmanager
def open_rows(rows: Rows, *, encoding: str = "utf-8", delimiter: str | None = None) -> Iterator[Source]:
    """Open rows, and close again what was opened.

    Args:
        rows: the path of a CSV or JSON Lines file, which may be gzipped; the file, open; a queryset; or mappings.
        encoding: of a file that has no byte order mark.
        delimiter: of a CSV file; None = comma, semicolon or tab, whichever parts the header into most columns.

    Raises:
        RowsError: there is no such file, or it is no list of rows.
        TypeError: these are no rows.
    """
    is_file = isinstance(rows, str | os.PathLike) or hasattr(rows, "readline")
    if not is_file:
        yield _of_program(rows)
        return
    name = os.fspath(rows) if isinstance(rows, str | os.PathLike) else name_of(rows)
    suffix = _suffix(name)
    with open_text(rows, encoding) as text:  # type: ignore[arg-type]  # a path or a file
        is_json = suffix in _JSON if suffix else is_object(text.first_line())
        yield JsonRows(text) if is_json else CsvRows(text, delimiter)


def named(rows: Rows) -> str:
    """Return where rows come from, for people: the absolute path of a file, "" for all others."""
    name = (
        os.fspath(rows) if isinstance(rows, str | os.PathLike) else name_of(rows) if hasattr(rows, "readline") else ""
    )
    return str(Path(name).absolute()) if name else ""


def _suffix(name: str) -> str:
    """Return what a file's name ends in, without .gz."""
    suffixes = [suffix.lower() for suffix in Path(name).suffixes if suffix.lower() != ".gz"]
    if suffixes and suffixes[-1] not in (*_CSV, *_JSON):
        raise RowsError(
            f"{name} ends in {suffixes[-1]}, which is no format of rows: expected {', '.join(_CSV[:2])}, "
            f"{' or '.join(_JSON)}, also with .gz behind it"
        )
    return suffixes[-1] if suffixes else ""


def _of_program(rows: Any) -> MappingRows:
    if is_queryset(rows):
        return MappingRows(of_queryset(rows))
    if isinstance(rows, Mapping | bytes | bytearray) or not isinstance(rows, Iterable):
        raise TypeError(
            f"rows is {type(rows).__name__}: expected the path of a file, an open file, or an iterable of mappings"
        )
    return MappingRows(rows)
