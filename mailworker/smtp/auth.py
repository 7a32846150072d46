"""How to log in: the SASL mechanisms that a password can serve (RFC 4954), in the order of preference.

The mechanisms and their order are smtplib's; they are spoken here because its own stop at ASCII, while PLAIN is UTF-8
(RFC 4616 §2). A refusal is a value, the last reply; what the server repeats of our secret is taken out of it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from mailworker.outcome import Reply

if TYPE_CHECKING:
    from mailworker.smtp.dialogue import Dialogue

#: One login: yields its initial response (None: it has none), then a response for each challenge sent in.
_Exchange = Generator[bytes | None, bytes, None]


def supported(offered: str) -> list[str]:
    """Return the mechanisms of an EHLO's AUTH line that can be used here, the best first.

    Args:
        offered: names separated by spaces, in any case.
    """
    names = offered.upper().split()
    return [name for name in _MECHANISMS if name in names and (name != "CRAM-MD5" or _has_md5())]


def log_in(dialogue: Dialogue, mechanisms: list[str], username: str, password: str) -> Reply:
    """Try the mechanisms in turn until one succeeds or the server asks to come back later.

    Args:
        dialogue: after EHLO.
        mechanisms: what `supported` returned; at least one.
        username: who.
        password: of that user.

    Returns:
        The last reply: 2xx when logged in.

    Raises:
        ConnectionLost: the connection was lost on the way.
    """
    refused: Reply | None = None
    for name in mechanisms:
        reply = _attempt(dialogue, name, username, password)
        if not reply.is_permanent:
            return reply
        # Some servers offer a mechanism that no account of theirs can use; 535 to the last one is the true answer.
        refused = reply
    if refused is None:
        raise ValueError("no mechanism to log in with")
    return refused


def _attempt(dialogue: Dialogue, name: str, username: str, password: str) -> Reply:
    exchange = _MECHANISMS[name](username, password)
    said = [password]
    initial = next(exchange)
    command = f"AUTH {name}"
    if initial is not None:
        said.append(_base64(initial))
        command += f" {said[-1]}"
    reply = dialogue.ask(command.encode("ascii"))
    while reply.code == 334:
        try:
            response = exchange.send(binascii.a2b_base64(reply.text.encode("ascii", "replace")))
        except (StopIteration, binascii.Error):
            # RFC 4954 §4: a lone asterisk cancels, and the server answers 501.
            reply = dialogue.ask(b"*")
            break
        said.append(_base64(response or b""))
        reply = dialogue.ask(said[-1].encode("ascii"))
    if reply.code == 334:
        return Reply(501, "the server asks on after the exchange was cancelled")
    return Reply(reply.code, _without(reply.text, said), reply.enhanced)


def _plain(username: str, password: str) -> _Exchange:
    yield f"\0{username}\0{password}".encode()


def _login(username: str, password: str) -> _Exchange:
    # No initial response: servers that know LOGIN only from hearsay do not take one.
    yield None
    yield username.encode()
    yield password.encode()


def _cram_md5(username: str, password: str) -> _Exchange:
    challenge = yield None
    yield f"{username} {hmac.new(password.encode(), challenge, 'md5').hexdigest()}".encode()


_MECHANISMS: dict[str, Callable[[str, str], _Exchange]] = {"CRAM-MD5": _cram_md5, "PLAIN": _plain, "LOGIN": _login}


def _has_md5() -> bool:
    """Tell whether this Python may use MD5 at all: a FIPS build may not."""
    try:
        hashlib.md5(b"")  # noqa: S324 - RFC 2195 is built on it; TLS protects the exchange
    except ValueError:
        return False
    return True


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _without(text: str, secrets: list[str]) -> str:
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
