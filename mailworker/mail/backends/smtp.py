"""Sends messages to a relay, and leaves on each what became of every recipient.

It decides from which options and settings a session is made, and who may use it; the order of things in a batch is
`mailworker.mail.course`'s, the wire `mailworker.smtp`'s. A message that fails stops none of the others: the first failure is
raised at the end. A relay that cannot be reached (again) ends the batch with `MailerUnavailable`; the messages that were not
sent have empty `outcomes`.
"""

from __future__ import annotations

import threading
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mailworker import log, settings
from mailworker.errors import ConfigurationError, MailerUnavailable, Trouble
from mailworker.mail import address, token_function
from mailworker.mail.backends.base import BaseEmailBackend
from mailworker.mail.course import Course
from mailworker.settings.limit import LIMITS
from mailworker.smtp.envelope import Envelope
from mailworker.smtp.handshake import client_context
from mailworker.smtp.options import SessionOptions
from mailworker.smtp.session import Session

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    from mailworker.mail.journal import Journal
    from mailworker.mail.message import EmailMessage
    from mailworker.smtp.access_token import TokenFunction

logger = log.get(__name__)

#: What `SessionOptions` knows beyond Django's arguments, with the setting that gives its default.
_WIRE_OPTIONS = {
    "ssl_cafile": None,
    "local_hostname": None,
    "opening_timeout": None,
    "transaction_timeout": "MAILWORKER_TRANSACTION_TIMEOUT",
    "final_reply_timeout": "MAILWORKER_FINAL_REPLY_TIMEOUT",
    "max_idle": "MAILWORKER_IDLE_TIMEOUT",
    "reset_after": None,
    "max_messages": None,
    "max_age": None,
    "dsn_notify": None,
    "dsn_return": None,
}


