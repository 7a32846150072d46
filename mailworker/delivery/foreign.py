"""What an exception out of a backend means: somebody else's is free to raise whatever it likes.

It is one message's failure, with an outcome for each recipient; or the relay's, so that no message is charged; or none of
the backend's at all, and meant for this process. Pure. No text that is made here holds what the exception says: that may be
an address or a body.
"""

from __future__ import annotations

import smtplib
import ssl
import threading
import traceback
from pathlib import Path

from mailworker.errors import ConfigurationError, InvalidAddress, MailerUnavailable, Trouble
from mailworker.mail.address import envelope_address
from mailworker.outcome import Outcome, OutcomeClass, Reply

#: What smtplib raises before the relay has heard of any message; some backends connect in the middle of a send.
_NO_SESSION = (smtplib.SMTPAuthenticationError, smtplib.SMTPConnectError, smtplib.SMTPHeloError)

#: HTTP statuses by which a sending service refuses the message (RFC 9110 §15.5). The other 4xx are about the account, the
#: moment or the address of the service, which may be mended while the mail waits.
_HTTP_REJECTS = frozenset((400, 406, 410, 411, 413, 414, 415, 422))

#: Django's word for a backend that is set up wrongly; anymail's is one.
_MISCONFIGURED = "django.core.exceptions.ImproperlyConfigured"


def is_failure(error: BaseException) -> bool:
    """Tell whether an exception is a backend's failure; any other has to go on upwards.

    `asyncio.CancelledError`, gevent's timeouts and their like are no `Exception`, and are failures all the same. Python raises what a signal asks for (Ctrl-C, Celery's shutdown) in the main thread only, so that a SystemExit in any
    other thread is the backend's.

    Args:
        error: what came out of it.
    """
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return threading.current_thread() is not threading.main_thread()
    return not isinstance(error, GeneratorExit)


def is_of_relay(error: BaseException) -> bool:
    """Tell whether an exception says that there is no session with the relay, rather than something of a message.

    Args:
        error: what `send_messages` raised.
    """
    return isinstance(error, (MailerUnavailable, *_NO_SESSION)) or _trouble_of(error) is not None


def unavailable(mailer: str, error: BaseException) -> MailerUnavailable:
    """Translate what kept a backend from its relay into the one exception that the pipeline knows.

    Args:
        mailer: alias of the mailer, for the text.
        error: what was raised.
    """
    if isinstance(error, MailerUnavailable):
        return error
    reply = None
    trouble = Trouble.CONNECT
    if isinstance(error, smtplib.SMTPResponseException):
        reply = Reply(error.smtp_code, _printable(error.smtp_error))
        trouble = Trouble.GREETING
        if isinstance(error, smtplib.SMTPAuthenticationError):
            trouble = Trouble.AUTH_TEMPORARY if reply.is_transient else Trouble.AUTH_REFUSED
    elif isinstance(error, ssl.SSLError):
        trouble = Trouble.TLS
    elif isinstance(error, ConfigurationError):
        trouble = Trouble.CONFIGURATION
    else:
        trouble = _trouble_of(error) or trouble
    return MailerUnavailable(f"mailer {mailer!r} cannot be opened: {type(error).__name__}", trouble, reply)


def blame(backend: object, error: BaseException) -> str:
    """Say which backend raised what, and where, without the text of the exception: it may hold an address or a body.

    Args:
        backend: whose `send_messages` raised.
        error: what it raised.
    """
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
    return f"{type(backend).__module__}.{type(backend).__qualname__} raised {type(error).__name__}{where}"


def outcomes(error: BaseException, recipients: tuple[str, ...], backend: object = None) -> dict[str, Outcome]:
    """Read the outcome of each recipient from what a backend raised (DESIGN §9, last row).

    Transient, unless it is an SMTP 5xx, an HTTP status that is about the message, or a ValueError: nobody knows how far a
    foreign backend had come.

    Args:
        error: the exception.
        recipients: those that the message was meant for.
        backend: whose `send_messages` raised it.
    """
    refused = getattr(error, "recipients", None)
    if isinstance(refused, dict) and refused:
        known = {
            _bare(r): _refusal(*reply) for r, reply in refused.items() if isinstance(reply, tuple) and len(reply) == 2
        }
        rest = Outcome(OutcomeClass.DEFERRED, None, type(error).__name__)
        return {r: known.get(r, rest) for r in recipients}
    code = getattr(error, "smtp_code", None)
    if isinstance(code, int) and code > 0:
        return dict.fromkeys(recipients, _outcome(code, getattr(error, "smtp_error", b"")))
    status = _http_status(error)
    if status is not None:
        kind = OutcomeClass.REJECTED if status in _HTTP_REJECTS else OutcomeClass.DEFERRED
        return dict.fromkeys(recipients, Outcome(kind, None, f"HTTP {status}: {blame(backend, error)}"))
    kind = OutcomeClass.REJECTED if isinstance(error, ValueError) else OutcomeClass.DEFERRED
    return dict.fromkeys(recipients, Outcome(kind, None, blame(backend, error)))


def _trouble_of(error: BaseException) -> Trouble | None:
    """Return what an exception of a sending service's backend says about the mailer, None if it is about a message."""
    if _http_status(error) == 401:
        return Trouble.AUTH_REFUSED
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    return Trouble.CONFIGURATION if _MISCONFIGURED in names else None


def _http_status(error: BaseException) -> int | None:
    """Return the status of a service's HTTP API, where the exception has one as anymail's and requests' have."""
    for holder in (error, getattr(error, "response", None)):
        status = getattr(holder, "status_code", None)
        if isinstance(status, int) and 400 <= status < 600:
            return status
    return None


def _bare(recipient: object) -> str:
    """Return a recipient as the envelope has it; Django's backend hands "Name <address>" to smtplib."""
    try:
        return envelope_address(recipient)
    except (InvalidAddress, TypeError):
        return str(recipient)


def _refusal(code: object, text: object) -> Outcome:
    """Return the outcome of a recipient that RCPT refused; 552 is an old way to say 452 there (RFC 5321 §4.5.3.1.10)."""
    outcome = _outcome(code, text)
    return Outcome(OutcomeClass.DEFERRED, outcome.reply) if code == 552 else outcome


def _outcome(code: object, text: object) -> Outcome:
    shown = _printable(text)
    if not isinstance(code, int):
        return Outcome(OutcomeClass.DEFERRED, None, shown)
    kind = OutcomeClass.REJECTED if 500 <= code < 600 else OutcomeClass.DEFERRED
    return Outcome(kind, Reply(code, shown), "")


def _printable(text: object) -> str:
    shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return "".join(c if c.isprintable() else " " for c in shown)[:500]
