"""A dumb SMTP server for development: it takes whatever it is handed, shows it or keeps it, and sends nothing on.

In a test or a program of one's own, `Sink` runs in a thread; in a process of its own it is `mailworker sink`, or
`python -m mailworker.sink`, whose first line tells the port. Both need the extra `demo`.
"""

from __future__ import annotations

from mailworker.sink.command import command, serve
from mailworker.sink.received import Received
from mailworker.sink.server import Counts, Sink, SinkError

__all__ = ["Counts", "Received", "Sink", "SinkError", "command", "serve"]
