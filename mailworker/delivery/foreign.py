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

from mailworker.errors import ConfigurationError, MailerUnavailable, Trouble
from mailworker.outcome import Outcome, OutcomeClass, Reply

#: What smtplib raises before the relay has heard of any message; some backends connect in the middle of a send.
_NO_SESSION = (smtplib.SMTPAuthenticationError, smtplib.SMTPConnectError, smtplib.SMTPHeloError)


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
    return isinstance(error, (MailerUnavailable, *_NO_SESSION))


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

    Transient, unless it is an SMTP 5xx or a ValueError: nobody knows how far a foreign backend had come.

    Args:
        error: the exception.
        recipients: those that the message was meant for.
        backend: whose `send_messages` raised it.
    """
    refused = getattr(error, "recipients", None)
    if isinstance(refused, dict) and refused:
        known = {r: _refusal(*reply) for r, reply in refused.items() if isinstance(reply, tuple) and len(reply) == 2}
        rest = Outcome(OutcomeClass.DEFERRED, None, type(error).__name__)
        return {r: known.get(r, rest) for r in recipients}
    code = getattr(error, "smtp_code", None)
    if isinstance(code, int) and code > 0:
        return dict.fromkeys(recipients, _outcome(code, getattr(error, "smtp_error", b"")))
    kind = OutcomeClass.REJECTED if isinstance(error, ValueError) else OutcomeClass.DEFERRED
    return dict.fromkeys(recipients, Outcome(kind, None, blame(backend, error)))


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