class EmailBackend(BaseEmailBackend):
    """A relay, and the session with it while one is open. Safe to use from several threads, one batch at a time.

    Args (in the order of Django's; what is None is taken from the `EMAIL_*` settings, or with an `alias` from their
    defaults):
        host: name or address of the relay.
        port: its port.
        username: who logs in, with `password` or `token`; nobody does without both.
        password: of that user.
        use_tls: STARTTLS, or nothing.
        fail_silently: raise nothing that the relay or a message is the cause of.
        use_ssl: TLS from the first byte.
        timeout: seconds for each step.
        ssl_keyfile: key of our own certificate.
        ssl_certfile: our own certificate.
        alias: name of the mailer that this is.
        token: gives access tokens of `username`, in place of a password (OAuth 2): a function that is called without
            arguments and returns a `str` or an `AccessToken`, or its path, "package.module:function". A `password`
            given here goes before the settings' token.
        **kwargs: `ssl_context`, and the other fields of `mailworker.smtp.options.SessionOptions`.

    Attributes:
        connection: the session, None while there is none.

    Raises:
        ConfigurationError: an option is wrong or, with an `alias`, unknown; or both kinds of TLS are asked for.
    """

    reports_outcomes = True
    takes_token = True

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        username: str | None = None,
        password: str | None = None,
        use_tls: bool | None = None,
        fail_silently: bool = False,
        use_ssl: bool | None = None,
        timeout: float | None = None,
        ssl_keyfile: str | None = None,
        ssl_certfile: str | None = None,
        *,
        alias: str | None = None,
        token: TokenFunction | str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        **kwargs: Any,
    ) -> None:
        configured = settings.current()
        self._wire_options = {
            name: getattr(configured, setting) for name, setting in _WIRE_OPTIONS.items() if setting is not None
        }
        self._wire_options |= {name: kwargs.pop(name) for name in _WIRE_OPTIONS if name in kwargs}
        if alias is not None and kwargs:
            # Ignoring what was meant to be use_tls would send in plain text.
            raise ConfigurationError(
                f"MAILERS[{alias!r}] has {'options that are' if len(kwargs) > 1 else 'an option that is'} not known: "
                f"{', '.join(map(_guess, sorted(kwargs)))}; expected some of {', '.join(sorted(_KNOWN))}"
            )
        super().__init__(fail_silently=fail_silently, alias=alias, **kwargs)
        defaults = _defaults(configured if alias is None else None)
        self.host = str(host or defaults["host"])
        self.port = port or defaults["port"]
        self.username = defaults["username"] if username is None else username
        if password is None:
            token = defaults["token"] if token is None else token
            password = defaults["password"] if token in (None, "") else ""
        self.password = password
        self.token = token_function.load(token, alias)
        self.use_tls = defaults["use_tls"] if use_tls is None else use_tls
        self.use_ssl = defaults["use_ssl"] if use_ssl is None else use_ssl
        self.timeout = defaults["timeout"] if timeout is None else timeout
        self.ssl_keyfile = defaults["ssl_keyfile"] if ssl_keyfile is None else ssl_keyfile
        self.ssl_certfile = defaults["ssl_certfile"] if ssl_certfile is None else ssl_certfile
        if ssl_context is not None:
            self.ssl_context = ssl_context
        self.connection: Session | None = None
        self._lock = threading.RLock()
        try:
            self._options = self._session_options()
        except ConfigurationError as error:
            if alias is None:
                raise
            raise ConfigurationError(f"MAILERS[{alias!r}]: {error}") from error

    @property
    def max_idle(self) -> float:
        """Seconds without a message after which its session is not used again: whoever keeps it open may close it."""
        return self._options.max_idle

    @cached_property
    def ssl_context(self) -> ssl.SSLContext:
        """The context that verifies the relay; a subclass may bring its own.

        Raises:
            ConfigurationError: a certificate or key file cannot be read.
        """
        return client_context(self._session_options())

    def open(self) -> bool | None:
        """Open a session if there is none.

        Returns:
            True if it is new, False if there was one already, None if there is none and `fail_silently` is on.

        Raises:
            MailerUnavailable: it could not be opened; nothing is left half open.
        """
        with self._lock:
            if self.connection is not None and not self.connection.is_closed:
                return False
            self.connection = None
            try:
                self.connection = self._new_session()
            except MailerUnavailable as trouble:
                if not self.fail_silently:
                    raise
                logger.warning("no session with the relay: %s", trouble)
                return None
            return True

    def close(self) -> None:
        """End the session, if there is one. Never raises because the relay was gone first."""
        with self._lock:
            session, self.connection = self.connection, None
            if session is not None:
                session.close()

    def send_messages(self, email_messages: Iterable[EmailMessage], journal: Journal | None = None) -> int:
        """Send messages, in one session if the relay lets us, and set `outcomes` on each of them.

        Opens a session if there is none, and closes it then; one that was open stays open. A message without
        recipients is passed over.

        Args:
            email_messages: what to send.
            journal: hears of each message; it may be asked twice for one final dot, if the relay broke off (421) and
                the message is repeated.

        Returns:
            The number of messages that were accepted for at least one recipient.

        Raises:
            MailerUnavailable: no session could be opened, or none again in mid-batch; `outcomes` of what was not sent
                are empty.
            BadHeaderError: the first message that failed holds a header that could break out of its line; of these alone
                the caller hears with `fail_silently` too, as with Django.
            InvalidAddress: sender or recipients of the first message that failed are no addresses.
            DeliveryFailed: the first message that failed was accepted for none of its recipients.
        """
        messages = list(email_messages)
        if not messages:
            return 0
        with self._lock:
            for message in messages:
                message.outcomes = {}
            was_open = self.connection is not None
            course = Course(self, messages, journal)
            try:
                course.run()
            except MailerUnavailable:
                if not self.fail_silently:
                    raise
            finally:
                if not was_open:
                    self.close()
        failure = course.bad_header if self.fail_silently else course.failure
        if failure is not None:
            raise failure
        return course.accepted

    @property
    def where(self) -> str:
        """The relay as a text names it."""
        return f"{self.host}:{self.port}"

    def envelope(self, message: EmailMessage, recipients: tuple[str, ...]) -> Envelope:
        """Return the envelope of a message for these of its recipients.

        Raises:
            InvalidAddress: its sender is no address.
        """
        sender = address.envelope_sender(message)
        if not (self._options.dsn_notify or self._options.dsn_return):
            return Envelope(sender, recipients)
        # Of a message that is none of ours, nothing is known.
        identifier = getattr(message, "mail_id", None)
        identifier = identifier if isinstance(identifier, str) else ""
        return Envelope(sender, recipients, self._options.dsn_notify, self._options.dsn_return, identifier)

    def make_ready(self) -> None:
        """Make sure of a session that takes a transaction: the one that is open, or a new one in its place.

        Raises:
            MailerUnavailable: there is none.
        """
        if self.connection is not None:
            if self.session().make_ready():
                return
            self.close()
        # Through the methods that a subclass may have made its own.
        self.open()
        self.session()

    def session(self) -> Session:
        """Return the session that is open.

        Raises:
            MailerUnavailable: there is none.
        """
        session: object = self.connection
        if session is None:
            raise MailerUnavailable("no session with the relay could be opened", Trouble.CONNECT)
        if not isinstance(session, Session):
            text = f"connection is a {type(session).__name__}; expected what open() of the SMTP backend makes: call super().open()"
            raise MailerUnavailable(text, Trouble.CONFIGURATION)
        return session

    def _new_session(self) -> Session:
        try:
            context = self.ssl_context if self.use_tls or self.use_ssl else None
            return Session.open(self._session_options(context))
        except ConfigurationError as error:
            raise MailerUnavailable(str(error), Trouble.CONFIGURATION) from error

    def _session_options(self, context: ssl.SSLContext | None = None) -> SessionOptions:
        return SessionOptions(
            host=self.host,
            port=self.port,
            username=self.username or "",
            password=self.password or "",
            token=self.token,
            use_tls=_switch("use_tls", self.use_tls),
            use_ssl=_switch("use_ssl", self.use_ssl),
            ssl_certfile=_path(self.ssl_certfile),
            ssl_keyfile=_path(self.ssl_keyfile),
            ssl_context=context,
            timeout=self.timeout,
            **self._wire_options,
        )


