"""Renders a message in both ways, directly and by the standard library, with the same boundaries."""

from __future__ import annotations

import random
from typing import Any

from mailworker import mail
from mailworker.mail import direct
from mailworker.mail.render import flatten
from mailworker.smtp.content import with_crlf

FIXED = {
    "Date": "Thu, 01 Jan 2026 00:00:00 -0000",
    "Message-ID": "<1767225600000.0123456789abcdef01234567@example.com>",
}


def standard(message: Any) -> bytes:
    return with_crlf(flatten(message.message(), "\r\n"))


def both(message: Any) -> tuple[bytes | None, bytes | Exception]:
    """Render directly, then by the standard library; both make up the same boundaries."""
    state = random.getstate()
    directly = direct.rendered(message)
    random.setstate(state)
    try:
        return directly, standard(message)
    except Exception as error:  # noqa: BLE001 - where one raises the other says None
        return directly, error


def assert_direct(message: Any) -> bytes:
    directly, expected = both(message)
    assert directly is not None
    assert directly == expected
    return directly


def message(**kwargs: Any) -> mail.EmailMultiAlternatives:
    given: dict[str, Any] = {
        "subject": "Your order",
        "body": "It is on its way.\n",
        "from_email": "Shop <shop@example.com>",
        "to": ["ann@example.com"],
        "headers": FIXED,
    }
    return mail.EmailMultiAlternatives(**{**given, **kwargs})
