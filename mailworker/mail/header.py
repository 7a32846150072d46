"""Header fields: what may stand in a name and a value, and how a value is encoded.

A value that could break out of its line is refused with `BadHeaderError`, before anything is rendered: CR, LF and NUL
always, and the ASCII characters at which Python's email package starts a new line by itself where the value would go
out as it is (`"a\\x0bBcc: x"` becomes two lines there). Encoding follows Django: RFC 2047 for text, and per mailbox for
fields that hold addresses (RFC 5322).
"""

from __future__ import annotations

import re
from email.charset import Charset
from email.header import Header
from email.utils import getaddresses
from typing import Any

from mailworker import settings
from mailworker.errors import BadHeaderError, InvalidAddress
from mailworker.mail.address import sanitize_address

#: Lower-case names of the fields whose values are addresses (RFC 5322 §3.6.2, §3.6.3, §3.6.6).
ADDRESS_HEADERS = frozenset(
    {
        *("from", "sender", "reply-to", "to", "cc", "bcc"),
        *("resent-from", "resent-sender", "resent-to", "resent-cc", "resent-bcc"),
    }
)

#: What is not ftext (RFC 5322 §3.6.8): printable ASCII but the colon.
_NOT_IN_NAME = re.compile(r"[^!-9;-~]")
_BREAK = re.compile(r"[\r\n\0]")
#: str.splitlines, which email.header calls, splits at these too. Beyond ASCII there are more, but those get encoded.
_ASCII_SPLIT = re.compile(r"[\x0b\x0c\x1c-\x1e]")
#: A line end that does not continue the field on the next line (RFC 5322 §2.2.3).
_UNFOLDED = re.compile(r"\r(?!\n)|\n(?![ \t])")

#: What stands in each message: looked at once for all of them.
_USUAL_NAMES = frozenset({"Date", "Message-ID"})

_SHOWN = {"\r": "a carriage return", "\n": "a line feed", "\0": "a NUL"}


def check_name(name: Any) -> str:
    """Return a field's name if it is one (RFC 5322 §2.2).

    Raises:
        BadHeaderError: it is not.
    """
    text = str(name)
    if text in _USUAL_NAMES:
        return text
    wrong = _NOT_IN_NAME.search(text)
    if wrong or not text:
        what = f"{text[: wrong.start()]!r} goes on with {wrong[0]!r}" if wrong else "is empty"
        raise BadHeaderError(f"a header name {what}: expected printable ASCII without spaces and colons (RFC 5322)")
    return text


def check_value(name: str, value: Any, *, is_address: bool = False) -> str:
    """Return a field's value as text if it stays on its line.

    Args:
        name: the field's name, for the error's text.
        value: text, or anything that `str` makes text of.
        is_address: it is taken apart before it is encoded, so that no part may hold a splitting character.

    Raises:
        BadHeaderError: it does not.
    """
    text = value if isinstance(value, str) else str(value)
    found = _BREAK.search(text) or ((is_address or text.isascii()) and _ASCII_SPLIT.search(text)) or None
    if found:
        what = _SHOWN.get(found[0], f"the control character {found[0]!r}")
        raise BadHeaderError(f"{name} holds {what} at position {found.start()}: a header is one line; take it out")
    return text


def is_plain(text: str) -> bool:
    """Tell whether a text is ASCII, and holds nothing that `check_value` refuses, also of an address."""
    return text.isascii() and not _BREAK.search(text) and not _ASCII_SPLIT.search(text)


def check_part_value(name: str, value: Any) -> None:
    """Check a field of a MIME part that the caller built or parsed: it may be folded, but not broken.

    Raises:
        BadHeaderError: a line of it would not continue the field.
    """
    text = str(value)
    lines = text.splitlines() if text.isascii() else re.split(r"\r\n|\r|\n", text)
    if _UNFOLDED.search(text) or any(not line.startswith((" ", "\t")) for line in lines[1:]):
        raise BadHeaderError(f"{name[:60]!r} of an attachment holds a line break; a header is one line, take it out")


def _pairs(name: str, text: str) -> list[tuple[str, str]]:
    try:
        return getaddresses((text,))
    except RecursionError:
        raise InvalidAddress(f"{name} is no list of addresses: it has hundreds of brackets inside each other") from None


def forbid_multi_line_headers(name: str, val: Any, encoding: str | Charset | None) -> tuple[str, str]:
    """Return a field ready to be set: name and value, the value encoded where it is not ASCII.

    Args:
        name: the field's name.
        val: its value; `str` of it is taken.
        encoding: charset of encoded words; None = `DEFAULT_CHARSET`.

    Raises:
        BadHeaderError: name or value could break out of the line.
        InvalidAddress: a field of addresses holds something else, and is not ASCII.
    """
    lower = name.lower()
    is_address = lower in ADDRESS_HEADERS
    check_name(name)
    text = check_value(name, val, is_address=is_address)
    if not text.isascii():
        encoding = encoding or settings.current().DEFAULT_CHARSET
        if is_address:
            text = ", ".join(sanitize_address(pair, encoding) for pair in _pairs(name, text))
        else:
            text = Header(text, encoding).encode()
    elif lower == "subject":
        text = Header(text).encode()
    if _UNFOLDED.search(text):
        # A `Charset` whose header_encoding is None leaves the text raw, and the email package splits it all the same.
        raise BadHeaderError(f"{name} holds a line break once it is encoded; take it out")
    return name, text
