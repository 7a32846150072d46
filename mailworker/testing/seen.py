"""One look at a message for assertions, whatever class it is of: ours, Django's, or one that a server received."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message
from email.utils import getaddresses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Seen:
    """What an assertion compares.

    Attributes:
        from_email: bare address of the sender.
        to: bare addresses, as `cc` and `bcc`.
        cc: who gets a copy.
        bcc: who gets a blind copy.
        subject: the subject line.
        text: the text body, "" if there is none.
        html: the HTML body, "" if there is none.
        attachments: names, "" for one that has none.
    """

    from_email: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    subject: str
    text: str
    html: str
    attachments: tuple[str, ...]


def seen(message: Any) -> Seen:
    """Look at a message.

    Args:
        message: an `EmailMessage` of ours or of Django's, or a `ReceivedMessage`.
    """
    text, html = _bodies(message)
    return Seen(
        from_email=next(iter(addresses([message.from_email])), ""),
        to=addresses(message.to),
        cc=addresses(message.cc),
        bcc=addresses(message.bcc),
        subject=str(message.subject),
        text=text,
        html=html,
        attachments=tuple(_name(each) for each in message.attachments),
    )


def addresses(values: Iterable[Any]) -> tuple[str, ...]:
    """Return the bare addresses of recipients, which may be texts with a name, or pairs of name and address."""
    found: list[str] = []
    for value in values:
        if isinstance(value, tuple):
            found.append(str(value[1]))
        else:
            found += [address for _, address in getaddresses([str(value)]) if address]
    return tuple(found)


def _bodies(message: Any) -> tuple[str, str]:
    if hasattr(message, "html"):
        return str(message.text), str(message.html)
    body = str(message.body)
    html = next(
        (str(content) for content, mimetype in getattr(message, "alternatives", ()) if mimetype == "text/html"), ""
    )
    return ("", body) if message.content_subtype == "html" else (body, html)


def _name(attachment: Any) -> str:
    if isinstance(attachment, Message):
        return attachment.get_filename() or ""
    return str((attachment[0] if isinstance(attachment, tuple) else attachment.name) or "")
