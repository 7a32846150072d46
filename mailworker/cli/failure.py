"""Says in one sentence what went wrong: the one place where foreign exceptions become words for a person.

It knows our own exceptions, which speak for themselves, the operating system's, and those of brokers, by the modules they
come from, so that no broker's library is imported to ask. Anything else is a bug, and is called one.
"""

from __future__ import annotations

import traceback

from mailworker.errors import MailworkerError
from mailworker.spool.base import SpoolUnavailable

#: Packages whose exceptions mean that the broker is the trouble.
_BROKER = ("kombu", "redis", "amqp", "vine")


def sentence(error: BaseException) -> str:
    """Return what a person is told of an exception.

    Args:
        error: what a command raised.
    """
    if isinstance(error, SpoolUnavailable):
        return (
            f"the spool cannot be used ({error}): check that its Redis runs and that MAILWORKER_SPOOL_URL (or the broker's "
            "URL) is right, or run `mailworker check`"
        )
    if isinstance(error, MailworkerError):
        return str(error)
    if _is_from_transport(error):
        why = f"it needs {error.name!r}" if isinstance(error, ImportError) and error.name else type(error).__name__
        return (
            f"MAILWORKER_BROKER_URL names a broker whose transport cannot be loaded ({why}): install its library, as "
            "with pip install 'celery[sqs]', or name another broker, such as redis://127.0.0.1:6379/0"
        )
    if _is_from_broker(error):
        return (
            f"the broker cannot be used ({type(error).__name__}): check that it runs and that MAILWORKER_BROKER_URL is "
            "right, or run `mailworker check`"
        )
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return (
        f"this is a bug in mailworker, or in a program that it loads ({type(error).__name__}); run it again as "
        "`mailworker --traceback ...` and report what it shows"
    )


def _is_from_transport(error: BaseException) -> bool:
    """Tell whether kombu raised this while it imported the transport that a URL names."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__") == "kombu.transport" for frame, _ in frames)


def _is_from_broker(error: BaseException) -> bool:
    return any(kind.__module__.partition(".")[0] in _BROKER for kind in type(error).__mro__)
