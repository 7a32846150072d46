"""The function that gives access tokens, found by its path when a backend is built.

It decides whether there is one that can be called as it will be; what it returns is looked at when it is called
(`mailworker.smtp.access_token`). It fails with `ConfigurationError`; a value that may be a token itself is not repeated, nor
are the words of an exception of the project's.
"""

from __future__ import annotations

import difflib
import inspect
from importlib import import_module
from typing import Any

from mailworker.errors import ConfigurationError
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
        found, shown = _imported(value, option), repr(value)
    why = _unfit(found)
    if why:
        raise ConfigurationError(f"{option} is {shown}, which {why}; {_EXPECTED}")
    function: TokenFunction = found
    return function


def _imported(path: str, option: str) -> Any:
    module, _, name = path.partition(":") if ":" in path else path.rpartition(".")
    failure = f"{option} is {path!r}: "
    try:
        found: Any = import_module(module)
    except ModuleNotFoundError as error:
        if f"{module}.".startswith(f"{error.name}."):
            raise ConfigurationError(f"{failure}there is no module {error.name!r}; {_EXPECTED}") from error
        raise ConfigurationError(
            f"{failure}it needs the module {error.name!r}, which is not there: install it"
        ) from error
    except Exception as error:  # noqa: BLE001 - importing the project's module runs it
        text = f"{failure}importing {module} raised {type(error).__name__}: see that python -c 'import {module}' works"
        raise ConfigurationError(text) from None
    for part in name.split("."):
        holder = found
        try:
            found = getattr(holder, part)
        except AttributeError:
            close = difflib.get_close_matches(part, dir(holder), n=1)
            hint = f"did you mean {close[0]!r}?" if close else _EXPECTED
            raise ConfigurationError(f"{failure}there is no {part!r} in {module}; {hint}") from None
    return found


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
