"""Glue between the tests and the scripted SMTP server: certificates, and servers and sessions that end with the test."""

from __future__ import annotations

import ssl
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import trustme

from mailworker.smtp.options import SessionOptions
from mailworker.smtp.session import Session
from mailworker.testing import Script, ScriptedServer


class Certificates:
    """One private authority, and server contexts with certificates of it."""

    def __init__(self) -> None:
        self._authority = trustme.CA()

    def server(self, *names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*(names or ("localhost", "127.0.0.1"))).configure_cert(context)
        return context

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        return context

    def write_authority(self, path: Any) -> str:
        self._authority.cert_pem.write_to_path(str(path))
        return str(path)


class Bench:
    """Starts servers and opens sessions; ends them all, and checks that nobody left a connection open.

    Args:
        pipelining: whether the servers offer it; None = as their scripts say.
    """

    def __init__(self, *, pipelining: bool | None = None) -> None:
        self._pipelining = pipelining
        self._stack = ExitStack()
        self._sessions: list[Session] = []

    def serve(self, script: Script | None = None, **arguments: Any) -> ScriptedServer:
        if self._pipelining is not None:
            script = replace(script or Script(), pipelining=self._pipelining)
        return self._stack.enter_context(ScriptedServer(script, **arguments))

    def options(self, server: ScriptedServer, **changes: Any) -> SessionOptions:
        values: dict[str, Any] = {"host": server.host, "port": server.port, "timeout": 10.0}
        return SessionOptions(**values | changes)

    def session(self, server: ScriptedServer, *, clock: Any = None, **changes: Any) -> Session:
        clocks = {} if clock is None else {"clock": clock}
        session = Session.open(self.options(server, **changes), **clocks)
        self._sessions.append(session)
        return session

    def end(self) -> None:
        for session in self._sessions:
            session.abort()
        self._stack.close()


class Clock:
    """Monotonic seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
