"""Sender and recipients as SMTP sees them, and which of them a server can be told of at all (RFC 5321 §2.3.1).

Pure. An address that would break out of its command, or that needs SMTPUTF8 (RFC 6531) where it is not offered, is
named here with the reason, before a byte of it is sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Mailbox of RFC 5321 §4.1.2, as loosely as is safe between angle brackets: a quoted or plain local part, a domain.
_CARRIABLE = re.compile(
    r'(?:"(?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*"|[^\s<>"\x00-\x1f\x7f]+)(?:@[^\s<>"\x00-\x1f\x7f]+)?'
)


@dataclass(frozen=True, slots=True, repr=False)
class Envelope:
    """Who a message is from and for.

    Attributes:
        sender: the reverse-path; "" is the null sender.
        recipients: the forward-paths; one named twice is told to the server once.
    """

    sender: str
    recipients: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "recipients", tuple(dict.fromkeys(self.recipients)))

    def __repr__(self) -> str:
        return f"<Envelope for {len(self.recipients)}>"


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
