"""Whether two texts are one address: for tests, which write it as a person does, while it travels as RFC 5321 has it."""

from __future__ import annotations

from functools import lru_cache

from mailworker.errors import InvalidAddress
from mailworker.mail.address import envelope_address


@lru_cache(maxsize=4096)
def spelled(address: str) -> str:
    """Return the one spelling of an address: without a name, in lower case, its domain in ASCII. What is none only in lower case."""
    try:
        return envelope_address(address).casefold()
    except InvalidAddress:
        return address.casefold()
