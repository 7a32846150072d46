"""The common messages written down directly: text, alternatives and files, with plain headers.

Nothing is decided here that `EmailMessage.message()` does not decide: the bytes are those that it and the standard
library's generator come to, octet for octet but for the random boundaries, at a tenth of the work. Whatever is not
plainly one of the common messages is left to them, and so is everything that is wrong with a message: `rendered` says
None and raises nothing. `mailworker.mail.fold` knows how a field is written and `mailworker.mail.leaf` a part.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from io import BytesIO
from operator import attrgetter
from typing import Any, NamedTuple

from mailworker import settings
from mailworker.buffer import room, taken
from mailworker.mail.attachment import EmailAlternative, EmailAttachment
from mailworker.mail.fold import Uncommon, check_safe, field, lower_name, value_of
from mailworker.mail.identity import date_now, message_id_for
from mailworker.mail.large_text import LARGE
from mailworker.mail.leaf import Leaf, file_leaf, text_leaf
from mailworker.mail.lent import LargeMessage, undecoded
from mailworker.mail.message import EmailMessage, EmailMultiAlternatives

#: The methods that make a message what it is; somebody may have patched a class, or set another one on an instance.
_HOOKS = (
    *(
        "message",
        "_create_message",
        "_create_body",
        "_create_attachments",
        "_create_mime_attachment",
        "_create_attachment",
    ),
    *("_charset", "_shown_address"),
)
#: Of the other class, and what is checked on an `EmailMessage` if it has it, and shown nowhere.
_ALTERNATIVES = ("_create_alternatives", "alternatives", "alternative_subtype")


class _Known(NamedTuple):
    """A class whose messages can be written directly.

    Attributes:
        hooks: reads its methods, all at once in C: 0.3 us, against 1 for a loop.
        genuine: what they are.
        unknown: attributes that an instance may not have.
    """

    hooks: Callable[[type], tuple[Any, ...]]
    genuine: tuple[Any, ...]
    unknown: frozenset[str]


def _known(kind: type, hooks: tuple[str, ...], *more: str) -> _Known:
    read = attrgetter(*hooks)
    return _Known(read, read(kind), frozenset({*hooks, *more}))


_KNOWN = {
    EmailMessage: _known(EmailMessage, _HOOKS, *_ALTERNATIVES),
    EmailMultiAlternatives: _known(EmailMultiAlternatives, (*_HOOKS, "_create_alternatives")),
    LargeMessage: _known(LargeMessage, (*_HOOKS, "_create_alternatives")),
}
#: Fields that follow from the body: `headers` may not have them.
_BODY_FIELDS = frozenset({"content-type", "content-transfer-encoding", "mime-version"})
#: Fields of `headers` that have their place further up, and those that nobody sees.
_ELSEWHERE = frozenset({"subject", "from", "to", "cc", "reply-to", "bcc", "resent-bcc"})
#: Octets around a part, at the most: its delimiter, and of a multipart its own head and end.
_AROUND = 300
#: Digits of a boundary's number, as in the standard library.
_DIGITS = len(repr(sys.maxsize - 1))


def rendered(message: Any) -> bytes | None:
    """Return the message as bytes with CRLF line ends.

    Args:
        message: an `EmailMessage` or anything else.

    Returns:
        None if it is none of the common ones, or cannot be rendered.
    """
    kind = type(message)
    known = _KNOWN.get(kind)
    if known is None or known.hooks(kind) != known.genuine or not known.unknown.isdisjoint(vars(message)):
        return None
    try:
        return _rendered(message, undecoded(message) if kind is LargeMessage else message)
    except Uncommon:
        return None


def _rendered(message: EmailMessage, contents: Any) -> bytes:
    """Return the message as bytes.

    Args:
        message: the message.
        contents: has its body, its attachments and its alternatives.
    """
    # "UTF-8" is another name to the standard library, with base64 for the body.
    _check_is("utf-8", message.encoding or settings.current().DEFAULT_CHARSET)
    _check_is("mixed", message.mixed_subtype)
    fields = _fields(message)
    text = text_leaf(contents.body, message.content_subtype)
    others = _others(message, contents) if isinstance(message, EmailMultiAlternatives) else []
    files = [_file(each) for each in _listed(contents.attachments)]
    # An empty body is a part only where there is no other.
    texts = [text] if contents.body or not (others or files) else []
    if not (others or files):
        head = f"{text.head}{fields}\r\n".encode("ascii")
        return head + text.content if text.encoding is None else _large_text(head, text)
    if not files:
        return _container("alternative", [*texts, *others], fields)
    inside: list[_Part] = [_nested("alternative", [*texts, *others])] if others else [*texts]
    return _container("mixed", [*inside, *files], fields)


def _large_text(head: bytes, text: Leaf) -> bytes:
    assert text.encoding is not None
    out = room(len(head) + text.encoding.size(text.content))
    out.write(head)
    text.encoding.write(text.content, out.write)
    return taken(out)


def _check_is(expected: str, value: Any) -> None:
    # A subclass of str can show itself as something else.
    if type(value) is not str or value != expected:
        raise Uncommon


def _others(message: EmailMultiAlternatives, contents: Any) -> list[Leaf]:
    _check_is("alternative", message.alternative_subtype)
    found = []
    for each in _listed(contents.alternatives):
        if type(each) not in (EmailAlternative, tuple) or len(each) != 2:
            raise Uncommon
        found.append(file_leaf(each[0], each[1]))
    return found


def _file(each: Any) -> Leaf:
    if type(each) not in (EmailAttachment, tuple) or len(each) != 3:
        # A MIME part, or one whose type is still to be guessed.
        raise Uncommon
    name, content, mimetype = each
    return file_leaf(content, mimetype, name)


class _Nested(NamedTuple):
    """A multipart inside another: written straight into the message, for its parts may be large."""

    subtype: str
    parts: Sequence[Leaf]
    boundary: str


_Part = Leaf | _Nested


def _nested(subtype: str, parts: Sequence[Leaf]) -> _Nested:
    return _Nested(subtype, parts, _boundary(parts))


def _container(subtype: str, parts: Sequence[_Part], fields: str) -> bytes:
    """Return a multipart with its head.

    Args:
        subtype: of multipart/.
        parts: leaves, and multiparts of them.
        fields: more of its head.
    """
    boundary = _boundary(parts)
    # The buffer is the result (no copy is made of it), so that a file's base64 is in memory once.
    if not _has_large(parts):
        out = BytesIO()
        _write(out.write, subtype, parts, boundary, fields)
        return out.getvalue()
    out = room(len(fields) + sum(map(_size, parts)))
    _write(out.write, subtype, parts, boundary, fields)
    return taken(out)


def _write(
    write: Callable[[bytes], object], subtype: str, parts: Sequence[_Part], boundary: str, fields: str = ""
) -> None:
    kind = field("Content-Type", f'multipart/{subtype}; boundary="{boundary}"')
    write(f"{kind}MIME-Version: 1.0\r\n{fields}".encode("ascii"))
    delimiter = f"\r\n--{boundary}\r\n"
    for part in parts:
        if isinstance(part, _Nested):
            write(delimiter.encode("ascii"))
            _write(write, *part)
        else:
            write(f"{delimiter}{part.head}\r\n".encode("ascii"))
            if part.encoding is None:
                write(part.content)
            else:
                part.encoding.write(part.content, write)
    write(f"\r\n--{boundary}--\r\n".encode("ascii"))


def _has_large(parts: Sequence[_Part]) -> bool:
    return any(_has_large(one.parts) if isinstance(one, _Nested) else len(one.content) > LARGE for one in parts)


def _size(part: _Part) -> int:
    """Return how many octets a part will have, or a few more."""
    if isinstance(part, _Nested):
        return _AROUND + sum(map(_size, part.parts))
    return _AROUND + len(part.head) + (part.encoding.size(part.content) if part.encoding else len(part.content))


def _boundary(parts: Sequence[_Part]) -> str:
    """Return a boundary that stands in none of the parts (RFC 2046 §5.1.1).

    The standard library looks for it as a line that ends in LF, and finds none where lines end in CRLF. Here it may
    stand nowhere. Base64 has no hyphens, and quoted-printable no equals signs in a row.
    """
    made = f"{'=' * 15}{random.randrange(sys.maxsize):0{_DIGITS}d}=="
    texts = _texts(parts)
    boundary, more = made, 0
    while any(f"--{boundary}".encode("ascii") in text for text in texts):
        boundary = f"{made}.{more}"
        more += 1
    return boundary


def _texts(parts: Sequence[_Part]) -> list[bytes]:
    """Return what a boundary could stand in."""
    found: list[bytes] = []
    for part in parts:
        if isinstance(part, _Nested):
            found += (f"--{part.boundary}".encode("ascii"), *_texts(part.parts))
        elif part.encoding is None or part.encoding.may_hold_boundary:
            found.append(part.content)
    return found


def _fields(message: EmailMessage) -> str:
    """Return all fields but those that follow from the body."""
    extra = message.extra_headers
    given = _given(extra)
    lines = []
    for name, shown, own in (
        ("subject", "Subject", value_of(message.subject)),
        ("from", "From", _address(message.from_email)),
        ("to", "To", _addresses(message.to)),
        ("cc", "Cc", _addresses(message.cc)),
        ("reply-to", "Reply-To", _addresses(message.reply_to)),
    ):
        value = own
        if name in given:
            # What is not shown is checked all the same.
            check_safe(own or "")
            value = given[name]
        if value is not None:
            lines.append(field(shown, value))
    check_safe(_addresses(getattr(message, "bcc", None)) or "")
    if "date" not in given:
        lines.append(field("Date", date_now()))
    if "message-id" not in given:
        lines.append(field("Message-ID", message_id_for(message)))
    for spelled, (name, value) in zip(extra, given.items(), strict=True):
        if name in _ELSEWHERE:
            check_safe(value)
        else:
            lines.append(field(spelled, value))
    return "".join(lines)


def _given(extra: Any) -> dict[str, str]:
    """Return lower-case name -> value, in the order in which they came."""
    if type(extra) is not dict:
        raise Uncommon
    given: dict[str, str] = {}
    for spelled, value in extra.items():
        if type(spelled) is not str:
            raise Uncommon
        name = lower_name(spelled)
        if name in _BODY_FIELDS or name in given:
            raise Uncommon
        given[name] = value_of(value)
    return given


def _address(address: Any) -> str:
    if type(address) is not str:
        raise Uncommon
    return address


def _addresses(addresses: Any) -> str | None:
    """Return addresses as a header has them, None if there are none."""
    if not addresses:
        return None
    return ", ".join([_address(each) for each in _listed(addresses)])


def _listed(items: Any) -> Sequence[Any]:
    """Return what is a list or tuple."""
    if type(items) not in (list, tuple):
        raise Uncommon
    return items  # type: ignore[no-any-return]
