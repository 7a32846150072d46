"""A million rows and a template: a group of mails with a plan, progress and a report (`mailworker.bulk.send`).

Each is imported when it is first used, as in `mailworker` itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mailworker.bulk.control import bulks as list  # noqa: A004 - mailworker.bulk.list() is what people look for
    from mailworker.bulk.control import cancel, pause, resume, retime, retry_failed, show
    from mailworker.bulk.filled import BadLine, Filled, Progress
    from mailworker.bulk.reporting import ReportLine, report
    from mailworker.bulk.sending import send
    from mailworker.errors import BadToken, BulkRefused, BulkUnknown, RowsError, SuppressionUnavailable
    from mailworker.mail.unsubscribe import Unsubscribe
    from mailworker.mail.unsubscribe import verify as verify_unsubscribe
    from mailworker.spool.bulk import Bulk

__all__ = [
    "BadLine",
    "BadToken",
    "Bulk",
    "BulkRefused",
    "BulkUnknown",
    "Filled",
    "Progress",
    "ReportLine",
    "RowsError",
    "SuppressionUnavailable",
    "Unsubscribe",
    "cancel",
    "list",
    "pause",
    "report",
    "resume",
    "retime",
    "retry_failed",
    "send",
    "show",
    "verify_unsubscribe",
]

#: Where each name lives, and what it is called there if that is another name.
_HOMES = {
    **dict.fromkeys(("cancel", "pause", "resume", "retime", "retry_failed", "show"), "mailworker.bulk.control"),
    "list": "mailworker.bulk.control:bulks",
    **dict.fromkeys(("BadLine", "Filled", "Progress"), "mailworker.bulk.filled"),
    **dict.fromkeys(("ReportLine", "report"), "mailworker.bulk.reporting"),
    "send": "mailworker.bulk.sending",
    **dict.fromkeys(
        ("BadToken", "BulkRefused", "BulkUnknown", "RowsError", "SuppressionUnavailable"), "mailworker.errors"
    ),
    "Unsubscribe": "mailworker.mail.unsubscribe",
    "verify_unsubscribe": "mailworker.mail.unsubscribe:verify",
    "Bulk": "mailworker.spool.bulk",
}


# A type checker that saw it would take any name for one of ours.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module 'mailworker.bulk' has no attribute {name!r}")
        module, _, other = _HOMES[name].partition(":")
        value = getattr(import_module(module), other or name)
        globals()[name] = value
        return value


def __dir__() -> Iterable[str]:
    return sorted(__all__)
