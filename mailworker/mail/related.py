"""Parts that the HTML of a message shows: an image with a Content-ID that `cid:` in it refers to (RFC 2392).

They stand beside the HTML in a multipart/related (RFC 2387), inside the alternatives, where mail programs look for them; among the
attachments many show them a second time, as files. A part that no HTML refers to is an attachment like any other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.charset import Charset
from email.message import Message
from typing import Any

from mailworker.mail.attachment import fitting
from mailworker.mail.mime import SafeMIMEMultipart

_REFERENCE = re.compile(r"""\bcid:([^"'<>()\s]+)""", re.IGNORECASE)


def with_related(page: Message, html: Any, attachments: Sequence[Any], encoding: str | Charset) -> Message:
    """Return an HTML part together with what it shows; itself if that is nothing.

    Args:
        page: the part.
        html: its text.
        attachments: of the message.
        encoding: of the message.
    """
    candidates = [part for part in attachments if isinstance(part, Message) and _content_id(part)]
    if not candidates:
        return page
    wanted = set(_REFERENCE.findall(str(html)))
    shown = [part for part in candidates if _content_id(part) in wanted]
    if not shown:
        return page
    container = SafeMIMEMultipart(_subtype="related", encoding=encoding)
    container.set_param("type", page.get_content_type())
    container.attach(page)
    for part in shown:
        container.attach(fitting(part))
    return container


def unrelated(attachments: Sequence[Any], rendered: Message) -> list[Any]:
    """Return the attachments that are not within what is rendered already."""
    if not any(isinstance(each, Message) for each in attachments):
        return list(attachments)
    inside = {_content_id(part) for part in rendered.walk()} - {""}
    return [each for each in attachments if not (isinstance(each, Message) and _content_id(each) in inside)]


def _content_id(part: Message) -> str:
    return str(part.get("Content-ID") or "").strip().removeprefix("<").removesuffix(">")
