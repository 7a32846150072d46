"""May this message be handed over? The checks that the caller hears of, before anything is opened or queued.

They look at the message's fields and render nothing. They hold for any object that is shaped like an `EmailMessage`,
Django's included, and for subclasses that render themselves. What is wrong raises: `BadHeaderError` for a header that
could break out of its line, `InvalidAddress` for the envelope, `LookupError` for a charset that does not exist.
"""

from __future__ import annotations

import codecs
from collections.abc import Collection, Mapping
from email.charset import Charset
from email.errors import CharsetError
from email.message import Message
from functools import lru_cache
from typing import Any

from mailworker import settings
from mailworker.errors import BadHeaderError
from mailworker.mail.address import envelope_recipients, envelope_sender
from mailworker.mail.attachment import check_type
from mailworker.mail.header import ADDRESS_HEADERS, check_name, check_part_value, check_value, is_plain

#: Charsets in which every text can be written.
_TAKES_ALL = frozenset({"utf-8", "utf8"})
#: Fields that become parts of a header, with what nearly all messages have there.
_USUAL = {"content_subtype": "plain", "mixed_subtype": "mixed", "alternative_subtype": "alternative", "encoding": None}
#: Levels of messages and parts inside each other.
_MAX_DEPTH = 64
#: Fields that follow from the body. Given in `headers` as well they would stand there twice, which relays refuse.
_BODY_HEADERS = frozenset({"content-type", "content-transfer-encoding"})


def check_message(message: Any) -> list[str]:
    """Check headers, envelope and charset of a message.

    Args:
        message: an `EmailMessage` or anything shaped like it.

    Returns:
        The recipients of its envelope.

    Raises:
        BadHeaderError: see `check_headers`.
        InvalidAddress: the sender or a recipient is no address that an envelope can carry.
        LookupError: `encoding` names no charset.
        UnicodeEncodeError: its charset has not all the characters of the message.
        TypeError, ValueError: an attachment's or alternative's type is none, or does not go with its content.
    """
    check_headers(message)
    envelope_sender(message)
    recipients = envelope_recipients(message)
    encoding = getattr(message, "encoding", None)
    if encoding:
        _check_charset(encoding)
    for content, mimetype in getattr(message, "alternatives", None) or ():
        check_type(content, mimetype)
    for attachment in getattr(message, "attachments", None) or ():
        if not isinstance(attachment, Message) and len(attachment) == 3 and attachment[2]:
            check_type(*attachment[1:])
    if _is_unusual(message, encoding):
        message.message()
    return recipients


def _is_unusual(message: Any, encoding: Any) -> bool:
    """Tell whether only rendering tells whether a message can be rendered: what most messages are spared."""
    if isinstance(encoding, Charset) or str(encoding or settings.current().DEFAULT_CHARSET).lower() not in _TAKES_ALL:
        return True
    shown = [*(getattr(message, "reply_to", None) or ())]
    shown += [value for name, value in message.extra_headers.items() if str(name).lower() in ADDRESS_HEADERS]
    return not all(str(value).isascii() for value in shown)


