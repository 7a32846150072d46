"""Whether a message is too heavy to be composed in an event loop's thread.

Checking and encoding takes as long as there is content; up to some 64 KiB that is less than the loop's other work. What cannot
be told without doing it (a lazy text, a finished MIME part, a class that renders by itself) counts as heavy. Wrong guesses cost a
moment, never a mail.
"""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

from mailworker.mail.message import EmailMessage, EmailMultiAlternatives

#: Octets, or characters, of content.
_HEAVY = 65536

#: Addresses and headers, each of which is parsed or folded.
_MANY = 100

#: Attributes of a message that are weighed by name.
_WEIGHED = frozenset(
    {
        *("subject", "body", "from_email", "to", "cc", "bcc", "reply_to", "extra_headers"),
        *("attachments", "alternatives", "connection", "_connection", "outcomes"),
    }
)

#: Classes that do nothing of their own.
_OWN = frozenset({EmailMessage, EmailMultiAlternatives})


def is_heavy(message: Any) -> bool:
    """Tell whether a thread should compose a message."""
    if type(message) not in _OWN or "message" in vars(message) or "recipients" in vars(message):
        return True
    named = (message.to, message.cc, message.bcc, message.reply_to, message.extra_headers)
    if sum(len(one) for one in named if isinstance(one, Sized)) > _MANY:
        return True
    contents = [message.subject, message.body, *(content for content, *_ in getattr(message, "alternatives", ()))]
    contents += [attachment[1] if isinstance(attachment, tuple) else None for attachment in message.attachments]
    total = 0
    for content in contents:
        if not isinstance(content, str | bytes):
            return True
        total += len(content)
    return total > _HEAVY or len(contents) > _MANY or _has_much_beside(message)


def _has_much_beside(message: Any) -> bool:
    """Tell whether what is hung on a message is more than a few words: merge data for each of its recipients, for instance."""
    waiting = [value for name, value in vars(message).items() if name not in _WEIGHED]
    for _ in range(_MANY):
        if not waiting:
            return False
        value = waiting.pop()
        if isinstance(value, str | bytes):
            if len(value) > _HEAVY // _MANY:
                return True
        elif isinstance(value, dict | list | tuple | set | frozenset):
            if len(value) > _MANY:
                return True
            waiting += value.values() if isinstance(value, dict) else value
    return True
