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
from pathlib import Path
from typing import Any, NamedTuple

from mailworker.mail.header import check_value
from mailworker.mail.mime import SafeMIMEMessage, SafeMIMEText
from mailworker.mail.value import is_text

#: The type of an attachment that is not given and cannot be guessed.
DEFAULT_ATTACHMENT_MIME_TYPE = "application/octet-stream"


#: What holds bytes.
BINARY = (bytes, bytearray, memoryview)


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
        filename: its name, or None; of a path, the last part.
        content: bytes, text, or for message/rfc822 a message.
        mimetype: "type/subtype"; None = guessed from the name.

    Raises:
        ValueError: the type is none.
    """
    if isinstance(filename, os.PathLike):
        # Where the file lies on our disk is nobody's business.
        filename = Path(os.fspath(filename)).name
    mimetype = mimetype or guessed_type(filename)
    if split_type(mimetype)[0] == "text" and isinstance(content, BINARY):
        try:
            content = bytes(content).decode()
        except UnicodeDecodeError:
            # It is called text and is not: bytes are kept, the name is corrected.
            mimetype = DEFAULT_ATTACHMENT_MIME_TYPE
    return EmailAttachment(filename, content, mimetype)


def guessed_type(filename: Any) -> str:
    """Return the MIME type that goes with a file's name."""
    guess = mimetypes.guess_type(str(filename))[0]
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
    built.set_payload(_source(content))
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


def check_type(content: Any, mimetype: str) -> None:
    """Check that content and type go together, as far as the type tells.

    Raises:
        TypeError: it is bytes, as text/*.
        ValueError: the type is none.
    """
    if split_type(mimetype)[0] == "text" and isinstance(content, BINARY):
        raise TypeError("the content of a text part is bytes: expected str; decode it, or use attach(), which does")


def _text(content: Any) -> str:
    check_type(content, "text/plain")
    if not is_text(content):
        raise TypeError(f"the content of a text part is {type(content).__name__}: expected str")
    return str(content)


def _source(content: Any) -> bytes:
    if isinstance(content, BINARY):
        return bytes(content)
    if not is_text(content):
        raise TypeError(
            f"the content of an attachment is {type(content).__name__}: expected bytes or str; of a file, what it holds"
        )
    return str(content).encode()


def _message(content: Any) -> Message:
    if isinstance(content, Message):
        return fitting(content)
    if callable(getattr(content, "message", None)):
        return fitting(content.message())
    return message_from_bytes(_source(content))


def fitting(part: Message) -> Message:
    """Return a part that can stand in a message of ours: itself, or the same in the standard library's older form.

    Django 6 attaches parts of the modern API (`MIMEPart`). Their headers are structured, and a generator that writes
    the message around them in the older form would encode such a header as a whole, parameters and all.

    Args:
        part: what somebody attached.
    """
    return message_from_bytes(part.as_bytes()) if isinstance(part.policy, EmailPolicy) else part
