"""A token function for tests: it gives one value after another, and counts."""

from __future__ import annotations

from typing import Any


class Tokens:
    """Gives these values in turn, the last one for ever; raises a value that is an exception.

    Attributes:
        calls: how often it was called.
    """

    def __init__(self, *values: Any) -> None:
        self._values = list(values)
        self.calls = 0

    def __call__(self) -> Any:
        self.calls += 1
        value = self._values.pop(0) if len(self._values) > 1 else self._values[0]
        if isinstance(value, BaseException):
            raise value
        return value
