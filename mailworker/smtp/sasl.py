"""One AUTH exchange on the wire (RFC 4954), whatever its mechanism says in it.

It decides where the initial response goes, how an exchange that a server spins out comes to its end, and what of the
server's words is kept: nothing that it repeats of our secret. Which mechanisms there are, in what order they are tried and
what a refusal means is for those who log in: `auth` with a password, `bearer` with a token. A refusal is a value, the
last reply; only a connection that is lost is raised.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Generator, Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final, Protocol

from mailworker.outcome import Reply

if TYPE_CHECKING:
    from mailworker.smtp.dialogue import Dialogue

#: Octets of a command line with its CRLF (RFC 5321 §4.5.3.1.4); AUTH has no longer one (RFC 4954 §4).
MAX_COMMAND = 512

#: Characters in a row that mark a piece of a secret: a server may fold or cut what it repeats. Shorter ones would take words
#: out of its sentences, and so show which of them stand in a password.
PIECE = 16

#: What stands for the reply of a server that asks on after the exchange was cancelled: nobody knows what it expects now.
ASKS_ON: Final = Reply(501, "the server asks on after the exchange was cancelled")

#: One login: yields its initial response (None: it has none), then a response for each challenge (in base64) sent in.
Exchange = Generator[bytes | None, str, None]


class Login(Protocol):
    """A way to log in."""

    @property
    def mechanisms(self) -> Sequence[str]:
        """The mechanisms that it can use here, the best first."""
        ...

    @property
    def advice(self) -> str:
        """What to do if it was refused."""
        ...

    def log_in(self, dialogue: Dialogue, mechanisms: Sequence[str]) -> Reply:
        """Log in with one of these mechanisms, at least one, and return the last reply: 2xx when logged in.

        Raises:
            ConnectionLost: the connection was lost on the way.
        """
        ...


def supported(offered: str, known: Sequence[str]) -> list[str]:
    """Return which of the known mechanisms an EHLO's AUTH line offers, in their order.

    Args:
        offered: names separated by spaces, in any case.
        known: names in upper case.
    """
    names = offered.upper().split()
    return [name for name in known if name in names]


def attempt(dialogue: Dialogue, name: str, exchange: Exchange, secrets: Iterable[str]) -> Reply:
    """Say AUTH and go through an exchange.

    Args:
        dialogue: after EHLO.
        name: of the mechanism.
        exchange: what is said in it.
        secrets: must not stand in the reply; nor will what the exchange says.

    Returns:
        The last reply: 2xx when logged in.

    Raises:
        ConnectionLost: the connection was lost on the way.
    """
    said = list(secrets)
    command = f"AUTH {name}"
    initial = next(exchange)
    if initial is not None:
        # RFC 4954 §4: an empty initial response is a single equals sign.
        said.append(_base64(initial) or "=")
        if len(command) + 1 + len(said[-1]) + 2 <= MAX_COMMAND:
            command, initial = f"{command} {said[-1]}", None
    reply, challenge = dialogue.ask_in_auth(command.encode("ascii"))
    while reply.code == 334:
        if initial is not None:
            # RFC 4954 §4: what makes the line too long MUST NOT go with it, and answers the empty challenge that comes
            # instead. Gmail and Dovecot do count: an access token may have thousands of characters.
            response, initial = initial, None
        else:
            try:
                response = exchange.send(challenge) or b""
            except (StopIteration, binascii.Error):
                # RFC 4954 §4: a lone asterisk cancels, and the server answers 501.
                reply = dialogue.ask(b"*")
                break
            said.append(_base64(response))
        reply, challenge = dialogue.ask_in_auth(_base64(response).encode("ascii"))
    if reply.code == 334:
        return ASKS_ON
    return Reply(reply.code, without(reply.text, said), reply.enhanced)


def without(text: str, secrets: Iterable[str]) -> str:
    """Return a text with `***` in place of each secret, and of each longer piece of one."""
    hidden = [False] * len(text)
    for secret in filter(None, secrets):
        size = min(len(secret), PIECE)
        pieces = {secret[start : start + size] for start in range(len(secret) - size + 1)}
        for start in range(len(text) - size + 1):
            if text[start : start + size] in pieces:
                hidden[start : start + size] = [True] * size
    runs = groupby(zip(text, hidden, strict=True), key=lambda each: each[1])
    return "".join("***" if is_hidden else "".join(char for char, _ in run) for is_hidden, run in runs)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
