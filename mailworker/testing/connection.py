"""One client of a scripted SMTP server: reads commands, says what the script says, and keeps the record.

Runs in a thread of its own until one of the two sides ends it. It trusts the client in nothing: commands out of order
are answered 503. What is recorded is recorded before the reply to it leaves, so that a client that has its reply can
look at the record at once.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Protocol

from mailworker.testing import login
from mailworker.testing.channel import Channel, Ended
from mailworker.testing.record import EndedBy, ServerSession, ServerTransaction
from mailworker.testing.script import OK, Command, Drop, Hang, on_wire, reply_of

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from mailworker.testing.script import Answer, Script

_PATH = re.compile(r'(?:FROM|TO):\s*<((?:"(?:\\.|[^"\\])*"|[^">])*)>(?:\s+(.*))?', re.IGNORECASE | re.DOTALL)


class Host(Protocol):
    """What a connection needs of its server."""

    behaviour: Script
    tls: ssl.SSLContext | None
    implicit_tls: bool

    def changed(self, change: Callable[[], object]) -> None:
        """Make a change to a record and tell those who wait."""


class Connection:
    """Serves one client; `run` returns when it is over and the socket is closed.

    Args:
        host: its server.
        sock: of the client.
        record: what it has done.

    Attributes:
        record: as given.
        channel: leads to the client.
        is_hanging: it is in a `Hang`.
    """

    def __init__(self, host: Host, sock: socket.socket, record: ServerSession) -> None:
        self.record = record
        self.channel = Channel(sock, lambda: host.behaviour)
        self.is_hanging = False
        self._host = host
        self._open: ServerTransaction | None = None

    def run(self) -> None:
        """Serve until the end."""
        ended: EndedBy = "client"
        try:
            self._serve()
        except Ended as end:
            ended = end.by
        except (OSError, ValueError):
            # The client went in the middle of something, a handshake for instance.
            ended = "server" if self.channel.is_stopping else "client"
        finally:
            self.channel.close()

            def end_record() -> None:
                self.record.ended_by = ended

            self._host.changed(end_record)

    # What the script says.

    def _decide(self, phase: str, line: str = "", recipients: tuple[str, ...] | None = None) -> Answer:
        """Ask the script, and sit out its hang."""
        transaction = self._open
        if recipients is None:
            recipients = tuple(transaction.recipients) if transaction else ()
        number = len(self.record.transactions)
        sender = transaction.sender if transaction else ""
        if phase == "mail":
            # Its sender stands in their place.
            sender, recipients = "".join(recipients[:1]), ()
            number += 1
        answer = self._host.behaviour.answer(Command(phase, line, self.record.number, number, sender, recipients))
        if isinstance(answer, Hang):
            self._hang(answer)
            answer = answer.then
        return answer

    def _hang(self, hang: Hang) -> None:
        def note(*, is_hanging: bool) -> None:
            self.is_hanging = is_hanging

        self._host.changed(lambda: note(is_hanging=True))
        try:
            self.channel.hang(hang)
        finally:
            # The client may go meanwhile.
            self._host.changed(lambda: note(is_hanging=False))

    def _say(self, answer: Answer, default: str) -> str:
        return self.channel.say(answer, default)

    def _respond(self, phase: str, default: str, line: str = "") -> str:
        return self._say(self._decide(phase, line), default)

    # The dialogue.

    def _serve(self) -> None:
        if self._host.implicit_tls:
            self._secure()
        if not self._respond("greeting", "220 smtpd.test ESMTP").startswith("220"):
            return
        while True:
            line = self.channel.read_line(idle=True)
            verb, _, argument = line.partition(" ")
            verb = verb.upper()
            shown = " ".join(line.split(" ")[:2]) if verb == "AUTH" else line
            self._note(shown)
            handle = {
                "EHLO": self._hello,
                "HELO": self._hello,
                "STARTTLS": self._start_tls,
                "AUTH": self._auth,
                "MAIL": self._mail,
                "RCPT": self._rcpt,
                "DATA": self._data,
                "RSET": self._rset,
                "NOOP": self._noop,
                "QUIT": self._quit,
            }.get(verb)
            if handle is None:
                self._say("500 5.5.2 what?", "")
            else:
                handle(line, argument)

    def _note(self, command: str) -> None:
        def note() -> None:
            self.record.commands.append(command)
            self._note_burst(command.split(" ", maxsplit=1)[0].upper())

        self._host.changed(note)

    def _note_burst(self, verb: str) -> None:
        if self.channel.is_new_burst:
            self.record.bursts.append([])
            self.channel.is_new_burst = False
        self.record.bursts[-1].append(verb)

    def _hello(self, line: str, argument: str) -> None:
        script = self._host.behaviour
        phase = line[:4].lower()
        offered = ["smtpd.test greets you"]
        if phase == "ehlo":
            offered += script.features
            if script.size is not None:
                offered.append(f"SIZE {script.size}")
            if script.pipelining:
                offered.append("PIPELINING")
            if script.dsn:
                offered.append("DSN")
            if script.eight_bit:
                offered.append("8BITMIME")
            if script.smtputf8:
                offered.append("SMTPUTF8")
            if script.offer_starttls and self._host.tls is not None and not self.record.is_tls:
                offered.append("STARTTLS")
            if script.users or script.tokens:
                offered.append(f"AUTH {' '.join(script.mechanisms)}")
        self.record.name = argument
        self._open = None
        last = offered.pop()
        self._respond(phase, "\n".join([*(f"250-{each}" for each in offered), f"250 {last}"]), line)

    def _start_tls(self, line: str, argument: str) -> None:
        if self._host.tls is None or self.record.is_tls:
            self._say("503 5.5.1 no STARTTLS here", "")
        elif self._respond("starttls", "220 2.0.0 go ahead", line).startswith("220"):
            self.channel.forget()
            self.channel.let_go()
            self._secure()

    def _secure(self) -> None:
        if self._host.tls is None:
            raise ValueError("TLS without a context")
        self.channel.secure(self._host.tls)
        self.record.is_tls = True

    def _auth(self, line: str, argument: str) -> None:
        answer = self._decide("auth", line)
        if answer is not OK:
            self._say(answer, "")
            return
        mechanism, _, initial = argument.partition(" ")
        mechanism = mechanism.upper()
        if mechanism not in self._host.behaviour.mechanisms:
            self._say("504 5.5.4 no such mechanism", "")
            return
        try:
            claim = login.claim(self._host.behaviour, mechanism, initial, self._ask)
        except ValueError:
            self._say("501 5.5.2 cannot be decoded", "")
            return
        if claim.token is not None:
            token = claim.token
            self._host.changed(lambda: self.record.tokens.append(token))
            if not claim.is_right and not self._complain(mechanism, line):
                return
        self._judge(claim, line)

    def _complain(self, mechanism: str, line: str) -> bool:
        """Say why a token is refused; True if the client has taken note and the verdict is due."""
        if not self._respond("token_error", login.complaint(mechanism), line).startswith("334"):
            return False
        if self.channel.read_line() == login.ACKNOWLEDGEMENTS[mechanism]:
            return True
        self._say("501 5.5.2 no answer to an error", "")
        return False

    def _judge(self, claim: login.Claim, line: str) -> None:
        default = "235 2.7.0 welcome" if claim.is_right else "535 5.7.8 wrong user, password or token"
        while True:
            answer = self._decide("verdict", line)
            if (default if answer is OK else reply_of(answer)).startswith("235"):
                self.record.user = claim.user
            if not self._say(answer, default).startswith("334"):
                return
            self.channel.read_line()

    def _ask(self, challenge: bytes) -> str:
        self._say(f"334 {base64.b64encode(challenge).decode()}", "")
        return self.channel.read_line()

    def _mail(self, line: str, argument: str) -> None:
        script = self._host.behaviour
        path = _PATH.fullmatch(argument)
        if path is None:
            self._say("501 5.5.4 MAIL FROM:<address>", "")
        elif not self.record.name or self._open is not None:
            self._say("503 5.5.1 not now", "")
        elif script.require_auth and self.record.user is None:
            self._say("530 5.7.0 authentication required", "")
        elif script.max_messages is not None and len(self.record.transactions) >= script.max_messages:
            self._say("421 4.7.0 too many messages in this session", "")
        else:
            sender = path[1]
            answer = self._decide("mail", line, (sender,))
            if answer is OK or reply_of(answer).startswith("2"):
                transaction = ServerTransaction(self.record, sender, tuple((path[2] or "").split()))
                self._open = transaction
                self._host.changed(lambda: self.record.transactions.append(transaction))
            self._say(answer, "250 2.1.0 sender taken")

    def _rcpt(self, line: str, argument: str) -> None:
        path = _PATH.fullmatch(argument)
        if path is None:
            self._say("501 5.5.4 RCPT TO:<address>", "")
        elif self._open is None:
            self._say("503 5.5.1 MAIL first", "")
        else:
            recipient = path[1]
            answer = self._decide("rcpt", line, (recipient,))
            if answer is OK or reply_of(answer).startswith("2"):
                self._open.recipients.append(recipient)
            else:
                self._open.refused[recipient] = reply_of(answer)
            self._say(answer, "250 2.1.5 recipient taken")

    def _data(self, line: str, argument: str) -> None:
        transaction = self._open
        if transaction is None:
            self._say("503 5.5.1 MAIL first", "")
            return
        # A script may say 354 all the same, as RFC 2920 §3.1 has it.
        default = "354 go ahead" if transaction.recipients else "554 5.5.1 no valid recipients"
        if not self._respond("data", default, line).startswith("354"):
            return
        self.channel.wait_for_content()
        early = self._decide("content")
        if early is not OK:
            if isinstance(early, Drop) and not early.after:
                self.channel.end(early)
            self._say_early(transaction, reply_of(early))
        transaction.raw = self.channel.read_content()
        self._host.changed(lambda: self._note_burst("."))
        answer = self._decide("dot")
        self._open = None

        def note() -> None:
            transaction.complete = True
            transaction.reply = "250 2.0.0 message taken" if answer is OK else reply_of(answer)
            transaction.accepted = transaction.reply.startswith("2")

        self._host.changed(note)
        self._say(answer, "250 2.0.0 message taken")

    def _say_early(self, transaction: ServerTransaction, text: str) -> None:
        """Reply in the middle of the content and end; what is still coming is thrown away."""
        self.channel.send(on_wire(text))
        self.channel.let_go()

        def note() -> None:
            transaction.early = text

        self._host.changed(note)
        self.channel.linger()

    def _rset(self, line: str, argument: str) -> None:
        self._open = None
        self._respond("rset", "250 2.0.0 reset", line)

    def _noop(self, line: str, argument: str) -> None:
        self._respond("noop", "250 2.0.0 fine", line)

    def _quit(self, line: str, argument: str) -> None:
        self._respond("quit", "221 2.0.0 bye", line)
        self.channel.let_go()
        raise Ended("quit")
