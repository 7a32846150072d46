"""What an SMTP reply says: its lines become a `Reply`, or it is found to be none.

It decides the grammar (RFC 5321 §4.2) and what of a reply's text may be shown; reading the lines off the wire is the
dialogue's part. It fails with `MalformedReply`, after which client and server no longer agree where they are.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from mailworker.errors import MailworkerError
from mailworker.outcome import Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Characters of a reply's text that are kept: enough for any explanation, too few to fill a log or a ledger.
MAX_TEXT = 500

#: RFC 5321 §4.2: three digits, the first 2-5; a lone code without text is to be taken too.
_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?\Z", re.DOTALL)

#: RFC 2034 §4: the enhanced code stands first in the text of each line.
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:\s+|\Z)")

_ADDRESS = re.compile(r"[^\s<>]+@[^\s<>]+")


class MalformedReply(MailworkerError, ValueError):  # noqa: N818 - names what came, not what to do about it
    """Raised when the server's bytes are no SMTP reply."""


@lru_cache(maxsize=64)
def parse_line(line: bytes) -> Reply | None:
    """Return the reply that is this one line, None if more lines follow it.

    Most replies are one line, and to each command a server says the same words: what was read once need not be read
    again (7 us each, four times a message).

    Args:
        line: without its line end.

    Raises:
        MalformedReply: the line cannot be part of a reply.
    """
    return parse([line]) if is_last_line(line) else None


def is_last_line(line: bytes) -> bool:
    """Tell whether a reply ends with this line (RFC 5321 §4.2.1).

    Raises:
        MalformedReply: the line cannot be part of a reply.
    """
    return _match(line)[2] != b"-"


def parse(lines: Sequence[bytes]) -> Reply:
    """Make one reply of its lines.

    Args:
        lines: all lines of the reply, without their line ends; at least one.

    Raises:
        MalformedReply: a line has no code, or the lines have different ones.
    """
    matches = [_match(line) for line in lines]
    codes = {match[1] for match in matches}
    if len(codes) != 1:
        raise MalformedReply("the lines of one reply carry different codes")
    code = int(codes.pop())
    texts = [(match[3] or b"").decode("utf-8", "replace") for match in matches]
    enhanced = _ENHANCED.match(texts[0].strip())
    status = enhanced[1] if enhanced and enhanced[1][0] == str(code)[0] else None
    if status:
        texts = [text.strip().removeprefix(status) for text in texts]
    return Reply(code, printable(" ".join(texts)), status)


def printable(text: str) -> str:
    """Return text without what could forge lines, move a cursor or flood a log: printable, spaces folded, cut."""
    # One call for the whole text first: a reply that needs mending is rare, and a look at each character costs 10 us.
    shown = text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
    return " ".join(shown.split())[:MAX_TEXT].rstrip()


def without_addresses(reply: Reply) -> str:
    """Return a reply as an exception's text may show it: a relay likes to repeat the addresses that it was told."""
    return hide_addresses(str(reply))


def hide_addresses(text: str) -> str:
    """Return a text of the relay's with `[address]` in place of each address."""
    return _ADDRESS.sub("[address]", text)


def code_only(reply: Reply) -> str:
    """Return code and enhanced code: all that may be shown of an answer to something secret."""
    return " ".join(part for part in (str(reply.code), reply.enhanced) if part)


def _match(line: bytes) -> re.Match[bytes]:
    match = _LINE.match(line)
    if match is None:
        raise MalformedReply("a line of the reply does not begin with a reply code")
    return match
