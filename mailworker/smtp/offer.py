"""What a server offers in its answer to EHLO, as far as a transaction asks for it (RFC 1869).

Read once for each session, since a message asks for each of them. A SIZE that is no number names no limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A server's extensions.

    Attributes:
        pipelining: several commands may go out before the first is answered (RFC 2920).
        eight_bit: content may have octets above 127 (RFC 6152).
        smtputf8: addresses and header fields may be beyond ASCII (RFC 6531).
        starttls: the session may be encrypted (RFC 3207).
        dsn: MAIL and RCPT may say which notifications are wanted (RFC 3461).
        size: MAIL may name the size (RFC 1870).
        size_limit: octets of the largest message that it takes; None if it names no limit (RFC 1870 §3).
    """

    pipelining: bool = False
    eight_bit: bool = False
    smtputf8: bool = False
    starttls: bool = False
    dsn: bool = False
    size: bool = False
    size_limit: int | None = None

    @classmethod
    def of(cls, features: Mapping[str, str]) -> Self:
        """Read smtplib's table of features: name in lower case -> parameters."""
        limit = str(features.get("size", "")).split(" ")[0]
        return cls(
            pipelining="pipelining" in features,
            eight_bit="8bitmime" in features,
            smtputf8="smtputf8" in features,
            starttls="starttls" in features,
            dsn="dsn" in features,
            size="size" in features,
            size_limit=(int(limit) or None) if limit.isascii() and limit.isdigit() else None,
        )
