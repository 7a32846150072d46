"""A message as bytes (RFC 5322), ready for the wire or for a file.

Works on whatever has `message()`: ours, subclasses that override it, Django's. The bytes are those that `message()`
makes, 8-bit text included; `mailworker.mail.seven_bit` makes them fit where a server takes seven bits only. The common
messages come to the same bytes on a shorter way (`mailworker.mail.direct`). What cannot be rendered raises what
`message()` raises.
"""

from __future__ import annotations

from email import errors
from email.errors import HeaderParseError, MessageError
from email.generator import BytesGenerator
from email.message import Message
from io import BytesIO
from typing import Any

from mailworker.errors import BadHeaderError
from mailworker.mail.check import check_headers

#: What the email package raises for a header that would end in the middle; newer Pythons have a class of their own for it.
_BROKEN_HEADER: tuple[type[MessageError], ...] = (
    HeaderParseError,
    getattr(errors, "HeaderWriteError", HeaderParseError),
)


def render(message: Any) -> bytes:
    """Return the message as bytes with CRLF line ends (RFC 5322 §2.1), as the SMTP backends send it.

    Args:
        message: an `EmailMessage` or anything with `message()`.

    Raises:
        BadHeaderError: a header could break out of its line.
        TypeError: `message()` returned something that is no `email.message.Message`.
    """
    # Here and not above: a process that enqueues renders for no wire.
    from mailworker.mail import direct
    from mailworker.smtp.content import with_crlf

    common = direct.rendered(message)
    if common is not None:
        return common
    if hasattr(message, "extra_headers"):
        check_headers(message)
    return with_crlf(flatten(message.message(), "\r\n"))


def flatten(mime: Any, linesep: str = "\n") -> bytes:
    """Return a MIME tree as bytes, with "From " lines left alone.

    Args:
        mime: what `message()` returned. An `as_bytes(linesep=...)` of its own, as in Django's Safe classes, is used.
        linesep: what ends a line.

    Raises:
        BadHeaderError: a header of it breaks out of its line.
        TypeError: it is no `email.message.Message`.
    """
    try:
        return _flattened(mime, linesep)
    except _BROKEN_HEADER as error:
        # A part that somebody built from plain MIME classes; its text would show the header.
        raise BadHeaderError(
            f"a header of the message holds a line break ({type(error).__name__}); take it out"
        ) from None


def _flattened(mime: Any, linesep: str) -> bytes:
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
