"""A large text on its way to the wire: as the octets of its UTF-8, and a block at a time.

As a `str` it takes up to four times its octets (one emoji is enough for that), and each step that makes a whole text of a whole
text takes its size once more. Here there is never more than one block beside what goes in and what comes out. What comes out is what
`mailworker.mail.leaf` makes of a small text in one go.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator

from mailworker.mail.mime import utf8_charset_qp

#: Octets above which a text is a large one. Below, one go takes less time, and its copies next to no memory.
LARGE = 256 * 1024

#: Octets of a block.
_BLOCK = 16384

#: What quoted-printable leaves as it is, and for each other octet writes three.
_READABLE = bytes(octet for octet in range(32, 127) if octet != ord("=")) + b"\t\r\n"

#: Characters of a quoted-printable line that is broken, at the least; the break has 3 octets.
_PIECE = 73


class Utf8:
    """A large text of which nobody has asked for the characters.

    Args:
        octets: its UTF-8.

    Raises:
        UnicodeDecodeError: they are none.
    """

    __slots__ = ("octets",)

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        if not octets.isascii():
            check = codecs.getincrementaldecoder("utf-8")().decode
            for at in range(0, len(octets), _BLOCK):
                check(octets[at : at + _BLOCK])
            check(b"", True)

    def __len__(self) -> int:
        return len(self.octets)

    def __str__(self) -> str:
        return self.octets.decode()


def write_lines(content: bytes, write: Callable[[bytes], object]) -> None:
    """Write a text with CRLF for each line end.

    Args:
        content: with whatever line ends.
        write: takes the pieces, in order.
    """
    # Here and not above: a process that enqueues writes no lines.
    from mailworker.smtp.content import with_crlf

    for block in _blocks(content):
        write(with_crlf(block) if b"\r" in block else block.replace(b"\n", b"\r\n"))


def lines_size(content: bytes) -> int:
    """Return how many octets `write_lines` writes."""
    return len(content) + content.count(b"\n") + content.count(b"\r") - 2 * content.count(b"\r\n")


def write_quoted(content: bytes, write: Callable[[bytes], object]) -> None:
    """Write a text in quoted-printable, with CRLF for each line end.

    Args:
        content: with whatever line ends.
        write: takes the pieces, in order.
    """
    for block in _blocks(content):
        # The standard library's own encoder: where it breaks lines is its own, too. It takes each line by itself.
        write(utf8_charset_qp.body_encode(block).encode("ascii").replace(b"\n", b"\r\n"))


def quoted_size(content: bytes) -> int:
    """Return about how many octets `write_quoted` writes, rather a few too many."""
    quoted = sum(len(block.translate(None, _READABLE)) for block in _blocks(content))
    octets = lines_size(content) + 2 * quoted
    return octets + 3 * (octets // _PIECE)


def _blocks(content: bytes) -> Iterator[bytes]:
    """Yield a text in blocks that end behind a line feed: whatever is done to lines can be done to each block."""
    at = 0
    while at < len(content):
        end = content.find(b"\n", at + _BLOCK) + 1 or len(content)
        yield content[at:end]
        at = end
