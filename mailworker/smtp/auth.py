"""How to log in with a password: the SASL mechanisms that it can serve, in the order of preference.

The mechanisms and their order are smtplib's; they are spoken here because its own stop at ASCII, while PLAIN is UTF-8
(RFC 4616 §2). The exchange itself is `sasl`'s. A refusal is a value, the last reply.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mailworker.outcome import Reply
from mailworker.smtp import sasl

if TYPE_CHECKING:
    from mailworker.smtp.dialogue import Dialogue


class PasswordLogin:
    """A user and a password.

    Args:
        username: who.
        password: of that user.
    """

    advice = "check username and password (EMAIL_HOST_USER, EMAIL_HOST_PASSWORD)"

    def __init__(self, username: str, password: str) -> None:
        self._username = username
        self._password = password

    @property
    def mechanisms(self) -> Sequence[str]:
        """The mechanisms that can be used here, the best first."""
        return [name for name in _MECHANISMS if name != "CRAM-MD5" or _has_md5()]

    def log_in(self, dialogue: Dialogue, mechanisms: Sequence[str]) -> Reply:
        """Try the mechanisms in turn until one succeeds or the server asks to come back later.

        Returns:
            The last reply: 2xx when logged in.

        Raises:
            ConnectionLost: the connection was lost on the way.
        """
        refused: Reply | None = None
        for name in mechanisms:
            exchange = _MECHANISMS[name](self._username, self._password)
            reply = sasl.attempt(dialogue, name, exchange, [self._password])
            if not reply.is_permanent:
                return reply
            # Some servers offer a mechanism that no account of theirs can use; 535 to the last one is the true answer.
            refused = reply
        if refused is None:
            raise ValueError("no mechanism to log in with")
        return refused


def _plain(username: str, password: str) -> sasl.Exchange:
    yield f"\0{username}\0{password}".encode()


def _login(username: str, password: str) -> sasl.Exchange:
    # No initial response: servers that know LOGIN only from hearsay do not take one.
    yield None
    yield username.encode()
    yield password.encode()


def _cram_md5(username: str, password: str) -> sasl.Exchange:
    # Strict, so that what is no base64 is cancelled: else what is wrong in it is passed over, and the digest is of the rest.
    challenge = binascii.a2b_base64((yield None).encode("ascii", "replace"), strict_mode=True)
    yield f"{username} {hmac.new(password.encode(), challenge, 'md5').hexdigest()}".encode()


_MECHANISMS: dict[str, Callable[[str, str], sasl.Exchange]] = {
    "CRAM-MD5": _cram_md5,
    "PLAIN": _plain,
    "LOGIN": _login,
}


def _has_md5() -> bool:
    """Tell whether this Python may use MD5 at all: a FIPS build may not."""
    try:
        hashlib.md5(b"")  # noqa: S324 - RFC 2195 is built on it; TLS protects the exchange
    except ValueError:
        return False
    return True
