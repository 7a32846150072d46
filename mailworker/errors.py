"""The exceptions that mailworker raises, and which builtin each of them also is.

Remote replies are values (`mailworker.outcome`), not exceptions: what stands here is raised in a caller, for a wrong
setting, a message that cannot be carried, a queue that did not take it, or a relay that cannot be talked to. No text of
these exceptions holds a body, a password or a whole address.
"""

from __future__ import annotations

import smtplib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mailworker.outcome import Outcome, Reply


class MailworkerError(Exception):
    """Base of every exception that mailworker raises by itself."""


class ConfigurationError(MailworkerError, ValueError):
    """Raised when a setting, or the use of an option that a setting has to allow, is wrong.

    The text names the setting, what it got, what it expected and how to mend it.
    """


class BadHeaderError(MailworkerError, ValueError):
    """Raised when a header could break out of its line (CR or LF), is no RFC 5322 field name, or follows from the body."""


class InvalidAddress(MailworkerError, ValueError):  # noqa: N818 - the builtin twin is ValueError, as in Django
    """Raised when a sender or recipient is no address that an envelope can carry (RFC 5321 §4.1.2)."""


class TemplateError(MailworkerError, ValueError):
    """Raised when a template of a mail is missing, cannot be read, or wants a variable that the context has not.

    The text names the template, the line where that is known, and where it was looked for.
    """


class BulkRefused(MailworkerError, ValueError):  # noqa: N818 - a verdict on what was asked
    """Raised when a bulk cannot be started as asked, or does not stand so that it can be done with it what was asked."""


class BulkUnknown(MailworkerError, LookupError):  # noqa: N818 - a name of the public API
    """Raised when there is no bulk of that name, or there was one and all of its mails are forgotten."""


class RowsError(MailworkerError, ValueError):
    """Raised when a list of rows cannot be read as one: it is missing, cut off, or of another format."""


class SuppressionUnavailable(MailworkerError):  # noqa: N818 - a state of a list, not a bug
    """Raised when a list of those who want no mail cannot be asked: it is missing, has a wrong line, or its function failed."""


class BadRow(MailworkerError, ValueError):  # noqa: N818 - what a person is told of a row, one of a million
    """Raised when a row of a bulk can become no mail.

    Attributes:
        reason: names the column and what is wrong with it, without its value.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BadToken(MailworkerError, ValueError):  # noqa: N818 - what a view catches
    """Raised when the token of an unsubscribe link is none that one of the keys has signed."""


class CodecError(MailworkerError, ValueError):
    """Raised when bytes from the queue are no message: unknown version, broken, or no key opens them."""


class EnqueueError(MailworkerError, smtplib.SMTPException):
    """Raised when the queue did not take a message, or its answer never came.

    Attributes:
        accepted: ids of the mails that the queue has taken.
        unknown: ids of those whose answer was lost: they may or may not be queued. Sending the same message object
            again reuses its id and Message-ID: no second mail where the queue knows mails by id, and a copy that is
            flagged in doubt where mail travels in tasks.
    """

    def __init__(self, text: str, *, accepted: Sequence[str] = (), unknown: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.accepted = tuple(accepted)
        self.unknown = tuple(unknown)


class UnserializableMessage(EnqueueError, TypeError):  # noqa: N818 - a name of the public API
    """Raised when a message holds what the queue cannot carry faithfully; the text names the attribute."""


class MessageTooLarge(EnqueueError, ValueError):  # noqa: N818 - a name of the public API
    """Raised when a serialized message is over `MAILWORKER_MAX_MESSAGE_SIZE`."""


class DeliveryFailed(MailworkerError, smtplib.SMTPException):  # noqa: N818 - a name of the public API
    """Raised when a backend, or the eager mode, could not get rid of a message.

    Attributes:
        outcomes: recipient -> Outcome of the first message that failed.
    """

    def __init__(self, text: str, outcomes: Mapping[str, Outcome] | None = None) -> None:
        super().__init__(text)
        self.outcomes: Mapping[str, Outcome] = dict(outcomes or {})


class DeliveryDeferred(DeliveryFailed):
    """Raised in eager mode when a mail would be tried again later: there, nobody waits for later."""


class Trouble(StrEnum):
    """What kept a session with the relay from coming up: never the fault of one mail."""

    CONNECT = "connect"  #: name lookup, refused, timed out, lost before or while the session was set up
    TLS = "tls"  #: handshake, certificate, host name, STARTTLS refused or not offered
    GREETING = "greeting"  #: 4xx or 5xx in place of 220, EHLO or HELO refused
    AUTH_TEMPORARY = "auth-temporary"  #: 454 and other 4xx to AUTH (RFC 4954 §6); no access token to be had
    AUTH_REFUSED = (
        "auth-refused"  #: 535, 534, 530 (with tokens: to a second one), or no AUTH offered: a person has to look
    )
    CONFIGURATION = "configuration"  #: the mailer's backend cannot be built, or what should be a token is none: a person has to look


class MailerUnavailable(MailworkerError, smtplib.SMTPException):  # noqa: N818 - a state of the relay, not a bug
    """Raised when no session with the relay can be opened.

    Attributes:
        trouble: which step failed.
        reply: the relay's answer, if it gave one.
    """

    def __init__(self, text: str, trouble: Trouble, reply: Reply | None = None) -> None:
        super().__init__(text)
        self.trouble = trouble
        self.reply = reply


def loggable(error: Exception) -> str:
    """Return what a log may say of an exception: only our own are known to hold no address and no body.

    Args:
        error: any.
    """
    return str(error) if isinstance(error, MailworkerError) else type(error).__name__
