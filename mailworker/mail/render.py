"""A message as bytes (RFC 5322), ready for the wire or for a file.

Works on whatever has `message()`: ours, subclasses that override it, Django's. The bytes are those that `message()`
makes, 8-bit text included; where a server takes seven bits only, `to_7bit` makes them fit. What cannot be rendered
raises what `message()` raises.
"""

from __future__ import annotations

import re
from email.generator import BytesGenerator
from email.message import Message
from io import BytesIO
from typing import Any

from mailworker.mail.check import check_headers
from mailworker.mail.identity import freeze_identity
from mailworker.mail.seven_bit import is_7bit, is_8bit_clean, to_7bit

__all__ = ["flatten", "freeze_identity", "is_7bit", "is_8bit_clean", "render", "to_7bit"]

_LINE_END = re.compile(rb"\r\n|\r|\n")


def render(message: Any) -> bytes:
    """Return the message as bytes with CRLF line ends (RFC 5322 §2.1), as the SMTP backends send it.

    Args:
        message: an `EmailMessage` or anything with `message()`.

    Raises:
        BadHeaderError: a header could break out of its line.
        TypeError: `message()` returned something that is no `email.message.Message`.
    """
    if hasattr(message, "extra_headers"):
        check_headers(message)
    return with_crlf(flatten(message.message(), "\r\n"))


def flatten(mime: Any, linesep: str = "\n") -> bytes:
    """Return a MIME tree as bytes, with "From " lines left alone.

    Args:
        mime: what `message()` returned. An `as_bytes(linesep=...)` of its own, as in Django's Safe classes, is used.
        linesep: what ends a line.

    Raises:
        TypeError: it is no `email.message.Message`.
    """
    own = getattr(type(mime), "as_bytes", None)
    if own is None:
        raise TypeError(f"message() returned {type(mime).__name__}: expected an email.message.Message")
    if own is not Message.as_bytes:
        try:
            return bytes(mime.as_bytes(linesep=linesep))
        except TypeError:
            if not isinstance(mime, Message):
                return bytes(mime.as_bytes())
    out = BytesIO()
    BytesGenerator(out, mangle_from_=False).flatten(mime, linesep=linesep)
    return out.getvalue()


def with_crlf(content: bytes) -> bytes:
    """Return the content with CRLF in place of each CR or LF that stands alone."""
    pairs = content.count(b"\r\n")
    if content.count(b"\n") == pairs and content.count(b"\r") == pairs:
        return content
    return _LINE_END.sub(b"\r\n", content)