def _guess(name: str) -> str:
    """Return the name of an option that is not known, with the one that may have been meant."""
    meant = get_close_matches(name, _KNOWN, 1)
    return f"{name!r} ({meant[0]}?)" if meant else repr(name)


def _switch(name: str, value: object) -> bool:
    if isinstance(value, str):
        # "false" is true to Python.
        raise ConfigurationError(f"{name} is {value!r}; expected true or false")
    return bool(value)


def _defaults(configured: settings.Settings | None) -> dict[str, Any]:
    """Return the values of Django's arguments: those of the settings, or plain ones."""
    if configured is None:
        plain = SessionOptions()
        return {name: getattr(plain, name) for name in _ARGUMENTS}
    return {
        "host": configured.EMAIL_HOST,
        "port": configured.EMAIL_PORT,
        "username": configured.EMAIL_HOST_USER,
        "password": configured.EMAIL_HOST_PASSWORD.get_secret_value(),
        "token": configured.MAILWORKER_OAUTH_TOKEN,
        "use_tls": configured.EMAIL_USE_TLS,
        "use_ssl": configured.EMAIL_USE_SSL,
        "timeout": configured.EMAIL_TIMEOUT,
        "ssl_keyfile": _path(configured.EMAIL_SSL_KEYFILE),
        "ssl_certfile": _path(configured.EMAIL_SSL_CERTFILE),
    }


def _path(value: object) -> str | None:
    return str(value) if value else None


#: Django's arguments and ours of the same purpose, as `SessionOptions` names them.
_ARGUMENTS = (
    "host",
    "port",
    "username",
    "password",
    "token",
    "use_tls",
    "use_ssl",
    "timeout",
    "ssl_keyfile",
    "ssl_certfile",
)

#: What a mailer's OPTIONS may have: those of the backend, and the limits that the queue keeps.
_KNOWN = {*_ARGUMENTS, *_WIRE_OPTIONS, *LIMITS, "ssl_context", "fail_silently"}
