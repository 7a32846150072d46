"""Dotted paths of backends: our own, and what a path has to look like.

A path of the user's own is imported where a backend is built, not here: settings are read before the project is.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, ClassVar

from mailworker.settings.rule import BadValue, Rule, is_dotted

#: The backends that mailworker brings, by the name of their module.
BACKENDS = ("console", "dummy", "filebased", "locmem", "queue", "smtp")

_PACKAGE = "mailworker.mail.backends"


def backend_path(name: str) -> str:
    """Return the dotted path of one of our own backends."""
    return f"{_PACKAGE}.{name}.EmailBackend"


QUEUE_BACKEND = backend_path("queue")
#: The queue as Django's EMAIL_BACKEND: behind the commit.
DJANGO_QUEUE_BACKEND = "mailworker.contrib.django.EmailBackend"
#: What queues, and delivers nothing.
QUEUES = frozenset({QUEUE_BACKEND, DJANGO_QUEUE_BACKEND})
SMTP_BACKEND = backend_path("smtp")
FILE_BACKEND = backend_path("filebased")

#: Django's default: found in a source, it cannot be told from nothing having been said.
DJANGO_SMTP_BACKEND = "django.core.mail.backends.smtp.EmailBackend"


@dataclass(frozen=True)
class BackendPath(Rule):
    """The dotted path of a backend class; with `delivers`, one that gets rid of messages rather than queue them."""

    delivers: bool = False
    example: str = QUEUE_BACKEND
    expected: ClassVar[str] = "the dotted path of a backend class"

    def parse(self, value: Any) -> str:
        """Take a path of ours, or any dotted one of others."""
        if not isinstance(value, str) or "." not in value or not is_dotted(value):
            raise BadValue
        ours = [*(backend_path(name) for name in (*BACKENDS, "base")), DJANGO_QUEUE_BACKEND]
        if value.startswith("mailworker.") and value not in ours:
            close = difflib.get_close_matches(value, ours, n=1)
            raise BadValue(
                f"is {value!r}, which mailworker does not have: did you mean {close[0] if close else SMTP_BACKEND}?"
            )
        if self.delivers and value in QUEUES:
            raise BadValue(
                f"is the queue itself, but must be what the worker delivers with: write {SMTP_BACKEND}, and put the "
                "queue into EMAIL_BACKEND"
            )
        return value
