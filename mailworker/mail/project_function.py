"""Something of the project's, found by its path: "package.module:name" or "package.module.name".

It fails with `ConfigurationError`; the words of an exception of the project's are not repeated.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import Any

from mailworker.errors import ConfigurationError


def imported(path: str, option: str, expected: str) -> Any:
    """Return what stands at a path.

    Args:
        path: where it is.
        option: whose value the path is, for the error's text.
        expected: what it should be, for the same: "expected ...".

    Raises:
        ConfigurationError: there is nothing, or importing the module fails.
    """
    module, _, name = path.partition(":") if ":" in path else path.rpartition(".")
    failure = f"{option} is {path!r}: "
    try:
        found: Any = import_module(module)
    except ModuleNotFoundError as error:
        if f"{module}.".startswith(f"{error.name}."):
            raise ConfigurationError(f"{failure}there is no module {error.name!r}; {expected}") from error
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
            hint = f"did you mean {close[0]!r}?" if close else expected
            raise ConfigurationError(f"{failure}there is no {part!r} in {module}; {hint}") from None
    return found
