"""The function that gives access tokens, found by its path when a backend is built.

It decides whether there is one that can be called as it will be; what it returns is looked at when it is called
(`mailworker.smtp.access_token`). It fails with `ConfigurationError`; a value that may be a token itself is not repeated, nor
are the words of an exception of the project's.
"""

from __future__ import annotations

import inspect
from typing import Any

from mailworker.errors import ConfigurationError
from mailworker.mail.project_function import imported
from mailworker.settings import is_token_path
from mailworker.smtp.access_token import TokenFunction

_EXPECTED = "expected the path of a function such as 'shop.oauth:token', or the function"


def load(value: object, alias: str | None) -> TokenFunction | None:
    """Return a token function, or None if none is asked for.

    Args:
        value: the function, or "package.module:function", or "package.module.function"; None or "" = none.
        alias: of the mailer whose option it is, None if it has none: for the error's text.

    Raises:
        ConfigurationError: there is none, or it cannot be called without arguments.
    """
    if value is None or value == "":
        return None
    option = "token (MAILWORKER_OAUTH_TOKEN)" if alias is None else f"MAILERS[{alias!r}]['OPTIONS']['token']"
    found: Any = value
    shown = "the value that was given"
    if isinstance(value, str):
        if not is_token_path(value):
            raise ConfigurationError(f"{option} is text that is not shown, since it may be a token; {_EXPECTED}")
        found, shown = imported(value, option, _EXPECTED), repr(value)
    why = _unfit(found)
    if why:
        raise ConfigurationError(f"{option} is {shown}, which {why}; {_EXPECTED}")
    function: TokenFunction = found
    return function


def _unfit(found: Any) -> str:
    """Say why something is no function that can be called as it will be; "" if it is one."""
    if inspect.isclass(found) or not callable(found):
        other = "a module" if inspect.ismodule(found) else f"a value of type {type(found).__name__}"
        return "is a class" if inspect.isclass(found) else f"is {other}"
    if inspect.iscoroutinefunction(found):
        return "is an async function"
    try:
        inspect.signature(found).bind()
    except TypeError:
        return "cannot be called without arguments"
    except ValueError:
        # Written in C, and says nothing of its arguments.
        return ""
    return ""
