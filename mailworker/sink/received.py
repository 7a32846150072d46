"""A mail as the sink received it: envelope and bytes, as an `.eml` file and as text for people.

Nothing here fails on a broken mail: what cannot be decoded is shown as it came, with what a terminal would obey taken out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.errors import MessageError
from email.header import decode_header, make_header
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message
    from pathlib import Path

#: C0 and C1 controls but for line feed and tab: an escape sequence in a mail must not reach the terminal.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CONTROLS_IN_LINE = re.compile(rb"[\x00-\x1f\x7f]")

#: Columns of the rule above each mail.
_RULE_WIDTH = 72


@dataclass(frozen=True, slots=True)
class Received:
    """One mail that the sink took.

    Attributes:
        number: counted from 1 in this sink.
        sender: the envelope's reverse-path, empty for the null one (RFC 5321 §4.5.5).
        recipients: the envelope's recipients that were not refused.
        content: the message as it came, dots unstuffed, lines ended by CRLF.
        path: the `.eml` file, if it was kept as one.
    """

    number: int
    sender: str
    recipients: tuple[str, ...]
    content: bytes
    path: Path | None = None

    def with_envelope(self) -> bytes:
        """Return the content of an `.eml` file: the message, with the envelope in header lines in front.

        `X-Envelope-From: <sender>` comes first, then one `X-Envelope-To: <recipient>` for each recipient.
        """
        lines = [b"X-Envelope-From: <" + _bytes_of(self.sender) + b">"]
        lines += [b"X-Envelope-To: <" + _bytes_of(recipient) + b">" for recipient in self.recipients]
        return b"\r\n".join([*lines, self.content])

    def summary(self) -> str:
        """Return one line: number, envelope, size."""
        recipients = ", ".join(self.recipients)
        return _shown(f"{self.number}: <{self.sender}> -> {recipients} ({len(self.content)} bytes)").replace("\n", " ")

    def headline(self) -> str:
        """Return the summary as a rule, as wide as a terminal's line at least."""
        return f"── {self.summary()} ".ljust(_RULE_WIDTH, "─")

    def headers(self) -> list[tuple[str, str]]:
        """Return the message's header fields in order, encoded words decoded (RFC 2047), folded lines joined."""
        # raw_items: items would turn raw UTF-8 (RFC 6532) into a Header of unknown charset.
        return [(_shown(name), _decoded(str(value))) for name, value in self._parsed().raw_items()]

    def body(self) -> str:
        """Return the text parts decoded, and one line in brackets for each part that is not text."""
        return "\n".join(_parts(self._parsed())).rstrip("\n")

    def _parsed(self) -> Message:
        # compat32 keeps what it does not understand; the newer policies raise on some malformed headers.
        return message_from_bytes(self.content, policy=policy.compat32)


def _parts(message: Message) -> Iterator[str]:
    several = message.is_multipart()
    for part in message.walk():
        kind, name = part.get_content_type(), part.get_filename()
        if part.is_multipart():
            continue
        payload = part.get_payload(decode=True)
        content = payload if isinstance(payload, bytes) else b""
        if part.get_content_maintype() == "text" and name is None:
            if several:
                yield f"[{kind}]"
            yield _shown(_text(content, part.get_content_charset("utf-8"))) + "\n"
        else:
            told = f"{kind}, {len(content)} bytes"
            yield _shown(f"[{name}: {told}]" if name else f"[{told}]") + "\n"


def _text(content: bytes, charset: str) -> str:
    try:
        return content.decode(charset, "replace")
    except LookupError:
        return content.decode("utf-8", "replace")


def _decoded(value: str) -> str:
    """Return a header's value as one readable line."""
    unfolded = " ".join(value.encode("utf-8", "surrogateescape").decode("utf-8", "replace").split())
    try:
        return _shown(str(make_header(decode_header(unfolded)))).replace("\n", " ")
    except (MessageError, ValueError, LookupError):
        return _shown(unfolded)


def _shown(text: str) -> str:
    """Make text safe for any terminal and any output encoding that can replace."""
    clean = text.replace("\r\n", "\n").encode("utf-8", "replace").decode("utf-8")
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", clean)


def _bytes_of(address: str) -> bytes:
    """Return an address as it came over the wire, kept to one line."""
    return _CONTROLS_IN_LINE.sub(b"?", address.encode("utf-8", "surrogateescape"))
