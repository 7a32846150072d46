"""Who a message is: its Message-ID and its Date, made without asking the network.

The standard library's `make_msgid` asks DNS for this host's name, which can hang; here the identifier ends with the
sender's domain, which is the one that answers for the message anyway (RFC 5322 §3.6.4).
"""

from __future__ import annotations

import re
import secrets
import time
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from mailworker import settings
from mailworker.mail.address import domain_of, idna

#: Where the sender's address has no domain ("root").
_NO_DOMAIN = "localhost"

#: id-right (RFC 5322 §3.6.4): dot-atom-text or a domain literal.
_ID_RIGHT = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+|\[[^\s\[\]\\]+\]")


def make_msgid(idstring: str | None = None, domain: str | None = None) -> str:
    """Return a new Message-ID with its angle brackets (RFC 5322 §3.6.4).

    Args:
        idstring: put into it before the "@", to tell kinds of mail apart.
        domain: what stands behind the "@"; None = the domain of `DEFAULT_FROM_EMAIL`.

    Raises:
        UnicodeError: the domain cannot be written in ASCII.
    """
    if domain is None:
        domain = domain_of(settings.current().DEFAULT_FROM_EMAIL)
    right = _right(str(domain or _NO_DOMAIN))
    more = f".{idstring}" if idstring else ""
    return f"<{time.time_ns() // 1_000_000}.{secrets.token_hex(12)}{more}@{right}>"


@lru_cache(maxsize=1024)
def _right(domain: str) -> str:
    """Return a domain as a Message-ID may end with it; the senders of a program have few."""
    ascii_domain = idna(domain)
    return ascii_domain if _ID_RIGHT.fullmatch(ascii_domain) else _NO_DOMAIN


def message_id_for(message: Any) -> str:
    """Return a new Message-ID with the domain of the message's sender."""
    return make_msgid(domain=domain_of(message.from_email) or _NO_DOMAIN)


def message_id_of(name: str, sender: Any) -> str:
    """Return the Message-ID that a name has, with the domain of a sender.

    Args:
        name: letters and digits that nothing else from this domain is called.
        sender: address, as in `mailworker.mail.address.envelope_address`.
    """
    return f"<{name}@{_right(domain_of(sender) or _NO_DOMAIN)}>"


def date_now() -> str:
    """Return the present as a Date header has it: UTC, or local time with `EMAIL_USE_LOCALTIME`."""
    return date_at(time.time())


def date_at(seconds: float) -> str:
    """Return a time, in seconds since the epoch, as `date_now` does."""
    return _date(int(seconds), bool(settings.current().EMAIL_USE_LOCALTIME))


#: The present, and the times of the mails that are composed for it meanwhile.
@lru_cache(maxsize=16)
def _date(seconds: int, localtime: bool) -> str:
    # Its grain is a second, and a program that sends thousands in one would make the same text each time.
    return formatdate(seconds, localtime=localtime)


def freeze_identity(message: Any) -> None:
    """Fix Message-ID and Date in the message's headers, so that every attempt carries the same.

    What is there already, in whatever letter case, stays. The caller's own dict of headers is left alone: one dict may
    serve many messages.

    Args:
        message: an `EmailMessage`, or anything with `extra_headers` and `from_email`.
    """
    known = {str(name).lower() for name in message.extra_headers}
    fixed: dict[Any, Any] = {}
    if "date" not in known:
        fixed["Date"] = date_now()
    if "message-id" not in known:
        fixed["Message-ID"] = message_id_for(message)
    if fixed:
        message.extra_headers = {**fixed, **message.extra_headers}
