"""Numbers of things as people read them: `1 row`, `1,200 rows`."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return so many of a thing.

    Args:
        number: how many.
        noun: what one of them is called; more are called the same with an s.
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
