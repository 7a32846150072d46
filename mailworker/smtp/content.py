"""How a message's bytes look on the wire: every line ends in CRLF, and no line of it can be taken for the end.

A bare CR or LF that one server takes for a line end and the next one does not lets a second message hide in the first
(SMTP smuggling), so neither ever leaves here (RFC 5321 §2.3.8). Pure; never fails.
"""

from __future__ import annotations

from collections.abc import Iterator

#: What ends the content after its last CRLF (RFC 5321 §4.1.1.4).
DOT = b".\r\n"


def with_crlf(content: bytes) -> bytes:
    """Return the content with CRLF in place of each CR or LF that stands alone."""
    pairs = content.count(b"\r\n")
    if content.count(b"\n") == pairs and content.count(b"\r") == pairs:
        return content
    # Each pass is a search in C. A pattern takes a step of Python's for each line end, and 8 octets to remember it.
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def normalised(content: bytes) -> bytes:
    """Return the content with CRLF for every line end, CR and LF alone included, and one at its end."""
    content = with_crlf(content)
    if content and not content.endswith(b"\r\n"):
        content += b"\r\n"
    return content


def has_utf8_header(content: bytes) -> bool:
    """Tell whether the header of a message with CRLF line ends holds UTF-8 as it is (RFC 6532), and so needs SMTPUTF8."""
    if content.isascii():
        return False
    head = content[: max(content.find(b"\r\n\r\n"), 0)]
    if head.isascii():
        return False
    try:
        head.decode()
    except UnicodeDecodeError:
        # Some other 8-bit text, which no extension allows: the relay decides.
        return False
    return True


def stuffed(content: bytes) -> bytes:
    """Return normalised content with a second dot before each line that begins with one (RFC 5321 §4.5.2)."""
    content = content.replace(b"\r\n.", b"\r\n..")
    return b"." + content if content.startswith(b".") else content


def stuffed_blocks(content: bytes, size: int) -> Iterator[bytes]:
    """Yield normalised content, stuffed, in blocks: of a large one no second copy is made.

    Args:
        content: with CRLF for every line end.
        size: octets of a block before it is stuffed, at least 2.
    """
    at = 0
    while at < len(content):
        end = min(at + size, len(content))
        if content[end - 1 : end] == b"\r":
            # A CR at the end would hide from the next block that it begins a line.
            end -= 1
        block = content[at:end].replace(b"\r\n.", b"\r\n..")
        is_line_start = at == 0 or content[at - 2 : at] == b"\r\n"
        yield b"." + block if is_line_start and block.startswith(b".") else block
        at = end
