"""The mails that every contender sends: of 1 KB as they go over the wire, or with an attachment of 100 KB."""

from __future__ import annotations

import random
from enum import StrEnum
from functools import cache


class Letter(StrEnum):
    """Kinds of mail."""

    SMALL = "1 KB"
    LARGE = "100 KB attached"


SENDER = "shop@example.com"
SUBJECT = "Your order"
#: With the header a mail has 1 KB.
BODY = "It is on its way, and will be with you soon.\n" * 15
ATTACHMENT = ("report.bin", "application/octet-stream")
_ATTACHED_BYTES = 100 * 1024


def recipient(number: int) -> str:
    """Return the address that a mail goes to."""
    return f"ann{number}@example.com"


@cache
def attachment() -> bytes:
    """Return what is attached; nothing that compresses, or looks like text."""
    return random.Random(0).randbytes(_ATTACHED_BYTES)


def rendered(letter: Letter) -> bytes:
    """Return a mail as it goes over the wire, for those that send bytes which they did not make."""
    from mailworker import EmailMessage

    message = EmailMessage(SUBJECT, BODY, SENDER, [recipient(0)])
    if letter is Letter.LARGE:
        name, kind = ATTACHMENT
        message.attach(name, attachment(), kind)
    lines = message.message().as_bytes().splitlines()
    return b"".join(line + b"\r\n" for line in lines)
