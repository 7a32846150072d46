"""Who a client of the scripted server says it is, and whether that is right: the server's half of AUTH (RFC 4954).

It reads what a mechanism's responses say and compares; which replies go out, and which faults, is the connection's part.
Responses that cannot be read raise `ValueError`.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mailworker.testing.script import Script

#: The response of each mechanism that an access token serves: Google's XOAUTH2, and RFC 7628 §3.1.
_BEARERS = {
    "XOAUTH2": re.compile(r"user=(?P<user>[^\x00-\x1f]*)\x01auth=Bearer (?P<token>[\x21-\x7e]+)\x01\x01"),
    "OAUTHBEARER": re.compile(
        r"n,a=(?P<user>[^\x00-\x1f,]*),\x01host=[\x21-\x7e]+\x01port=[0-9]+\x01auth=Bearer (?P<token>[\x21-\x7e]+)\x01\x01"
    ),
}

#: What a client has to say, as a line, to the challenge that tells it why its token was refused.
ACKNOWLEDGEMENTS = {"XOAUTH2": "", "OAUTHBEARER": base64.b64encode(b"\x01").decode()}


@dataclass(frozen=True, slots=True)
class Claim:
    """What a client claims.

    Attributes:
        user: who it says it is.
        is_right: the password or token is that user's.
        token: the access token that it showed, None if it came with a password.
    """

    user: str
    is_right: bool
    token: str | None = field(default=None, repr=False)


def claim(script: Script, mechanism: str, initial: str, ask: Callable[[bytes], str]) -> Claim:
    """Go through an exchange up to the point where it can be judged.

    Args:
        script: with the users, passwords and tokens.
        mechanism: in upper case.
        initial: the initial response, "" if there is none.
        ask: sends a challenge and returns the response line.

    Raises:
        ValueError: a response is not what the mechanism asks for, or cancels it.
    """
    if mechanism in _BEARERS:
        found = _BEARERS[mechanism].fullmatch(_decoded(initial or ask(b"")).decode())
        if found is None:
            raise ValueError("no bearer token")
        user, token = found["user"], found["token"]
        if mechanism == "OAUTHBEARER":
            user = user.replace("=2C", ",").replace("=3D", "=")
        return Claim(user, script.tokens.get(user) == token, token)
    if mechanism == "PLAIN":
        _, user, password = _decoded(initial or ask(b"")).decode().split("\0")
    elif mechanism == "LOGIN":
        user = _decoded(initial or ask(b"Username:")).decode()
        password = _decoded(ask(b"Password:")).decode()
    else:
        user, _, digest = _decoded(ask(script.challenge)).decode().rpartition(" ")
        expected = hmac.new(script.users.get(user, "").encode(), script.challenge, "md5").hexdigest()
        return Claim(user, user in script.users and digest == expected)
    return Claim(user, script.users.get(user) == password)


def complaint(mechanism: str) -> str:
    """Return the challenge that says why a token was refused: RFC 7628 §3.2.2, and Google's form of it."""
    status = "invalid_token" if mechanism == "OAUTHBEARER" else "400"
    said = {"status": status, "schemes": "bearer", "scope": "https://mail.example.com/"}
    return f"334 {base64.b64encode(json.dumps(said).encode()).decode()}"


def _decoded(line: str) -> bytes:
    if line == "*":
        raise ValueError("cancelled")
    return base64.b64decode(line, validate=True)
