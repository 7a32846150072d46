"""Alternatives of type text/* that are bytes: Django takes them from 6.0 on (an iCalendar file, mostly), and reads them as UTF-8.

What is no UTF-8 stays as it is, and is refused as everywhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.mail.message import EmailAlternative


@contextmanager
def decoded(messages: Iterable[Any]) -> Iterator[None]:
    """Give messages such alternatives as text for as long as the body runs; the caller's own come back.

    Args:
        messages: of any class.
    """
    own = {id(message): (message, message.alternatives) for message in messages if _has_bytes(message)}
    try:
        for message, alternatives in own.values():
            message.alternatives = [_decoded(each) if _is_bytes(each) else each for each in alternatives]
        yield
    finally:
        for message, alternatives in own.values():
            message.alternatives = alternatives


def _has_bytes(message: Any) -> bool:
    return any(map(_is_bytes, getattr(message, "alternatives", None) or ()))


def _is_bytes(alternative: Any) -> bool:
    return len(alternative) == 2 and isinstance(alternative[0], bytes) and str(alternative[1]).startswith("text/")


def _decoded(alternative: Any) -> Any:
    content, mimetype = alternative
    try:
        return EmailAlternative(content.decode(), mimetype)
    except UnicodeDecodeError:
        return alternative
