"""Parts for testing code that sends mail: a scripted SMTP server on a real socket. Standard library only."""

from __future__ import annotations

from mailworker.testing.script import DROP, HANG, OK, RESET, Command, Drip, Drop, Hang, Script
from mailworker.testing.smtpd import ScriptedServer, ServerSession, ServerTransaction

__all__ = [
    "DROP",
    "HANG",
    "OK",
    "RESET",
    "Command",
    "Drip",
    "Drop",
    "Hang",
    "Script",
    "ScriptedServer",
    "ServerSession",
    "ServerTransaction",
]
