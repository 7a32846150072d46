"""A header field as text for the wire, byte for byte as the standard library folds it (its `compat32` policy), but cheaply.

Nearly all fields are printable ASCII that fits one line, or words with single spaces between them; these are written
here, and `mailworker.mail.encoded_word` makes them of most of the others (RFC 2047). Odd spaces and odd mailboxes are
left to the standard library. What could break out of its line raises `Uncommon`, and so does what is no text or no name:
whether that is an error, and which, is for the standard path to say (`mailworker.mail.header`).
"""

from __future__ import annotations

import re
from email.charset import BASE64, CHARSETS, SHORTEST
from email.policy import compat32
from functools import lru_cache
from typing import Any

from mailworker.mail.encoded_word import encoded_mailboxes, encoded_words
from mailworker.mail.header import ADDRESS_HEADERS, forbid_multi_line_headers

#: Characters of a line that need no fold (RFC 5322 §2.1.1), as in `compat32`.
_ROOM = 78
#: Characters of a value whose encoded form is kept: longer ones are rarely met twice, and would fill the memory.
_KEPT = 500
_NAME = re.compile(r"[!-9;-~]+")
#: Control characters but the tab, what `str.splitlines` splits at, and halves of characters.
_UNSAFE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

#: How UTF-8 is written in headers, unless it is registered anew (`email.charset.add_charset`).
_AS_SHIPPED = (SHORTEST, BASE64, "utf-8")

_wire = compat32.clone(linesep="\r\n")


class Uncommon(Exception):  # noqa: N818 - no error: the message takes the standard path
    """The message is none of the common ones."""


@lru_cache(maxsize=256)
def lower_name(name: str) -> str:
    """Return a field's name in lower case.

    Raises:
        Uncommon: it is none (RFC 5322 §2.2).
    """
    if not _NAME.fullmatch(name):
        raise Uncommon
    return name.lower()


def value_of(value: Any) -> str:
    """Return a header's value as text.

    Raises:
        Uncommon: it is neither plain text nor a small number.
    """
    if type(value) is str:
        return value
    if type(value) is int and -(10**9) < value < 10**9:
        return str(value)
    raise Uncommon


def is_safe(text: str) -> bool:
    """Tell whether a text stays on its line, whatever becomes of it."""
    # Two looks of 30 ns each; the search costs ten times that.
    return (text.isascii() and text.isprintable()) or not _UNSAFE.search(text)


def check_safe(text: str) -> None:
    """Check that a text stays on its line, whatever becomes of it.

    Raises:
        Uncommon: it may not.
    """
    if not is_safe(text):
        raise Uncommon


def field(name: str, value: str) -> str:
    """Return a field with the CRLF that ends it.

    Args:
        name: a name that `lower_name` took.
        value: text; beyond ASCII it is encoded in UTF-8, in a field of addresses mailbox by mailbox.

    Raises:
        Uncommon: the value could break out of its line, or a field of addresses that is not ASCII holds something else.
    """
    if len(name) + len(value) <= _ROOM - 2 and value.isascii() and value.isprintable():
        return f"{name}: {value}\r\n"
    check_safe(value)
    registered = CHARSETS.get("utf-8")
    further: list[str] = []
    if value.isascii():
        encoded: str | None = value
    elif registered != _AS_SHIPPED:
        encoded = None
    elif name.lower() in ADDRESS_HEADERS:
        encoded = encoded_mailboxes(value)
    else:
        encoded, *further = encoded_words(value)
    if not encoded or " ".join(encoded.split()) != encoded:
        return (_kept if len(value) <= _KEPT else _standard)(name, value, registered)
    # A subject is broken twice, first as if it had no name: that is how the standard library and Django do it between
    # them, and where its lines end tells.
    lines = _broken(encoded, _ROOM) if name.lower() == "subject" else [encoded]
    folded = _broken(lines[0], _ROOM - len(name) - 2)
    for line in lines[1:]:
        folded += _broken(line, _ROOM)
    folded += [f" {word}" for word in further]
    return f"{name}: " + "\r\n".join(folded) + "\r\n"


def _broken(text: str, room: int) -> list[str]:
    """Break words with single spaces between them into lines that fit, or have no place to break at.

    Each word that does not fit ends its line after the last semicolon before it, else the last comma, else before the
    word; what stands behind goes into the next line unseen, and that one is looked at again with the next word.

    Args:
        text: the words; a line but the first begins with its space.
        room: of the first line; less than `_ROOM` where a name stands before it.
    """
    lines: list[str] = []
    start = end = 0
    while end < len(text) and len(text) - start > room:
        end = text.find(" ", max(start + room, end) + 1)
        if end < 0:
            end = len(text)
        place = text.rfind("; ", start, end) + 1 or text.rfind(", ", start, end) + 1 or text.rfind(" ", start + 1, end)
        if place > 0:
            lines.append(text[start:place])
            start, room = place, _ROOM
        elif room < _ROOM:
            # The name stands alone on its line, before a first word that is too long.
            lines.append("")
            text, end, room = f" {text}", end + 1, _ROOM
    return [*lines, text[start:]]


def _standard(name: str, value: str, registered: object) -> str:
    try:
        shown, text = forbid_multi_line_headers(name, value, "utf-8")
        return _wire.fold_binary(shown, text).decode("ascii")
    except Exception:  # noqa: BLE001 - no address, for the most part; the standard path meets it again and says so
        raise Uncommon from None


#: 50 to 100 us each; a sender's quoted name with an umlaut stands in every mail of a list.
_kept = lru_cache(maxsize=256)(_standard)
