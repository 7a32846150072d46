"""The ids of a bulk's mails: each follows from the bulk's name and the recipient, so that who is listed twice gets one mail, and
a list that is read again adds only what is missing.

With encryption keys it is an HMAC, since a plain digest would confirm a guess at an address.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from mailworker.mail.sealing import Sealer

#: Tells these ids from digests of the same bytes for any other purpose.
_PERSON = b"mailworker bulk"


def row_ids(name: str, sealer: Sealer) -> Callable[[str], str]:
    """Return a function from a recipient to the id of the mail.

    Args:
        name: of the bulk.
        sealer: makes HMACs if it has keys.
    """
    # The length parts the two: what ends a name and what begins an address are not to be told apart otherwise.
    start = len(name.encode()).to_bytes(4, "big") + name.encode()
    if sealer.has_keys:
        marked = b"bulk:" + start
        return lambda recipient: sealer.mark(marked + recipient.encode())[:32]
    begun = hashlib.blake2b(start, digest_size=16, person=_PERSON)

    def digest(recipient: str) -> str:
        one = begun.copy()
        one.update(recipient.encode())
        return one.hexdigest()

    return digest
