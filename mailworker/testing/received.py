"""A message as a scripted SMTP server has received it, parsed by the standard library.

It judges nothing: what cannot be decoded is shown with replacement characters. Addresses are bare, texts have "\\n" as line
ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage as Parsed
from email.utils import getaddresses
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class ReceivedAttachment:
    """Whatever a message holds beside its text and HTML.

    Attributes:
        name: the file's name, "" if it has none.
        content: its bytes, decoded; of an attached message its source.
        mimetype: "type/subtype".
        content_id: what `cid:` in the HTML refers to; "" if it has none.
        is_inline: it is shown within the message.
    """

    name: str
    content: bytes = field(repr=False)
    mimetype: str
    content_id: str = ""
    is_inline: bool = False


@dataclass(frozen=True)
class ReceivedMessage:
    """One message that the server has accepted.

    Attributes:
        sender: of the envelope.
        recipients: of the envelope.
        content: its bytes.
    """

    sender: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)

    @cached_property
    def parsed(self) -> Parsed:
        """The message in the standard library's form."""
        return message_from_bytes(self.content, _class=Parsed, policy=policy.default)

    @property
    def subject(self) -> str:
        """The subject line."""
        return str(self.parsed.get("Subject", ""))

    @property
    def from_email(self) -> str:
        """Bare address of the From header."""
        return next(iter(self._addresses("From")), "")

    @property
    def to(self) -> list[str]:
        """Bare addresses of the To header."""
        return self._addresses("To")

    @property
    def cc(self) -> list[str]:
        """Bare addresses of the Cc header."""
        return self._addresses("Cc")

    @property
    def bcc(self) -> list[str]:
        """Recipients of the envelope that no header shows."""
        shown = {address.casefold() for address in (*self.to, *self.cc)}
        return [address for address in self.recipients if address.casefold() not in shown]

    @property
    def text(self) -> str:
        """The text body; "" if there is none."""
        return self._body("plain")

    @property
    def html(self) -> str:
        """The HTML body; "" if there is none."""
        return self._body("html")

    @property
    def attachments(self) -> list[ReceivedAttachment]:
        """Everything that is neither of the two bodies, images inside the HTML included, in order."""
        bodies = [self.parsed.get_body(("plain",)), self.parsed.get_body(("html",))]
        return [_attachment(part) for part in _leaves(self.parsed) if not any(part is body for body in bodies)]

    def _addresses(self, name: str) -> list[str]:
        values = [str(value) for value in self.parsed.get_all(name, [])]
        return [address for _, address in getaddresses(values) if address]

    def _body(self, kind: str) -> str:
        part = self.parsed.get_body((kind,))
        if part is None:
            return ""
        octets = cast("bytes", part.get_payload(decode=True))
        try:
            text = octets.decode(part.get_content_charset("utf-8"), "replace")
        except LookupError:
            text = octets.decode("utf-8", "replace")
        return text.replace("\r\n", "\n")


def _leaves(part: Any) -> Iterator[Any]:
    """Yield the parts that hold no others; an attached message is one, whatever it holds."""
    if part.get_content_maintype() != "multipart":
        yield part
        return
    for inner in part.iter_parts():
        yield from _leaves(inner)


def _attachment(part: Any) -> ReceivedAttachment:
    if part.get_content_maintype() == "message":
        content = b"\n".join(inner.as_bytes() for inner in part.get_payload())
    else:
        content = part.get_payload(decode=True)
    return ReceivedAttachment(
        name=part.get_filename() or "",
        content=content,
        mimetype=part.get_content_type(),
        content_id=str(part.get("Content-ID", "")).strip("<> "),
        is_inline=part.get_content_disposition() == "inline",
    )
