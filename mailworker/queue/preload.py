"""What a worker imports before it forks.

A web process registers the tasks and never loads what delivers, so that is imported where it is needed first. In a worker that
would be in each child, at its first mail: a tenth of a second there, and memory that no two children share.
"""

from __future__ import annotations

import sys
from importlib import import_module

#: What delivers from a spool, and what delivers mail that comes in tasks.
_FROM_SPOOL = ("mailworker.queue.drain", "mailworker.spool.server")
_FROM_TASKS = ("mailworker.queue.carrier",)

#: What the backend for SMTP writes messages with.
_WRITING = "mailworker.mail.direct"

#: What billiard makes a call of the system with in each child, where cffi is installed; it reads C for that.
_READS_C = "cffi.cparser"


def delivery(*, has_spool: bool) -> None:
    """Import what each child needs for its first mail.

    Args:
        has_spool: mail is delivered from a spool; otherwise it comes in tasks.
    """
    for name in (*(_FROM_SPOOL if has_spool else _FROM_TASKS), _WRITING):
        import_module(name)
    if "cffi" in sys.modules:
        import_module(_READS_C)
