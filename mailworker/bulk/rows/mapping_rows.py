"""Rows that a program has: any iterable of mappings, and a Django queryset, which is not loaded as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mailworker.bulk.rows.item import Item, Unreadable

#: Objects that a queryset loads at a time.
_CHUNK = 2000

#: Fields of a model whose values are no text, by their internal type: what stands in them is named, or left out.
_FILES, _BYTES = ("FileField", "ImageField"), ("BinaryField",)


class MappingRows:
    """Rows of an iterable of mappings.

    Args:
        rows: the mappings.
    """

    columns = None

    def __init__(self, rows: Iterable[Any]) -> None:
        self._rows = rows
        self._number = 0

    def __iter__(self) -> Iterator[Item]:
        for number, values in enumerate(self._rows, 1):
            self._number = number
            if isinstance(values, dict | Mapping):
                yield number, values
            else:
                yield number, Unreadable(f"is {type(values).__name__}: expected a mapping of columns to values")

    def share(self) -> float | None:
        total = len(self._rows) if isinstance(self._rows, list | tuple) else 0
        return self._number / total if total else None


def is_queryset(rows: Any) -> bool:
    """Tell whether these are Django's: a queryset, or a manager of a model."""
    return hasattr(rows, "iterator") and hasattr(rows, "model") and hasattr(rows, "using")


def of_queryset(rows: Any) -> Iterator[Any]:
    """Yield the rows of a queryset: what `.values()` gives as it is, of a model's objects their fields."""
    fields: list[tuple[str, str, bool]] | None = None
    for found in rows.iterator(chunk_size=_CHUNK):
        if isinstance(found, dict) or not hasattr(found, "_meta"):
            yield found
            continue
        if fields is None:
            fields = _fields(found)
        yield {
            name: str(getattr(found, attribute)) if is_file else getattr(found, attribute)
            for name, attribute, is_file in fields
        }


def _fields(found: Any) -> list[tuple[str, str, bool]]:
    """Return name, attribute and whether it is a file, of the fields of a model's object."""
    deferred = found.get_deferred_fields()
    return [
        (field.name, field.attname, field.get_internal_type() in _FILES)
        for field in found._meta.concrete_fields  # noqa: SLF001 - Django's public name for it
        # To look at a field that was left out is one query for each row.
        if field.get_internal_type() not in _BYTES and field.attname not in deferred
    ]
