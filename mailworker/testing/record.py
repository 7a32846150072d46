"""What a scripted SMTP server has seen: its sessions and their transactions, as plain values for assertions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

#: Who ended a session: the client by QUIT, the client without it, the server.
EndedBy = Literal["quit", "client", "server"]


@dataclass(eq=False)
class ServerTransaction:
    """One transaction whose MAIL was accepted.

    Attributes:
        session: the session that it belongs to.
        sender: the reverse-path.
        parameters: of MAIL, such as "BODY=8BITMIME".
        recipients: those that RCPT accepted, in order.
        refused: recipient -> reply, of those that it did not.
        raw: the content as it came, dots still stuffed, without the final dot.
        early: the reply that was given in the middle of the content, once it is out.
        complete: the final dot was seen.
        reply: the reply to the final dot; "" if none was meant to be given.
        accepted: that reply was 2xx.
    """

    session: ServerSession = field(repr=False)
    sender: str
    parameters: tuple[str, ...] = ()
    recipients: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    raw: bytes = field(default=b"", repr=False)
    early: str = ""
    complete: bool = False
    reply: str = ""
    accepted: bool = False

    @property
    def content(self) -> bytes:
        """The message: without the dots that were stuffed (RFC 5321 §4.5.2)."""
        raw = self.raw.replace(b"\r\n.", b"\r\n")
        return raw[1:] if raw.startswith(b".") else raw


@dataclass(eq=False)
class ServerSession:
    """One connection.

    Attributes:
        number: from 1, in the order in which connections came.
        name: what the client called itself in EHLO or HELO.
        is_tls: it is encrypted by now.
        user: who logged in.
        tokens: the access tokens that were shown, right or wrong, in order.
        commands: every command line, in order; answers to AUTH challenges are left out, its arguments too.
        bursts: what came together, each time that the server had to wait for the client: the verbs of the commands, and "."
            for a final dot.
        transactions: in order.
        ended_by: None while it is open.
    """

    number: int
    name: str = ""
    is_tls: bool = False
    user: str | None = None
    tokens: list[str] = field(default_factory=list, repr=False)
    commands: list[str] = field(default_factory=list, repr=False)
    bursts: list[list[str]] = field(default_factory=list, repr=False)
    transactions: list[ServerTransaction] = field(default_factory=list)
    ended_by: EndedBy | None = None

    @property
    def verbs(self) -> list[str]:
        """The first words of the commands, in upper case."""
        return [command.split(" ")[0].upper() for command in self.commands]
