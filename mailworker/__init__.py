"""mailworker: background email for Python. The public names, nothing else.

Each is imported when it is first used, so that `import mailworker` costs a program next to nothing, and a web process
never loads what delivers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery import Celery

    from mailworker import bulk
    from mailworker.errors import (
        BadHeaderError,
        ConfigurationError,
        DeliveryDeferred,
        DeliveryFailed,
        EnqueueError,
        InvalidAddress,
        MailerUnavailable,
        MailworkerError,
        MessageTooLarge,
        TemplateError,
        UnserializableMessage,
    )
    from mailworker.lane import Lane
    from mailworker.mail import (
        DEFAULT_ATTACHMENT_MIME_TYPE,
        EmailAlternative,
        EmailAttachment,
        EmailMessage,
        EmailMultiAlternatives,
        SafeMIMEMessage,
        SafeMIMEMultipart,
        SafeMIMEText,
        amail_admins,
        amail_managers,
        asend_mail,
        asend_mass_mail,
        forbid_multi_line_headers,
        get_connection,
        mail_admins,
        mail_managers,
        mailers,
        make_msgid,
        send_mail,
        send_mass_mail,
    )
    from mailworker.outcome import Outcome, OutcomeClass, Reply
    from mailworker.queue.aclient import acancel, acancel_group, aenqueue, areplay, astatus, astatus_of_group
    from mailworker.queue.app import install
    from mailworker.queue.client import (
        MailId,
        cancel,
        cancel_group,
        enqueue,
        pause,
        pause_group,
        replay,
        resume,
        resume_group,
        status,
        status_of_group,
    )
    from mailworker.queue.eager import run_due
    from mailworker.settings import configure
    from mailworker.smtp.access_token import AccessToken
    from mailworker.spool.record import MailStatus, State

    app: Celery
    outbox: list[EmailMessage]

__version__ = "0.1.0"

__all__ = [
    "DEFAULT_ATTACHMENT_MIME_TYPE",
    "AccessToken",
    "BadHeaderError",
    "ConfigurationError",
    "DeliveryDeferred",
    "DeliveryFailed",
    "EmailAlternative",
    "EmailAttachment",
    "EmailMessage",
    "EmailMultiAlternatives",
    "EnqueueError",
    "InvalidAddress",
    "Lane",
    "MailId",
    "MailStatus",
    "MailerUnavailable",
    "MailworkerError",
    "MessageTooLarge",
    "Outcome",
    "OutcomeClass",
    "Reply",
    "SafeMIMEMessage",
    "SafeMIMEMultipart",
    "SafeMIMEText",
    "State",
    "TemplateError",
    "UnserializableMessage",
    "acancel",
    "acancel_group",
    "aenqueue",
    "amail_admins",
    "amail_managers",
    "app",
    "areplay",
    "asend_mail",
    "asend_mass_mail",
    "astatus",
    "astatus_of_group",
    "bulk",
    "cancel",
    "cancel_group",
    "configure",
    "enqueue",
    "forbid_multi_line_headers",
    "get_connection",
    "install",
    "mail_admins",
    "mail_managers",
    "mailers",
    "make_msgid",
    "outbox",
    "pause",
    "pause_group",
    "replay",
    "resume",
    "resume_group",
    "run_due",
    "send_mail",
    "send_mass_mail",
    "status",
    "status_of_group",
]

#: Where the names live that are not in `mailworker.mail`.
_HOMES = {
    **dict.fromkeys(
        (
            "ConfigurationError",
            "DeliveryDeferred",
            "DeliveryFailed",
            "EnqueueError",
            "InvalidAddress",
            "MailerUnavailable",
            "MailworkerError",
            "MessageTooLarge",
            "TemplateError",
            "UnserializableMessage",
        ),
        "mailworker.errors",
    ),
    **dict.fromkeys(("Outcome", "OutcomeClass", "Reply"), "mailworker.outcome"),
    **dict.fromkeys(
        (
            *("MailId", "cancel", "cancel_group", "enqueue", "pause", "pause_group"),
            *("replay", "resume", "resume_group", "status", "status_of_group"),
        ),
        "mailworker.queue.client",
    ),
    **dict.fromkeys(
        ("acancel", "acancel_group", "aenqueue", "areplay", "astatus", "astatus_of_group"), "mailworker.queue.aclient"
    ),
    **dict.fromkeys(("MailStatus", "State"), "mailworker.spool.record"),
    "AccessToken": "mailworker.smtp.access_token",
    "Lane": "mailworker.lane",
    "configure": "mailworker.settings",
    "install": "mailworker.queue.app",
    "run_due": "mailworker.queue.eager",
}


# A type checker that saw it would take any name for one of ours.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name == "app":
            # Looked up anew each time: it follows the settings, and `install()`.
            return import_module("mailworker.queue.app").current()
        if name == "outbox":
            # The list of `mailworker.mail`, whichever it is now: tests put a new one there.
            return import_module("mailworker.mail").outbox
        if name == "bulk":
            # A package of its own, which `import mailworker` alone does not load.
            return import_module("mailworker.bulk")
        if name not in __all__:
            raise AttributeError(f"module 'mailworker' has no attribute {name!r}")
        value = getattr(import_module(_HOMES.get(name, "mailworker.mail")), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
