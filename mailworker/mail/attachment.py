"""Attachments and alternatives: what they are, and which MIME part each becomes.

The transfer encoding follows from the type: text as `mailworker.mail.mime` does it, message/rfc822 as it is
(RFC 2046 §5.2.1 forbids base64 there), everything else base64. Content that is neither text nor bytes is a `TypeError`.
"""

from __future__ import annotations

import mimetypes
import os
from email import encoders, message_from_bytes
from email.charset import Charset
from email.message import Message
from email.mime.base import MIMEBase
from email.policy import EmailPolicy
from typing import Any, NamedTuple

from mailworker.mail.header import check_value
from mailworker.mail.mime import SafeMIMEMessage, SafeMIMEText

#: The type of an attachment that is not given and cannot be guessed.
DEFAULT_ATTACHMENT_MIME_TYPE = "application/octet-stream"


class EmailAlternative(NamedTuple):
    """Another representation of a message's body."""

    content: Any
    mimetype: str


class EmailAttachment(NamedTuple):
    """A file that goes with a message."""

    filename: str | None
    content: Any
    mimetype: str


def attachment(filename: Any, content: Any, mimetype: str | None) -> EmailAttachment:
    """Settle an attachment's type, and decode its content if that is text.

    Args:
        filename: its name, or None.
        content: bytes, text, or for message/rfc822 a message.
        mimetype: "type/subtype"; None = guessed from the name.

    Raises:
        ValueError: the type is none.
    """
    mimetype = mimetype or guessed_type(filename)
    if split_type(mimetype)[0] == "text" and isinstance(content, bytes):
        try:
            content = content.decode()
        except UnicodeDecodeError:
            # It is called text and is not: bytes are kept, the name is corrected.
            mimetype = DEFAULT_ATTACHMENT_MIME_TYPE
    return EmailAttachment(filename, content, mimetype)


def guessed_type(filename: Any) -> str:
    """Return the MIME type that goes with a file's name."""
    guess = mimetypes.guess_type(os.fspath(filename) if isinstance(filename, os.PathLike) else str(filename))[0]
    return (filename and guess) or DEFAULT_ATTACHMENT_MIME_TYPE


def split_type(mimetype: str) -> tuple[str, str]:
    """Return type and subtype.

    Raises:
        ValueError: there is no slash between two names.
    """
    main, slash, sub = str(mimetype).partition("/")
    if not (slash and main and sub):
        raise ValueError(f"mimetype is {mimetype!r}: expected type/subtype, such as application/pdf")
    return main, sub


def part(content: Any, mimetype: str, encoding: str | Charset) -> Message:
    """Build the MIME part of an alternative or attachment, without a name.

    Args:
        content: text, bytes, or for message/rfc822 a message: ours, Django's, the standard library's, or its source.
        mimetype: "type/subtype".
        encoding: charset of text.

    Raises:
        BadHeaderError: the type holds a line break.
        TypeError: the content is neither text nor bytes.
        ValueError: the type is none.
    """
    main, sub = split_type(check_value("mimetype", mimetype))
    if main == "text":
        return SafeMIMEText(_text(content), sub, encoding)
    if (main, sub) == ("message", "rfc822"):
        return SafeMIMEMessage(_message(content), sub)
    built = MIMEBase(main, sub)
    # Django hands text to the email package, which writes what is not Latin-1 as the six characters "\\u65e5".
    built.set_payload(content if isinstance(content, bytes) else _source(content))
    encoders.encode_base64(built)
    return built


def named_part(filename: Any, content: Message) -> Message:
    """Give a part the name under which it is saved (RFC 2183), beyond ASCII as RFC 2231 has it.

    Raises:
        BadHeaderError: the name holds a line break.
    """
    name = check_value("an attachment's name", filename)
    content.add_header("Content-Disposition", "attachment", filename=name if name.isascii() else ("utf-8", "", name))
    return content


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, bytes | bytearray | memoryview):
        raise TypeError("the content of a text part is bytes: expected str; decode it, or use attach(), which does")
    return str(content)


def _source(content: Any) -> bytes:
    if isinstance(content, bytes | bytearray | memoryview):
        return bytes(content)
    if content is None or isinstance(content, int | float | Message) or hasattr(content, "read"):
        raise TypeError(f"the content of an attachment is {type(content).__name__}: expected bytes or str")
    return str(content).encode()


def _message(content: Any) -> Message:
    if isinstance(content, Message):
        return content
    if callable(getattr(content, "message", None)):
        built: Message = content.message()
        return built
    return message_from_bytes(_source(content))


def fitting(part: Message) -> Message:
    """Return a part that can stand in a message of ours: itself, or the same in the standard library's older form.

    Django 6 attaches parts of the modern API (`MIMEPart`). Their headers are structured, and a generator that writes
    the message around them in the older form would encode such a header as a whole, parameters and all.

    Args:
        part: what somebody attached.
    """
    return message_from_bytes(part.as_bytes()) if isinstance(part.policy, EmailPolicy) else part
