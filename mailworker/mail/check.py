"""May this message be handed over? The checks that the caller hears of, before anything is opened or queued.

They look at the message's fields and render nothing. They hold for any object that is shaped like an `EmailMessage`,
Django's included, and for subclasses that render themselves. What is wrong raises: `BadHeaderError` for a header that
could break out of its line, `InvalidAddress` for the envelope, `LookupError` for a charset that does not exist.
"""

from __future__ import annotations

import codecs
from email.charset import Charset
from email.errors import CharsetError
from email.message import Message
from functools import lru_cache
from typing import Any

from mailworker.errors import BadHeaderError
from mailworker.mail.address import envelope_recipients, envelope_sender
from mailworker.mail.header import ADDRESS_HEADERS, check_name, check_part_value, check_value

#: Fields that follow from the body. Given in `headers` as well they would stand there twice, which relays refuse.
_BODY_HEADERS = frozenset({"content-type", "content-transfer-encoding"})


def check_message(message: Any) -> None:
    """Check headers, envelope and charset of a message.

    Args:
        message: an `EmailMessage` or anything shaped like it.

    Raises:
        BadHeaderError: see `check_headers`.
        InvalidAddress: the sender or a recipient is no address that an envelope can carry.
        LookupError: `encoding` names no charset.
    """
    check_headers(message)
    envelope_sender(message)
    envelope_recipients(message)
    encoding = getattr(message, "encoding", None)
    if encoding:
        _check_charset(encoding)


def check_headers(message: Any) -> None:
    """Check everything of a message that ends up in a header.

    Raises:
        BadHeaderError: a name is no RFC 5322 field name, a value could break out of its line, or `headers` holds a
            field that the body decides on.
        TypeError: a string stands where a list of addresses belongs.
    """
    for name, value in message.extra_headers.items():
        lower = check_name(name).lower()
        check_value(str(name), value, is_address=lower in ADDRESS_HEADERS)
        if lower in _BODY_HEADERS or (lower == "mime-version" and str(value).strip() != "1.0"):
            raise BadHeaderError(
                f"{name} stands in headers, but follows from the body: use content_subtype, encoding, alternatives or attachments"
            )
    check_value("subject", message.subject)
    check_value("from_email", message.from_email, is_address=True)
    for field in ("to", "cc", "bcc", "reply_to"):
        addresses = getattr(message, field, None) or ()
        check_is_list(field, addresses)
        for address in addresses:
            check_value(field, address, is_address=True)
    for field in ("content_subtype", "mixed_subtype", "alternative_subtype", "encoding"):
        check_value(field, getattr(message, field, None) or "")
    for alternative in getattr(message, "alternatives", None) or ():
        check_value("an alternative's mimetype", alternative[1])
    for attachment in getattr(message, "attachments", None) or ():
        _check_attachment(attachment)


def check_is_list(name: str, addresses: Any) -> None:
    """Check that a list of addresses is none of letters.

    Raises:
        TypeError: it is a string.
    """
    if addresses and isinstance(addresses, str | bytes):
        raise TypeError(f"{name} is a string: expected a list or tuple of addresses, write {name}=[address]")


def _check_attachment(attachment: Any) -> None:
    if isinstance(attachment, Message):
        _check_part(attachment)
        return
    filename, content, *mimetype = attachment
    check_value("an attachment's name", filename or "")
    if mimetype:
        check_value("an attachment's mimetype", mimetype[0] or "")
    if isinstance(content, Message):
        _check_part(content)
    elif hasattr(content, "extra_headers"):
        check_headers(content)


def _check_part(part: Message) -> None:
    for each in part.walk():
        for name, value in each.raw_items():
            check_name(name)
            check_part_value(name, value)


@lru_cache(maxsize=64)
def _is_charset(name: str) -> bool:
    try:
        codecs.lookup(Charset(name).output_codec or "us-ascii")
    except (LookupError, CharsetError, ValueError):
        return False
    return True


def _check_charset(encoding: Any) -> None:
    name = (encoding.output_codec or "us-ascii") if isinstance(encoding, Charset) else str(encoding)
    if not _is_charset(name):
        raise LookupError(f"encoding is {name!r}: no charset that Python knows; expected one such as utf-8")