def check_headers(message: Any, depth: int = 0) -> None:
    """Check everything of a message that ends up in a header.

    Args:
        message: an `EmailMessage` or anything shaped like it.
        depth: how many messages are around it.

    Raises:
        BadHeaderError: a name is no RFC 5322 field name, a value could break out of its line, or `headers` holds a
            field that the body decides on.
        TypeError: something else stands where addresses, headers, attachments or alternatives belong.
        ValueError: it is attached to itself, or nested too deeply.
    """
    if depth > _MAX_DEPTH:
        raise ValueError(f"messages are attached to messages more than {_MAX_DEPTH} deep, or to themselves")
    if type(message.extra_headers) is not dict and not isinstance(message.extra_headers, Mapping):
        raise TypeError(f"extra_headers is {type(message.extra_headers).__name__}: expected a dict, name to value")
    for name, value in message.extra_headers.items():
        lower = check_name(name).lower()
        check_value(str(name), value, is_address=lower in ADDRESS_HEADERS)
        if lower in _BODY_HEADERS or (lower == "mime-version" and str(value).strip() != "1.0"):
            raise BadHeaderError(
                f"{name} stands in headers, but follows from the body: use content_subtype, encoding, alternatives or attachments"
            )
    if not _is_plain(message):
        check_value("subject", message.subject)
        _check_address("from_email", message.from_email)
        for field in ("to", "cc", "bcc", "reply_to"):
            _check_addresses(field, getattr(message, field, None) or ())
    _check_types(message)
    for alternative in getattr(message, "alternatives", None) or ():
        _check_alternative(alternative)
    for attachment in getattr(message, "attachments", None) or ():
        _check_attachment(attachment, depth)


def _check_types(message: Any) -> None:
    for field, usual in _USUAL.items():
        value = getattr(message, field, None)
        if value and value != usual:
            check_value(field, value)


def _is_plain(message: Any) -> bool:
    """Tell at one look that no subject or address could break out of its line: what nearly all messages are like.

    One search over all of them costs a fifth of one for each, and the caller of a queue waits for it.
    """
    lists = [getattr(message, field, None) or () for field in ("to", "cc", "bcc", "reply_to")]
    if not all(type(each) in (list, tuple) for each in lists):
        return False
    try:
        return is_plain(" ".join([message.subject, message.from_email, *(one for each in lists for one in each)]))
    except TypeError:
        # Something that is no text yet.
        return False


def _shape(value: Any) -> str:
    """Say what a value is without showing it."""
    name = type(value).__name__
    return f"{name} of {len(value)}" if isinstance(value, list | tuple) else name


def check_is_list(name: str, addresses: Any) -> None:
    """Check that addresses are a list, and not letters, or something that is empty after one look.

    Raises:
        TypeError: it is a string, or cannot be read twice.
    """
    if type(addresses) in (list, tuple):
        return
    check_is_no_string(name, addresses)
    if not isinstance(addresses, Collection):
        # A generator: the first who asks for the recipients would leave none to the next.
        raise TypeError(f"{name} is {type(addresses).__name__}: expected a list or tuple of addresses")


def check_is_no_string(name: str, addresses: Any) -> None:
    """Check that addresses are not letters.

    Raises:
        TypeError: it is a string.
    """
    if addresses and isinstance(addresses, str | bytes):
        raise TypeError(f"{name} is a string: expected a list or tuple of addresses, write {name}=[address]")


def _check_address(name: str, address: Any) -> None:
    if not isinstance(address, tuple):
        check_value(name, address, is_address=True)
        return
    for each in address:
        check_value(name, each, is_address=True)


def _check_addresses(name: str, addresses: Any) -> None:
    check_is_list(name, addresses)
    for address in addresses:
        _check_address(name, address)


def _check_alternative(alternative: Any) -> None:
    if not isinstance(alternative, list | tuple) or len(alternative) != 2:
        raise TypeError(f"an alternative is {_shape(alternative)}: expected EmailAlternative(content, mimetype)")
    check_value("an alternative's mimetype", alternative[1])


def _check_attachment(attachment: Any, depth: int) -> None:
    if isinstance(attachment, Message):
        _check_part(attachment)
        return
    if not isinstance(attachment, list | tuple) or len(attachment) not in (2, 3):
        raise TypeError(f"an attachment is {_shape(attachment)}: expected EmailAttachment(filename, content, mimetype)")
    filename, content, *mimetype = attachment
    check_value("an attachment's name", filename or "")
    if mimetype:
        check_value("an attachment's mimetype", mimetype[0] or "")
    if isinstance(content, Message):
        _check_part(content)
    elif hasattr(content, "extra_headers"):
        check_headers(content, depth + 1)


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
