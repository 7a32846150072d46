"""Where a relay is, how to log in to it, and how patient to be: one frozen value, checked when it is made.

It knows no settings and no defaults of theirs; whoever opens a session hands it over. A wrong value is a
`ConfigurationError` that names the option.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

from mailworker.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl

    from mailworker.smtp.access_token import TokenFunction


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """How to open a session and how long to use it. Times are seconds.

    Attributes:
        host: name or address of the relay.
        port: its port.
        username: who logs in; no AUTH without both a user and a password or token.
        password: of that user.
        token: called without arguments for an access token of that user, in place of a password: it returns text, or an
            `AccessToken` that says when it ends. Several threads get what one call gives; it is called again when that has
            ended, or the relay has refused it. It has a thread of its own, so that one that hangs holds nobody for longer
            than `timeout`; but nothing can end it, so it should have a timeout itself. It needs TLS.
        use_tls: upgrade with STARTTLS (RFC 3207), or do not talk at all.
        use_ssl: TLS from the first byte (RFC 8314 §3).
        ssl_certfile: our own certificate, if the relay asks for one.
        ssl_keyfile: its key.
        ssl_cafile: certificates of the authorities to trust in place of the system's.
        ssl_context: a context made by the caller; the three files above are not read then.
        local_hostname: what we call ourselves in EHLO; "" = this host's name if it is a full one, else the address
            literal of our end of the connection (RFC 5321 §4.1.4). The name service is never asked.
        timeout: for each phase: connecting, one handshake, one reply, one block of content.
        opening_timeout: for opening a session as a whole, from the token function and the name's address up to the login;
            None = three times `timeout`.
        transaction_timeout: for a whole transaction, from MAIL up to the final dot.
        final_reply_timeout: from the dot to the reply to it: relays filter before they answer (RFC 5321 §4.5.3.2.6).
        reset_after: a session idle for longer is probed with RSET before its next use.
        max_idle: a session idle for longer is not used again: relays end it at about this time (SES: 10 s).
        max_messages: transactions in one session; relays allow 50 to 1000.
        max_age: age at which a session is not used again.
        dsn_notify: which delivery status notifications to ask for where the server offers DSN (RFC 3461 §4.1): "NEVER", or
            some of "SUCCESS", "FAILURE" and "DELAY"; a sequence, or one text with commas. They come to the sender's address,
            and name the mail's id as the original envelope id.
        dsn_return: how much of the message these bring back (RFC 3461 §4.3): "FULL" or "HDRS".
    """

    host: str = "localhost"
    port: int = 25
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: TokenFunction | None = field(default=None, repr=False)
    use_tls: bool = False
    use_ssl: bool = False
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_cafile: str | None = None
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)
    local_hostname: str = ""
    timeout: float = 60.0
    opening_timeout: float | None = None
    transaction_timeout: float = 300.0
    final_reply_timeout: float = 600.0
    reset_after: float = 5.0
    max_idle: float = 9.0
    max_messages: int = 100
    max_age: float = 300.0
    dsn_notify: tuple[str, ...] = ()
    dsn_return: str = ""

    def __post_init__(self) -> None:
        if self.use_tls and self.use_ssl:
            raise ConfigurationError(
                "use_tls and use_ssl (EMAIL_USE_TLS and EMAIL_USE_SSL) are both on; a session has one kind of TLS: "
                "keep use_tls for STARTTLS (port 587), or use_ssl for TLS from the start (port 465)"
            )
        if not self.host or any(c.isspace() or not c.isprintable() for c in self.host):
            raise ConfigurationError(f"host (EMAIL_HOST) is {self.host!r}; expected a host name or an IP address")
        if not _is_whole(self.port) or not 0 < self.port < 65536:
            raise ConfigurationError(f"port (EMAIL_PORT) is {self.port!r}; expected a whole number from 1 to 65535")
        self._check_times()
        if not _is_whole(self.max_messages) or self.max_messages < 1:
            raise ConfigurationError(f"max_messages is {self.max_messages!r}; expected a whole number above 0")
        object.__setattr__(self, "dsn_notify", _notify(self.dsn_notify))
        object.__setattr__(self, "dsn_return", _returned(self.dsn_return))
        _check_login(self.username, self.password)
        if self.token is not None:
            self._check_token()
        if not self.local_hostname.isascii() or any(c.isspace() or not c.isprintable() for c in self.local_hostname):
            raise ConfigurationError(
                f"local_hostname is {self.local_hostname!r}; expected a host name or an address literal like [192.0.2.1]"
            )
        if self.ssl_keyfile and not self.ssl_certfile:
            raise ConfigurationError(
                "ssl_keyfile (EMAIL_SSL_KEYFILE) is set without ssl_certfile (EMAIL_SSL_CERTFILE); set both or neither"
            )

    def _check_times(self) -> None:
        for name in _TIMES:
            value = getattr(self, name)
            if name == "opening_timeout" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ConfigurationError(f"{name} is {value!r}; expected a number of seconds above 0")

    def _check_token(self) -> None:
        if not callable(self.token):
            # Not shown: it may be the token itself.
            raise ConfigurationError(
                f"token (MAILWORKER_OAUTH_TOKEN) is a value of type {type(self.token).__name__}; expected a function that "
                "returns an access token"
            )
        if self.password:
            raise ConfigurationError(
                "token (MAILWORKER_OAUTH_TOKEN) and password (EMAIL_HOST_PASSWORD) are both set; a user logs in with one of "
                "them: take the other out"
            )
        if not self.username or any(not c.isprintable() for c in self.username):
            # A control character would end the user's place in what is sent (RFC 7628 §3.1).
            what = "holds a character that cannot be printed" if self.username else "is not set"
            raise ConfigurationError(
                f"token (MAILWORKER_OAUTH_TOKEN) is set and username (EMAIL_HOST_USER) {what}; expected the user whose tokens "
                "these are, mostly the address of the mailbox"
            )
        if not (self.use_tls or self.use_ssl or self.is_local):
            # RFC 6750 §5.3: whoever reads a bearer token can use it.
            raise ConfigurationError(
                f"token (MAILWORKER_OAUTH_TOKEN) is set and TLS is off, so that anybody on the way to {self.where} could read "
                "the token: set use_tls (EMAIL_USE_TLS, port 587) or use_ssl (EMAIL_USE_SSL, port 465)"
            )

    @property
    def time_to_open(self) -> float:
        """Seconds for opening a session.

        By default a multiple, so that it follows whoever wants it quicker or has a slow relay. A healthy relay takes the time
        of one step at most for all of them; three leave room for one that keeps strangers waiting, or is asked for a token.
        """
        return 3 * self.timeout if self.opening_timeout is None else self.opening_timeout

    @property
    def is_local(self) -> bool:
        """True if the relay is on this machine, so that nobody can listen on the way."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def where(self) -> str:
        """The relay as a text names it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


_TIMES = (
    "timeout",
    "opening_timeout",
    "transaction_timeout",
    "final_reply_timeout",
    "reset_after",
    "max_idle",
    "max_age",
)
_NOTIFICATIONS = ("SUCCESS", "FAILURE", "DELAY", "NEVER")
_RETURNS = ("FULL", "HDRS")


def _notify(asked: object) -> tuple[str, ...]:
    """Return the notifications that are asked for, each once."""
    if isinstance(asked, str):
        asked = [part.strip() for part in asked.split(",") if part.strip()]
    if not isinstance(asked, list | tuple):
        raise ConfigurationError(f"dsn_notify is {asked!r}; expected some of {', '.join(_NOTIFICATIONS)}")
    for one in asked:
        if _upper(one) not in _NOTIFICATIONS:
            raise ConfigurationError(f"dsn_notify has {one!r}; expected some of {', '.join(_NOTIFICATIONS)}")
    found = tuple(dict.fromkeys(map(_upper, asked)))
    if "NEVER" in found and len(found) > 1:
        raise ConfigurationError(f"dsn_notify is {', '.join(found)}; NEVER goes with no other (RFC 3461 §4.1)")
    return found


def _returned(asked: object) -> str:
    """Return how much of a message is to come back."""
    if asked and _upper(asked) not in _RETURNS:
        raise ConfigurationError(f"dsn_return is {asked!r}; expected {' or '.join(_RETURNS)}")
    return _upper(asked)


def _upper(value: object) -> str:
    return value.strip().upper() if isinstance(value, str) else ""


def _check_login(username: str, password: str) -> None:
    for name, value in (("username (EMAIL_HOST_USER)", username), ("password (EMAIL_HOST_PASSWORD)", password)):
        if any("\ud800" <= c <= "\udfff" for c in value):
            # What Python makes of an environment variable that is not in the locale's encoding.
            raise ConfigurationError(f"{name} holds bytes that are no text; expected text in UTF-8")


def _is_whole(value: object) -> bool:
    """Tell whether a value is a whole number: options may come from a mapping that nobody has typed."""
    return isinstance(value, int) and not isinstance(value, bool)
