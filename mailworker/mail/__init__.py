"""Compose a message and hand it to a backend: the API of `django.core.mail`, version 5.2, and what goes beyond it.

Knows no queue, no Redis and no Celery: the queue is one backend among others.
"""

from __future__ import annotations

from mailworker.errors import BadHeaderError, InvalidAddress
from mailworker.mail.asend import amail_admins, amail_managers, asend_mail, asend_mass_mail
from mailworker.mail.connection import get_connection, mailers
from mailworker.mail.header import forbid_multi_line_headers
from mailworker.mail.identity import make_msgid
from mailworker.mail.message import (
    DEFAULT_ATTACHMENT_MIME_TYPE,
    EmailAlternative,
    EmailAttachment,
    EmailMessage,
    EmailMultiAlternatives,
)
from mailworker.mail.mime import SafeMIMEMessage, SafeMIMEMultipart, SafeMIMEText
from mailworker.mail.options import QueueOptions
from mailworker.mail.send import mail_admins, mail_managers, send_mail, send_mass_mail

__all__ = [
    "DEFAULT_ATTACHMENT_MIME_TYPE",
    "BadHeaderError",
    "EmailAlternative",
    "EmailAttachment",
    "EmailMessage",
    "EmailMultiAlternatives",
    "InvalidAddress",
    "QueueOptions",
    "SafeMIMEMessage",
    "SafeMIMEMultipart",
    "SafeMIMEText",
    "amail_admins",
    "amail_managers",
    "asend_mail",
    "asend_mass_mail",
    "forbid_multi_line_headers",
    "get_connection",
    "mail_admins",
    "mail_managers",
    "mailers",
    "make_msgid",
    "outbox",
    "send_mail",
    "send_mass_mail",
]

#: What the locmem backend keeps. A test may clear it, or put a new list in its place.
outbox: list[EmailMessage] = []
