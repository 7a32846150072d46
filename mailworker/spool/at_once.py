"""Runs, in a thread that may wait, what is written once for both kinds of client.

What is said to the spool in which order, and what an answer means, is coroutines over a port that says it. On an event loop that
port awaits; here it blocks, and so the coroutine never gives way.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns whose awaits all block in place of giving way."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise AssertionError("a coroutine gave way where nobody else could go on")
