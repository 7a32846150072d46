"""A part of a message that holds no other parts, as its header fields and its content: text, or a file in base64.

The transfer encoding is decided as `mailworker.mail.mime` and `mailworker.mail.attachment` do it by way of the standard
library, and the bytes are the same. Who puts parts together is `mailworker.mail.direct`. Messages inside messages, types
with parameters and content that is neither `str` nor `bytes` raise `Uncommon`, and so does what cannot be encoded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from email.message import Message
from functools import lru_cache
from typing import Any, NamedTuple

from mailworker.mail.attachment import named_part
from mailworker.mail.base64_lines import base64_size, write_base64
from mailworker.mail.fold import Uncommon, check_safe, field
from mailworker.mail.large_text import LARGE, Utf8, lines_size, quoted_size, write_lines, write_quoted
from mailworker.mail.mime import MAX_LINE, utf8_charset_qp
from mailworker.smtp.content import with_crlf

#: A type as programs write it; others (upper case, parameters) are legal and rare.
_TYPE = re.compile(r"([a-z][a-z0-9.+-]*)/([a-z0-9][a-z0-9.+_-]*)")
#: Types whose content has a structure of its own.
_STRUCTURED = frozenset({"message", "multipart"})


class Encoding(NamedTuple):
    """What a content still has to go through when it is written: of a large one, no second copy is made before.

    Attributes:
        write: writes it in pieces.
        size: tells how many octets that makes, or a few more.
        may_hold_boundary: two hyphens and an equals sign can stand in what is written.
    """

    write: Callable[[bytes, Callable[[bytes], object]], None]
    size: Callable[[bytes], int]
    may_hold_boundary: bool = False


BASE64 = Encoding(write_base64, base64_size)
_LINES = Encoding(write_lines, lines_size, may_hold_boundary=True)
_QUOTED = Encoding(write_quoted, quoted_size)


class Leaf(NamedTuple):
    """One part.

    Attributes:
        head: its fields, each with CRLF, without the empty line after them.
        content: with CRLF line ends, or what is still to be encoded.
        encoding: how; None = it is ready.
    """

    head: str
    content: bytes
    encoding: Encoding | None = None


def text_leaf(text: Any, subtype: Any) -> Leaf:
    """Return a part with text in UTF-8.

    Args:
        text: a `str`, or a `Utf8`.
        subtype: of text/.

    Raises:
        Uncommon: it is neither or has half characters, or the subtype is an odd one.
    """
    if type(text) is not str or type(subtype) is not str:
        if type(text) is Utf8 and type(subtype) is str:
            return _large_text_leaf(text.octets, subtype)
        raise Uncommon
    try:
        content = text.encode()
    except UnicodeEncodeError:
        raise Uncommon from None
    if len(content) > LARGE:
        return _large_text_leaf(content, subtype)
    if _has_long_line(content):
        # The standard library's own encoder: where it breaks lines is its own, too. Its line ends are LF.
        quoted = utf8_charset_qp.body_encode(content).encode("ascii")
        return Leaf(_text_head(subtype, "quoted-printable"), quoted.replace(b"\n", b"\r\n"))
    encoding = "7bit" if content.isascii() else "8bit"
    # Nearly all text has LF alone: one pass in place of six.
    lines = with_crlf(content) if b"\r" in content else content.replace(b"\n", b"\r\n")
    return Leaf(_text_head(subtype, encoding), lines)


def _large_text_leaf(content: bytes, subtype: str) -> Leaf:
    if _has_long_line(content):
        return Leaf(_text_head(subtype, "quoted-printable"), content, _QUOTED)
    return Leaf(_text_head(subtype, "7bit" if content.isascii() else "8bit"), content, _LINES)


def file_leaf(content: Any, mimetype: Any, name: Any = None) -> Leaf:
    """Return the part of an attachment or alternative.

    Args:
        content: `str` or `Utf8`, or `bytes` if it is no text/*.
        mimetype: "type/subtype".
        name: under which it is saved; None = none.

    Raises:
        Uncommon: one of the three is of another kind.
    """
    if type(mimetype) is not str:
        raise Uncommon
    main, sub = _split(mimetype)
    more = _disposition(name) if name else ""
    if main == "text":
        leaf = text_leaf(content, sub)
        return leaf._replace(head=leaf.head + more) if more else leaf
    return Leaf(_file_head(mimetype) + more, _octets(content), BASE64)


def _has_long_line(content: bytes) -> bool:
    """Tell whether a line is over `MAX_LINE` octets, a line being what `str.splitlines` makes of the text.

    Looks at a line end in each thousand octets: 1 us for 10 KB, where splitting and encoding each line take 60.
    """
    start, end = 0, len(content)
    while end - start > MAX_LINE:
        found = content.rfind(b"\n", start, start + MAX_LINE + 1)
        if found < 0:
            # Perhaps it is several lines, that end by something rarer.
            found = content.find(b"\n", start + MAX_LINE)
            lines = content[start : found if found >= 0 else end].decode().splitlines()
            if any(len(line.encode()) > MAX_LINE for line in lines):
                return True
            if found < 0:
                return False
        start = found + 1
    return False


def _octets(content: Any) -> bytes:
    if type(content) is bytes:
        return content
    if type(content) is Utf8:
        return content.octets
    if type(content) is not str:
        raise Uncommon
    try:
        return content.encode()
    except UnicodeEncodeError:
        raise Uncommon from None


@lru_cache(maxsize=64)
def _split(mimetype: str) -> tuple[str, str]:
    found = _TYPE.fullmatch(mimetype)
    if found is None or found[1] in _STRUCTURED:
        raise Uncommon
    return found[1], found[2]


@lru_cache(maxsize=64)
def _text_head(subtype: str, encoding: str) -> str:
    _split(f"text/{subtype}")
    kind = field("Content-Type", f'text/{subtype}; charset="utf-8"')
    return f"{kind}MIME-Version: 1.0\r\nContent-Transfer-Encoding: {encoding}\r\n"


@lru_cache(maxsize=64)
def _file_head(mimetype: str) -> str:
    return f"{field('Content-Type', mimetype)}MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n"


def _disposition(name: Any) -> str:
    if type(name) is not str:
        raise Uncommon
    check_safe(name)
    if name.isascii() and '"' not in name and "\\" not in name:
        return field("Content-Disposition", f'attachment; filename="{name}"')
    return field("Content-Disposition", str(named_part(name, Message())["Content-Disposition"]))
