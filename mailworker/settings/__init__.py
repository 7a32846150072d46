"""Typed settings, validated once: from Python, Django, the environment and `.env`, in this order (DESIGN §6).

`current()` gives them to whoever stands at the top; below, they are passed in. A wrong name or value raises
`ConfigurationError` with one sentence for each problem. Nothing is connected to and no backend is imported here.
"""

from __future__ import annotations

from mailworker.settings.backend import QUEUE_BACKEND, SMTP_BACKEND, backend_path
from mailworker.settings.contact import Contact
from mailworker.settings.current import adopt, configure, current, overlay, override, reset
from mailworker.settings.limit import MailerLimits, read_rate
from mailworker.settings.mailer import Mailer, Options
from mailworker.settings.model import Settings
from mailworker.settings.rule import BadValue
from mailworker.settings.spool_url import SpoolServers, parse_spool_url, spool_url_for
from mailworker.settings.table import Row, describe, markdown_table
from mailworker.settings.token_path import is_token_path
from mailworker.settings.url import safe_url

__all__ = [
    "QUEUE_BACKEND",
    "SMTP_BACKEND",
    "BadValue",
    "Contact",
    "Mailer",
    "MailerLimits",
    "Options",
    "Row",
    "Settings",
    "SpoolServers",
    "adopt",
    "backend_path",
    "configure",
    "current",
    "describe",
    "is_token_path",
    "markdown_table",
    "overlay",
    "override",
    "parse_spool_url",
    "read_rate",
    "reset",
    "safe_url",
    "spool_url_for",
]
