"""Text and mailboxes beyond ASCII as encoded words (RFC 2047) in UTF-8, as the standard library writes them, but cheaply.

`email.header.Header` encodes the text again from its beginning for each character of it, and `getaddresses` parses what
can be seen at a look. Here each character is looked at once. Where lines end and which of the two encodings is taken is
the standard library's choice and the same. Anything but mailboxes of the usual form is left to it: None.
"""

from __future__ import annotations

import re
from base64 import b64encode

from mailworker.mail.address import PLAIN_ADDRESS

#: Characters of a line, less the space before a continued one, less what stands around the text of a word.
_AROUND = len("=?utf-8?q??=")
_FIRST = 78 - _AROUND
_FURTHER = 77 - _AROUND
#: Octets that base64 writes in either of them.
_OCTETS = _FURTHER // 4 * 3
#: Octets that "Q" writes as one character (RFC 2047 §4.2; the space as "_"). All others take three.
_SAFE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-!*+/ "
#: Octet, and character of ASCII -> what "Q" writes.
_QUOTED = [chr(octet) if octet in _SAFE else f"={octet:02X}" for octet in range(256)]
_QUOTED[0x20] = "_"
_QUOTED_ASCII = {chr(octet): _QUOTED[octet] for octet in range(128)}
#: A name without specials (RFC 5322 §3.2.3) and dots, which would have to be quoted, and an address; or the latter alone.
_MAILBOX = re.compile(rf"([\w'-]+(?: [\w'-]+)*) <({PLAIN_ADDRESS})>|{PLAIN_ADDRESS}")


def encoded_words(text: str) -> list[str]:
    """Return text as encoded words; each but the first stands on a line of its own, after a space.

    Args:
        text: one line, not empty, without half characters.
    """
    octets = text.encode()
    unsafe = len(octets.translate(None, _SAFE))
    if (len(octets) + 2) // 3 * 4 < len(octets) + 2 * unsafe:
        return [f"=?utf-8?b?{b64encode(piece).decode('ascii')}?=" for piece in _pieces(octets)]
    words: list[str] = []
    line, used = "", 0
    for character in text:
        written = _QUOTED_ASCII.get(character) or "".join([_QUOTED[octet] for octet in character.encode()])
        used += len(written)
        if used > (_FURTHER if words else _FIRST):
            words.append(line)
            line, used = "", len(written)
        line += written
    return [f"=?utf-8?q?{word}?=" for word in (*words, line)]


def _pieces(octets: bytes) -> list[bytes]:
    """Cut UTF-8 into pieces of at most `_OCTETS`, between characters."""
    pieces = []
    start = 0
    while len(octets) - start > _OCTETS:
        end = start + _OCTETS
        while octets[end] & 0xC0 == 0x80:
            end -= 1
        pieces.append(octets[start:end])
        start = end
    return [*pieces, octets[start:]]


def encoded_mailboxes(text: str) -> str | None:
    """Return mailboxes with their names encoded; None if one of them is of another form or its name too long.

    Args:
        text: mailboxes with a comma and a space between them.
    """
    written = []
    for mailbox in text.split(", "):
        found = _MAILBOX.fullmatch(mailbox)
        if found is None:
            return None
        name = found[1]
        if name is None or name.isascii():
            if len(mailbox) > 78:
                # The standard library would fold the name.
                return None
            written.append(mailbox)
            continue
        words = encoded_words(name)
        if len(words) > 1:
            return None
        written.append(f"{words[0]} <{found[2]}>")
    return ", ".join(written)
