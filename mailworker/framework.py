"""What a web framework around mailworker does for it: its Celery app, its kind of message, and order in its database.

A contrib module says it once, when its framework starts; until then, and without a framework, nothing is done. Nothing here
imports a framework or Celery: the functions do, when they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery import Celery

    from mailworker.outcome import Outcome


def _no_app() -> Celery | None:
    return None


def _as_it_is(backend: Any, message: Any) -> Any:
    return message


def _says_nothing(message: Any, recipients: tuple[str, ...], error: BaseException | None) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """What to ask of a framework.

    Attributes:
        celery_app: returns the project's Celery app, None if it has none.
        around_batch: gives a context for a batch of mails in a worker: the user's code runs in it, in backends and signals.
        lent: given a backend of another project and a decoded message, returns the message as that backend expects it.
        answer: given the message that `lent` returned, its envelope's recipients and what the backend raised (None:
            nothing), returns the outcomes that the message itself tells of, None if it tells of none.
    """

    celery_app: Callable[[], Celery | None] = _no_app
    around_batch: Callable[[], AbstractContextManager[Any]] = nullcontext
    lent: Callable[[Any, Any], Any] = _as_it_is
    answer: Callable[[Any, tuple[str, ...], BaseException | None], Mapping[str, Outcome] | None] = _says_nothing


_NONE = Framework()
_current = _NONE


def current() -> Framework:
    """Return the framework of this process; one that does nothing if there is none."""
    return _current


def is_there() -> bool:
    """Tell whether this process has a framework."""
    return _current is not _NONE


def use(framework: Framework | None) -> None:
    """Say which framework this process has.

    Args:
        framework: it; None = none.
    """
    global _current
    _current = framework or _NONE
