"""Sends messages to a relay, and leaves on each what became of every recipient.

It decides the order of things in a batch: when to open another session, which message to repeat at once, when to go on
and when to stop; the wire is `mailworker.smtp`'s. A message that fails stops none of the others: the first failure is
raised at the end. A relay that cannot be reached (again) ends the batch with `MailerUnavailable`; the messages that were
not sent have empty `outcomes`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mailworker import log, settings
from mailworker.errors import (
    BadHeaderError,
    ConfigurationError,
    DeliveryFailed,
    InvalidAddress,
    MailerUnavailable,
    Trouble,
)
from mailworker.mail import address, render, seven_bit
from mailworker.mail.backends.base import BaseEmailBackend
from mailworker.outcome import Outcome, OutcomeClass
from mailworker.smtp import reply as replies
from mailworker.smtp.envelope import Envelope
from mailworker.smtp.handshake import client_context
from mailworker.smtp.options import SessionOptions
from mailworker.smtp.session import Session
from mailworker.smtp.transaction import transact

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    from mailworker.mail.journal import Journal
    from mailworker.mail.message import EmailMessage

logger = log.get(__name__)

#: What `SessionOptions` knows beyond Django's arguments, with the setting that gives its default.
_WIRE_OPTIONS = {
    "ssl_cafile": None,
    "local_hostname": None,
    "transaction_timeout": "MAILWORKER_TRANSACTION_TIMEOUT",
    "final_reply_timeout": "MAILWORKER_FINAL_REPLY_TIMEOUT",
    "max_idle": "MAILWORKER_IDLE_TIMEOUT",
    "reset_after": None,
    "max_messages": None,
    "max_age": None,
}


class EmailBackend(BaseEmailBackend):
    """A relay, and the session with it while one is open. Safe to use from several threads, one batch at a time.

    Args (in the order of Django's; what is None is taken from the `EMAIL_*` settings, or with an `alias` from their
    defaults):
        host: name or address of the relay.
        port: its port.
        username: who logs in, with `password`; nobody does without both.
        password: of that user.
        use_tls: STARTTLS, or nothing.
        fail_silently: raise nothing that the relay or a message is the cause of.
        use_ssl: TLS from the first byte.
        timeout: seconds for each step.
        ssl_keyfile: key of our own certificate.
        ssl_certfile: our own certificate.
        alias: name of the mailer that this is.
        **kwargs: `ssl_context`, and the other fields of `mailworker.smtp.options.SessionOptions`.

    Attributes:
        connection: the session, None while there is none.

    Raises:
        ConfigurationError: an option is wrong or, with an `alias`, unknown; or both kinds of TLS are asked for.
    """

    reports_outcomes = True

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
                f"MAILERS[{alias!r}] has the unknown options {', '.join(sorted(kwargs))}; "
                f"expected some of {', '.join(sorted({*_ARGUMENTS, *_WIRE_OPTIONS, 'ssl_context', 'fail_silently'}))}"
            )
        super().__init__(fail_silently=fail_silently, alias=alias, **kwargs)
        defaults = _defaults(configured if alias is None else None)
        self.host = str(host or defaults["host"])
        self.port = port or defaults["port"]
        self.username = defaults["username"] if username is None else username
        self.password = defaults["password"] if password is None else password
        self.use_tls = defaults["use_tls"] if use_tls is None else use_tls
        self.use_ssl = defaults["use_ssl"] if use_ssl is None else use_ssl
        self.timeout = defaults["timeout"] if timeout is None else timeout
        self.ssl_keyfile = defaults["ssl_keyfile"] if ssl_keyfile is None else ssl_keyfile
        self.ssl_certfile = defaults["ssl_certfile"] if ssl_certfile is None else ssl_certfile
        if ssl_context is not None:
            self.ssl_context = ssl_context
        self.connection: Session | None = None
        self._lock = threading.RLock()
        self._session_options()

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
            batch = _Batch()
            try:
                for message in messages:
                    self._send(message, journal, batch)
            except MailerUnavailable:
                if not self.fail_silently:
                    raise
            finally:
                if not was_open:
                    self.close()
        failure = batch.bad_header if self.fail_silently else batch.failure
        if failure is not None:
            raise failure
        return batch.accepted

    def _send(self, message: EmailMessage, journal: Journal | None, batch: _Batch) -> None:
        try:
            recipients = address.recipient_keys(message)
        except Exception as error:  # noqa: BLE001 - a message that cannot even say whom it is for has no outcomes
            batch.note({}, error)
            return
        if not recipients:
            return
        # Before the relay is talked to: a header that breaks out of its line opens no connection.
        ready = _prepare(message, recipients)
        if ready.envelope is not None:
            # Before the journal hears of it: a relay that is gone costs this message no attempt.
            self._make_ready()
        if journal is not None and not journal.beginning(message):
            return
        outcomes: Mapping[str, Outcome] = ready.rejected
        if ready.envelope is not None:
            sent = self._transact(message, ready.envelope, ready.content, journal)
            if not sent:
                return
            outcomes = {recipient: ready.rejected.get(recipient) or sent[recipient] for recipient in recipients}
        message.outcomes = dict(outcomes)
        batch.note(outcomes, ready.failure)
        if journal is not None:
            journal.settled(message)

    def _transact(
        self, message: EmailMessage, envelope: Envelope, content: bytes, journal: Journal | None
    ) -> Mapping[str, Outcome]:
        """Send one message; return the outcomes, or none if the journal took it back before the final dot."""
        was_sent_away = False
        while True:
            session = self._session()
            before_dot = (lambda: True) if journal is None else (lambda: journal.committing(message))
            result = transact(session, envelope, _fit(content, session), before_dot)
            if result.withdrawn:
                return {}
            if result.locked_out is not None:
                self.close()
                text = f"{self.host}:{self.port} takes no mail without a login ({replies.code_only(result.locked_out)})"
                raise MailerUnavailable(text, Trouble.AUTH_REFUSED, result.locked_out)
            if not result.stale and (was_sent_away or not result.go_away):
                return result.outcomes
            was_sent_away = was_sent_away or result.go_away
            self._make_ready()

    def _make_ready(self) -> None:
        """Make sure of a session that takes a transaction: the one that is open, or a new one in its place.

        Raises:
            MailerUnavailable: there is none.
        """
        if self.connection is not None:
            if self._session().make_ready():
                return
            self.close()
        # Through the methods that a subclass may have made its own.
        self.open()
        self._session()

    def _session(self) -> Session:
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
            use_tls=bool(self.use_tls),
            use_ssl=bool(self.use_ssl),
            ssl_certfile=_path(self.ssl_certfile),
            ssl_keyfile=_path(self.ssl_keyfile),
            ssl_context=context,
            timeout=self.timeout,
            **self._wire_options,
        )


@dataclass(frozen=True, slots=True)
class _Ready:
    """A message as far as it can be settled without the relay.

    Attributes:
        rejected: outcomes of the recipients that it cannot go to.
        failure: the first reason.
        envelope: for the others, None if there are none.
        content: the rendered message.
    """

    rejected: Mapping[str, Outcome]
    failure: Exception | None = None
    envelope: Envelope | None = None
    content: bytes = b""


def _prepare(message: EmailMessage, recipients: list[str]) -> _Ready:
    try:
        sender = address.envelope_sender(message)
        rejected, failure = _rejected(recipients)
        content = render.render(message)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a message does when it is rendered, the others go on
        text = f"the message cannot be rendered: {type(error).__name__}"
        return _Ready(dict.fromkeys(recipients, Outcome(OutcomeClass.REJECTED, None, text)), error)
    valid = tuple(recipient for recipient in recipients if recipient not in rejected)
    return _Ready(rejected, failure, Envelope(sender, valid) if valid else None, content)


class _Batch:
    """What a batch comes to: how many messages were accepted, the first failure, the first bad header."""

    def __init__(self) -> None:
        self.accepted = 0
        self.failure: Exception | None = None
        self.bad_header: BadHeaderError | None = None

    def note(self, outcomes: Mapping[str, Outcome], error: Exception | None) -> None:
        if any(outcome.kind is OutcomeClass.ACCEPTED for outcome in outcomes.values()):
            self.accepted += 1
            return
        if self.bad_header is None and isinstance(error, BadHeaderError):
            self.bad_header = error
        if self.failure is None:
            if isinstance(error, BadHeaderError | InvalidAddress):
                self.failure = error
            else:
                self.failure = DeliveryFailed(_what_failed(outcomes), outcomes)
                self.failure.__cause__ = error


def _what_failed(outcomes: Mapping[str, Outcome]) -> str:
    """Say in one sentence, without an address, why nobody gets a message."""
    shown = dict.fromkeys(
        f"{outcome.kind.value}: {replies.code_only(outcome.reply) if outcome.reply else outcome.text}"
        for outcome in outcomes.values()
    )
    return f"the message was accepted for none of its recipients ({len(outcomes)}): {'; '.join(list(shown)[:3])}"


def _rejected(recipients: list[str]) -> tuple[dict[str, Outcome], InvalidAddress | None]:
    """Return the outcomes of those recipients that are no addresses, and what the first of them raises."""
    rejected: dict[str, Outcome] = {}
    first: InvalidAddress | None = None
    for recipient in recipients:
        try:
            address.envelope_address(recipient)
        except InvalidAddress as error:
            first = first or error
            rejected[recipient] = Outcome(OutcomeClass.REJECTED, None, "the recipient is no valid address")
    return rejected, first


def _fit(content: bytes, session: Session) -> bytes:
    """Return the content in a form that this server takes."""
    return content if session.has("8bitmime") and seven_bit.is_8bit_clean(content) else seven_bit.to_7bit(content)


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
        "use_tls": configured.EMAIL_USE_TLS,
        "use_ssl": configured.EMAIL_USE_SSL,
        "timeout": configured.EMAIL_TIMEOUT,
        "ssl_keyfile": _path(configured.EMAIL_SSL_KEYFILE),
        "ssl_certfile": _path(configured.EMAIL_SSL_CERTFILE),
    }


def _path(value: object) -> str | None:
    return str(value) if value else None


#: Django's arguments, as `SessionOptions` names them.
_ARGUMENTS = (
    "host",
    "port",
    "username",
    "password",
    "use_tls",
    "use_ssl",
    "timeout",
    "ssl_keyfile",
    "ssl_certfile",
)
