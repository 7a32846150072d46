"""Who wants no bulk mail: asked when a bulk is started, and by the worker again before it sends.

There may be a list for all bulks (MAILWORKER_SUPPRESSION) and one for a bulk of its own; each is a file of addresses and
domains, or a function of the project's that says yes or no to an address. Who stands in one of them gets nothing. A list that
cannot be asked is an error, and never a yes or a no.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from mailworker.errors import ConfigurationError, MailworkerError, SuppressionUnavailable
from mailworker.mail.bulk_note import BulkNote
from mailworker.mail.project_function import imported
from mailworker.mail.suppression_list import SuppressionFile, SuppressionList
from mailworker.settings import Settings

_SETTING = "MAILWORKER_SUPPRESSION"

_EXPECTED = "expected a function as 'shop.mail:is_suppressed', or the path of a file"

#: "module:function"; a file of that name can be called ./module:function.
_FUNCTION = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")

#: What a call may give: where a list is, a function, or the addresses and domains themselves.
Suppress = str | os.PathLike[str] | Callable[[str], Any] | Iterable[str]


class _Source(Protocol):
    def holds(self, address: str) -> bool: ...


class Suppression:
    """All lists that count for a bulk.

    Args:
        sources: the lists.
    """

    def __init__(self, sources: Sequence[_Source] = ()) -> None:
        self._sources = tuple(sources)

    @classmethod
    def for_enqueue(cls, conf: Settings, suppress: Suppress | None) -> Suppression:
        """Return what is asked when a bulk is started.

        Args:
            conf: the settings.
            suppress: the list of this bulk alone.

        Raises:
            ConfigurationError: there is no such function.
            SuppressionUnavailable: a file cannot be read, or an entry is neither an address nor a domain.
            TypeError: what was given is no list.
        """
        sources = _of_setting(conf.MAILWORKER_SUPPRESSION)
        if suppress is not None:
            sources.append(_source(suppress, "suppress"))
        for source in sources:
            if isinstance(source, SuppressionFile):
                # Read now: one that cannot be read is told before anything is begun.
                source.holds("")
        return cls(sources)

    @classmethod
    def for_worker(cls, conf: Settings, note: str) -> Suppression:
        """Return what is asked before a mail of a bulk is sent; it costs next to nothing to ask for it again.

        Args:
            conf: the settings.
            note: of the bulk's plan.

        Raises:
            SuppressionUnavailable: a list is not there, or the note cannot be read.
        """
        return cls(_sources_of_worker(conf.MAILWORKER_SUPPRESSION, note))

    def __bool__(self) -> bool:
        """False if there is no list."""
        return bool(self._sources)

    def holds(self, address: str) -> bool:
        """Tell whether an address wants no mail.

        Args:
            address: bare, as on the envelope; the case of its letters does not matter.

        Raises:
            SuppressionUnavailable: a list cannot be asked.
        """
        return any(source.holds(address) for source in self._sources)


def named(suppress: Suppress | None) -> str:
    """Return a list as a worker finds it again: an absolute path, or "module:function"; "" for none, or one that has no name."""
    if isinstance(suppress, str) and _FUNCTION.fullmatch(suppress):
        return suppress
    if isinstance(suppress, str | os.PathLike):
        return str(Path(suppress).absolute())
    if callable(suppress):
        name = f"{getattr(suppress, '__module__', '')}:{getattr(suppress, '__qualname__', '')}"
        # Of a script that is run, or made inside a function: no other process can import it.
        return name if _FUNCTION.fullmatch(name) and not name.startswith("__main__:") else ""
    return ""


class _Function:
    """A function of the project's.

    Args:
        ask: what tells whether an address wants no mail.
        shown: its name.
    """

    def __init__(self, ask: Callable[[str], Any], shown: str) -> None:
        self._ask = ask
        self._shown = shown

    def holds(self, address: str) -> bool:
        try:
            return bool(self._ask(address.lower()))
        except Exception as error:
            # Its words may hold the address.
            raise SuppressionUnavailable(
                f"{self._shown}, which tells who wants no mail, raised {type(error).__name__}"
            ) from error


def _of_setting(given: Suppress | None) -> list[_Source]:
    return [] if given is None else [_source(given, _SETTING)]


@lru_cache(maxsize=64)
def _sources_of_worker(given: Suppress | None, note: str) -> tuple[_Source, ...]:
    try:
        sources = _of_setting(given)
        own = BulkNote.decode(note).suppress
        if own:
            sources.append(_source(own, "suppress"))
    except ValueError as error:
        # Our own words of a setting; those of a note that is no JSON would show it.
        why = str(error) if isinstance(error, MailworkerError) else "the note of the bulk cannot be read"
        raise SuppressionUnavailable(why) from None
    return tuple(sources)


def _source(given: Any, option: str) -> _Source:
    if isinstance(given, str) and _FUNCTION.fullmatch(given):
        return _imported(given, option)
    if isinstance(given, str | os.PathLike):
        return _file(Path(given).absolute())
    if callable(given):
        return _function(given, option, getattr(given, "__qualname__", type(given).__name__))
    if isinstance(given, Iterable) and not isinstance(given, bytes | bytearray):
        return SuppressionList(_texts(given), "suppress=")
    raise TypeError(
        f"{option} is {type(given).__name__}: expected a path, 'module:function', a function, or addresses and domains"
    )


def _texts(given: Iterable[str]) -> Iterable[str]:
    for each in given:
        if not isinstance(each, str):
            raise TypeError(
                f"suppress= has a value of type {type(each).__name__}: expected addresses and domains as text"
            )
        yield each


# One for a process and file, however many bulks ask it: each would read it again.
@lru_cache(maxsize=64)
def _file(path: Path) -> SuppressionFile:
    return SuppressionFile(path)


@lru_cache(maxsize=64)
def _imported(path: str, option: str) -> _Function:
    return _function(imported(path, option, _EXPECTED), option, path)


def _function(found: Any, option: str, shown: str) -> _Function:
    if inspect.isclass(found) or not callable(found) or inspect.iscoroutinefunction(found):
        raise ConfigurationError(f"{option} is {shown!r}, which is no function that takes an address; {_EXPECTED}")
    return _Function(found, shown)
