"""An access token (RFC 6749 §1.4) and the function that gives one: what it may return, and what of that can go on the wire.

It decides whether a value is a token; where one is kept and when another is asked for is `token_source`'s. What is none is
a `BadToken`, whose text says what came without repeating it.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from mailworker.errors import MailworkerError

#: Characters of a token: with user and host around it, in base64, it fits the 12288 octets that servers take in AUTH
#: (RFC 4954 §4).
MAX_LENGTH = 8192

#: RFC 6749 appendix A.12 without the space, which no bearer token has (RFC 6750 §2.1). Above all no control character: it
#: would end the line, or the token's place in it (RFC 7628 §3.1).
_TOKEN = re.compile(r"[\x21-\x7e]+")

#: Seconds since the epoch at which no token ends: what is later was meant in milliseconds.
_FAR_FUTURE = 1e11


class BadToken(MailworkerError, ValueError):  # noqa: N818 - a verdict on a value
    """Raised when what should be an access token is none; the text ends the sentence "it returned ..."."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token that is known to end.

    Attributes:
        token: what the relay wants to see; it stands in no repr.
        expires_at: when it ends, in seconds since the epoch as `time.time()` counts them; None = nobody knows.
    """

    token: str = field(repr=False)
    expires_at: float | None = None


#: Seconds by which no clock is wrong. A token that has ended a while ago by ours is good for one login all the same.
_LONG_AGO = 86_400.0

#: Gives an access token whenever it is called: as text, or with its end. It gets no arguments.
TokenFunction = Callable[[], str | AccessToken]


def checked(given: object, now: float) -> AccessToken:
    """Return what a token function gave as a token.

    Args:
        given: what it returned.
        now: seconds since the epoch.

    Raises:
        BadToken: it is none, or cannot be sent.
    """
    if inspect.iscoroutine(given):
        given.close()
        raise BadToken("a coroutine; expected a plain function, without async")
    found = AccessToken(given) if isinstance(given, str) else given
    if not isinstance(found, AccessToken):
        what = "None" if given is None else f"a value of type {type(given).__name__}"
        raise BadToken(f"{what}; expected the token as str, or mailworker.AccessToken(token, expires_at)")
    _check_text(found.token)
    _check_end(found.expires_at, now)
    return found


def _check_text(token: object) -> None:
    if not isinstance(token, str):
        raise BadToken(f"a token of type {type(token).__name__}; expected str")
    if not token:
        raise BadToken("an empty token; expected some text")
    if token.lower().startswith("bearer "):
        raise BadToken('a token with "Bearer" before it; expected the token alone')
    if not _TOKEN.fullmatch(token):
        raise BadToken("a token with a space, a control character or one beyond ASCII in it; expected none of these")
    if len(token) > MAX_LENGTH:
        raise BadToken(
            f"a token of {len(token)} characters; expected no more than {MAX_LENGTH}, which is what SMTP takes"
        )


def _check_end(expires_at: object, now: float) -> None:
    if expires_at is None:
        return
    if isinstance(expires_at, bool) or not isinstance(expires_at, int | float):
        raise BadToken(f"an expires_at of type {type(expires_at).__name__}; expected seconds since the epoch, or None")
    if not math.isfinite(expires_at) or expires_at > _FAR_FUTURE:
        raise BadToken(
            "an expires_at that is no time in seconds since the epoch (milliseconds?); expected one, or None"
        )
    if expires_at < now - _LONG_AGO:
        # Mostly 3599, as the provider says it: with it there would be a login for each mail, and nobody told.
        raise BadToken(
            f"a token that ended long ago: expires_at is {expires_at:.0f}, and it is {now:.0f} now; expected seconds since "
            "the epoch, as time.time() + expires_in"
        )
