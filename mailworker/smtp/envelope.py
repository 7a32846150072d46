"""Sender and recipients as SMTP sees them, and which of them a server can be told of at all (RFC 5321 §2.3.1).

Pure. An address that would break out of its command, or that needs SMTPUTF8 (RFC 6531) where it is not offered, is
named here with the reason, before a byte of it is sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mailworker.smtp.offer import Offer

#: Mailbox of RFC 5321 §4.1.2, as loosely as is safe between angle brackets: a quoted or plain local part, a domain.
_CARRIABLE = re.compile(
    r'(?:"(?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*"|[^\s<>"\x00-\x1f\x7f]+)(?:@[^\s<>"\x00-\x1f\x7f]+)?'
)


#: Characters of an original envelope id and of an original recipient (RFC 3461 §4.4, §4.2), before they are encoded.
_MAX_ENVID, _MAX_ORCPT = 100, 500


@dataclass(frozen=True, slots=True, repr=False)
class Envelope:
    """Who a message is from and for.

    Attributes:
        sender: the reverse-path; "" is the null sender.
        recipients: the forward-paths; one named twice is told to the server once.
        notify: which delivery status notifications are wanted for each recipient (RFC 3461 §4.1): "NEVER", or some of
            "SUCCESS", "FAILURE", "DELAY"; none = what the server does by itself.
        returned: how much of the message a notification brings back (RFC 3461 §4.3): "FULL" or "HDRS"; "" = what the
            server does by itself.
        identifier: what a notification says of which message it is about (ENVID, RFC 3461 §4.4); "" = nothing.
    """

    sender: str
    recipients: tuple[str, ...]
    notify: tuple[str, ...] = ()
    returned: str = ""
    identifier: str = ""

    def __post_init__(self) -> None:
        if len(self.recipients) > 1:
            object.__setattr__(self, "recipients", tuple(dict.fromkeys(self.recipients)))

    def __repr__(self) -> str:
        return f"<Envelope for {len(self.recipients)}>"

    def mail(self, offer: Offer, content: bytes, *, smtputf8: bool) -> bytes:
        """Return the MAIL command, with the parameters that the server offers and the message needs.

        Args:
            offer: what the server offers.
            content: the message as it will be sent.
            smtputf8: an address of the envelope, or the message's header, needs it.
        """
        line = b"MAIL FROM:<" + self.sender.encode() + b">"
        if offer.size:
            line += b" SIZE=%d" % len(content)
        if offer.eight_bit and not content.isascii():
            line += b" BODY=8BITMIME"
        if smtputf8:
            line += b" SMTPUTF8"
        if offer.dsn and self.returned:
            line += b" RET=" + xtext(self.returned)
        if offer.dsn and (self.notify or self.returned) and _is_plain(self.identifier, _MAX_ENVID):
            line += b" ENVID=" + xtext(self.identifier)
        return line + b"\r\n"

    def rcpt(self, offer: Offer, recipient: str) -> bytes:
        """Return the RCPT command for one recipient, with the parameters that the server offers and were asked for.

        ORCPT (RFC 3461 §4.2) goes along with NOTIFY, so that a notification names the address that we know.
        """
        line = b"RCPT TO:<" + recipient.encode() + b">"
        if offer.dsn and self.notify:
            line += b" NOTIFY=" + xtext(",".join(self.notify))
            if _is_plain(recipient, _MAX_ORCPT):
                line += b" ORCPT=rfc822;" + xtext(recipient)
        return line + b"\r\n"


def xtext(text: str) -> bytes:
    """Return text as a parameter's value (RFC 3461 §4): what is no plain character as "+" and two digits. Never fails."""
    octets = text.encode("utf-8", "replace")
    return b"".join(b"+%02X" % c if not 33 <= c <= 126 or c in b"+=" else bytes((c,)) for c in octets)


def _is_plain(text: str, limit: int) -> bool:
    """Tell whether a text can stand in a notification; without one that cannot, a notification comes all the same."""
    return 0 < len(text) <= limit and text.isascii() and text.isprintable()


def needs_smtputf8(address: str) -> bool:
    """Tell whether an address can only be written with SMTPUTF8."""
    return not address.isascii()


def why_not(address: str, *, smtputf8: bool) -> str:
    """Return why an address cannot be told to a server, or "" if it can.

    Args:
        address: without angle brackets.
        smtputf8: the server offers SMTPUTF8.
    """
    if not _CARRIABLE.fullmatch(address):
        return "the address cannot be written in an SMTP command"
    try:
        address.encode()
    except UnicodeEncodeError:
        return "the address is no valid text"
    if needs_smtputf8(address) and not smtputf8:
        return "the address is not ASCII, and the relay does not offer SMTPUTF8 (RFC 6531)"
    return ""
