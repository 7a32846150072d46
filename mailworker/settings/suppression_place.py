"""Where those stand who want no bulk mail."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar

from mailworker.settings.rule import NOT_SET, BadValue, Rule


@dataclass(frozen=True)
class SuppressionPlace(Rule):
    """The path of a file, or "module:function", or from Python the function; or None."""

    expected: ClassVar[str] = "the path of a file, or a module and the function in it with a colon between them"
    example = "/etc/mailworker/suppressed.txt"

    def parse(self, value: Any) -> Any:
        """Take text, a path, or what can be called; whether anything is there is not asked."""
        if value is None or callable(value):
            return value
        path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else value
        if not isinstance(path, str) or not path or "\0" in path:
            raise BadValue
        return path

    def show(self, value: Any) -> str:
        """Return the path; of a function, its name."""
        if callable(value):
            return f"{getattr(value, '__module__', '?')}:{getattr(value, '__qualname__', type(value).__name__)}"
        return value or NOT_SET
