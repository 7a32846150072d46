"""Parts for testing code that sends mail. The pytest plugin (`plugin`) has them as fixtures, `MailTestMixin` for unittest.

The names are imported when they are first used: pytest loads this package in every project that has mailworker installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mailworker.mail.message import EmailMessage
    from mailworker.testing.expectation import assert_mail_sent, assert_no_mail_sent
    from mailworker.testing.mail_worker import MailWorker
    from mailworker.testing.mixin import MailTestMixin
    from mailworker.testing.received import ReceivedAttachment, ReceivedMessage
    from mailworker.testing.run_due import RunDue
    from mailworker.testing.script import DROP, HANG, OK, RESET, Command, Drip, Drop, Hang, Script
    from mailworker.testing.smtpd import ScriptedServer, ServerSession, ServerTransaction

    #: The type of the fixture `mail_outbox`.
    MailOutbox = list[EmailMessage]

__all__ = [
    "DROP",
    "HANG",
    "OK",
    "RESET",
    "Command",
    "Drip",
    "Drop",
    "Hang",
    "MailOutbox",
    "MailTestMixin",
    "MailWorker",
    "ReceivedAttachment",
    "ReceivedMessage",
    "RunDue",
    "Script",
    "ScriptedServer",
    "ServerSession",
    "ServerTransaction",
    "assert_mail_sent",
    "assert_no_mail_sent",
]

_HOMES = {
    **dict.fromkeys(("DROP", "HANG", "OK", "RESET", "Command", "Drip", "Drop", "Hang", "Script"), "script"),
    **dict.fromkeys(("ScriptedServer", "ServerSession", "ServerTransaction"), "smtpd"),
    **dict.fromkeys(("ReceivedAttachment", "ReceivedMessage"), "received"),
    **dict.fromkeys(("assert_mail_sent", "assert_no_mail_sent"), "expectation"),
    "MailTestMixin": "mixin",
    "MailWorker": "mail_worker",
    "RunDue": "run_due",
}


# A type checker that saw it would take any name for one of ours.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module 'mailworker.testing' has no attribute {name!r}")
        if name == "MailOutbox":
            from mailworker.mail.message import EmailMessage

            value: Any = list[EmailMessage]
        else:
            value = getattr(import_module(f"mailworker.testing.{_HOMES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
