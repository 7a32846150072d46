"""How to log in with an access token: OAUTHBEARER (RFC 7628) or XOAUTH2, and what to do when the token is refused.

OAUTHBEARER goes first: it is the standard, and says for which host and port the token was meant, while XOAUTH2 is Google's
own, which Microsoft took over. It decides when another token is asked for: once in a login, after the relay has refused the
one that was kept. A relay that takes the refusal as the end of the connection is connected to anew, which is said with
`HungUp`. A refusal is a value, the last reply; what it was for is in `advice`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mailworker.errors import MailworkerError
from mailworker.outcome import Reply
from mailworker.smtp import reply as replies
from mailworker.smtp import sasl, token_source
from mailworker.smtp.dialogue import ConnectionLost, Dialogue, Loss

if TYPE_CHECKING:
    from mailworker.smtp.access_token import TokenFunction
    from mailworker.smtp.budget import Budget
    from mailworker.smtp.options import SessionOptions

#: What stands for the verdict that a relay owes which says what is wrong with a token and closes the connection.
_NO_VERDICT = Reply(535, "the connection was closed after the token was refused")

#: What RFC 7628 §3.2.2 calls `status`: a word of the server's, or an HTTP status with Google.
_STATUS = re.compile(r"[A-Za-z0-9_.-]{1,40}")

#: Characters of the scope that are shown.
_SCOPE = 200


class HungUp(MailworkerError):  # noqa: N818 - a state of the connection
    """Raised when a login can only go on in another connection: there is another token, and nobody to show it to."""


class TokenLogin:
    """A user, and tokens for as long as one login takes, over one connection or two.

    Args:
        options: whose; with a token function.
        function: the same one.
        budget: for opening the session.

    Raises:
        MailerUnavailable: there is no token. It is asked for before anything is connected, so that a slow function keeps no
            relay waiting.
    """

    mechanisms: Sequence[str] = ("OAUTHBEARER", "XOAUTH2")

    def __init__(self, options: SessionOptions, function: TokenFunction, budget: Budget) -> None:
        self._options = options
        self._budget = budget
        self._source = token_source.of(function)
        self._token = self._source.token(budget.seconds())
        self._has_asked_again = False
        self._is_untried = False
        self._complaint: str | None = None

    @property
    def advice(self) -> str:
        """What to do if it was refused, with what the server says of the token."""
        said = f"the server says {self._complaint}; " if self._complaint else ""
        return (
            f"{said}check that the token function {self._source.name} gives tokens of this user (username, EMAIL_HOST_USER) "
            "with the scope for SMTP"
        )

    def log_in(self, dialogue: Dialogue, mechanisms: Sequence[str]) -> Reply:
        """Show the token; if it is refused ask for another one, and show that.

        After 535, or a challenge that says what is wrong, the token is bad. Another permanent reply is the mechanism's
        trouble, and the next one is tried; also after a bare 535 to the last token, since some servers offer what no account
        of theirs can use. One that says what is wrong has understood the token.

        Returns:
            The last reply: 2xx when logged in.

        Raises:
            ConnectionLost: the connection was lost on the way, and not because of the token.
            HungUp: call it again in another connection.
            MailerUnavailable: another token was needed and there is none, or no time is left to show it.
        """
        refused: Reply | None = None
        for name in mechanisms:
            reply = self._show(dialogue, name, refused)
            if self._is_token_refused(reply) and self._ask_again():
                reply = self._show(dialogue, name, None)
            self._is_untried = False
            if not reply.is_permanent:
                return reply
            refused = reply
            if self._complaint is not None:
                break
        if refused is None:
            raise ValueError("no mechanism to log in with")
        # The next login begins with another one.
        self._source.drop(self._token)
        return refused

    def _show(self, dialogue: Dialogue, name: str, refused: Reply | None) -> Reply:
        """Show the token once.

        Args:
            dialogue: after EHLO.
            name: of the mechanism.
            refused: what was said to this token with another mechanism: that counts if the server is gone.
        """
        self._complaint = None
        dialogue.deadline = self._budget.step()
        try:
            reply = sasl.attempt(dialogue, name, self._exchange(name), [self._token])
        except ConnectionLost as lost:
            if lost.loss is Loss.CLOSED and (gone := self._gone(refused)):
                return gone
            # It may have been the token all the same: some servers go without a word.
            self._source.drop(self._token)
            raise
        return (self._gone(refused) or reply) if reply.code == 421 else reply

    def _gone(self, refused: Reply | None) -> Reply | None:
        """Return what it means that the server has gone: a verdict on the token, or None if it has nothing to do with it.

        Raises:
            HungUp: it went because of the token before this one.
        """
        if self._complaint is not None:
            return _NO_VERDICT
        if self._is_untried:
            raise self._hung_up()
        return refused

    def _is_token_refused(self, reply: Reply) -> bool:
        return reply is not sasl.ASKS_ON and (reply.code == 535 or (self._complaint is not None and reply.code >= 400))

    def _ask_again(self) -> bool:
        """Ask for another token; True if there is one, and it is another one."""
        if self._has_asked_again:
            return False
        self._has_asked_again = True
        refused = self._token
        self._token = self._source.token(self._budget.seconds(), instead_of=refused)
        self._is_untried = self._token != refused
        return self._is_untried

    def _hung_up(self) -> HungUp:
        """Note that the other connection is begun, in which the token is shown for the first and last time."""
        self._is_untried = False
        return HungUp("the server hung up after it had refused a token")

    def _exchange(self, name: str) -> sasl.Exchange:
        response = _RESPONSES[name](self._options, self._token).encode()
        challenge = yield response
        self._complaint = _complaint(challenge, [self._token, base64.b64encode(response).decode("ascii")])
        # Both mechanisms have the client answer the error before it gets its verdict: RFC 7628 §3.2.3 with %x01,
        # Google's protocol with an empty line.
        yield b"\1" if name == "OAUTHBEARER" else b""


def _complaint(challenge: str, secrets: Sequence[str]) -> str:
    """Return what a challenge says is wrong with a token, as a text may show it."""
    try:
        error = json.loads(binascii.a2b_base64(challenge.encode("ascii", "replace")))
    except (ValueError, RecursionError):
        error = None
    words = []
    if isinstance(error, dict):
        status, scope = str(error.get("status", "")), error.get("scope")
        if _STATUS.fullmatch(status):
            words.append(f"status {status}")
        if isinstance(scope, str) and scope:
            words.append(f"scope {replies.hide_addresses(replies.printable(scope)[:_SCOPE])}")
    return sasl.without(", ".join(words), secrets) or "that the token is bad"


def _oauthbearer(options: SessionOptions, token: str) -> str:
    # RFC 7628 §3.1: the user in the form of RFC 5801 §4, in which "," and "=" have a meaning of their own.
    user = options.username.replace("=", "=3D").replace(",", "=2C")
    host = options.host if options.host.isascii() else options.host.encode("idna").decode("ascii")
    return f"n,a={user},\1host={host}\1port={options.port}\1auth=Bearer {token}\1\1"


def _xoauth2(options: SessionOptions, token: str) -> str:
    return f"user={options.username}\1auth=Bearer {token}\1\1"


_RESPONSES: dict[str, Callable[[SessionOptions, str], str]] = {"OAUTHBEARER": _oauthbearer, "XOAUTH2": _xoauth2}
