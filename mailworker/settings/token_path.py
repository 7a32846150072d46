"""Where the function is that gives access tokens: the path in a setting, or the function itself.

It decides what such a path looks like, and what looks like a token that somebody has put there: that one is never shown.
The function is imported where a backend is built, not here: settings are read before the project is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from mailworker.settings.rule import NOT_SET, BadValue, Rule, is_dotted

#: Longest name in a path, in characters: the parts of a signed token (JWT) are longer.
_LONGEST_NAME = 60

#: A name that nobody would choose: letters of both cases and three digits or more in 16 characters or more.
_RANDOM = re.compile(r"(?=.{16})(?=.*[a-z])(?=.*[A-Z])(?:\D*\d){3}")


def is_token_path(text: str) -> bool:
    """Tell whether a text is "package.module:function" or "package.module.function", and no token."""
    module, _, name = text.partition(":") if ":" in text else text.rpartition(".")
    return is_dotted(module) and is_dotted(name) and not any(_is_secret(each) for each in re.split("[.:]", text))


def _is_secret(name: str) -> bool:
    return len(name) > _LONGEST_NAME or _RANDOM.match(name) is not None


@dataclass(frozen=True)
class TokenPath(Rule):
    """The path of a function, or from Python the function itself, or None."""

    expected: ClassVar[str] = "the path of a function that gives access tokens, and no token"
    example = "shop.oauth:token"
    is_secret: ClassVar[bool] = True

    def parse(self, value: Any) -> str | Callable[[], Any] | None:
        """Take a path of that form, or something that can be called; the module is imported later."""
        if value is None:
            return None
        if isinstance(value, str):
            if is_token_path(value):
                return value
        elif callable(value):
            found: Callable[[], Any] = value
            return found
        raise BadValue

    def show(self, value: Any) -> str:
        """Return the path; of a function its name, since a repr may show what it holds."""
        if value is None or isinstance(value, str):
            return value or NOT_SET
        named = value if hasattr(value, "__qualname__") else type(value)
        return f"{named.__module__}:{named.__qualname__}"
