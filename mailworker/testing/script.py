"""What a scripted SMTP server answers, and which faults it shows: data, read by `mailworker.testing.smtpd`.

An *answer* is one of
    OK                  what a friendly server would say here
    "450 4.2.0 busy"    a reply; "\\n" between the lines of a longer one, each with its own code
    b"junk"             these bytes and nothing else
    Drop(...), Hang(...), Drip(...)   a fault; DROP, RESET and HANG are the plain ones
*Answers* are one answer (for ever), a list (one for each time this point is reached, OK after the last), a function
from `Command` to an answer, or a mapping from an address to any of these. Pure; what is no answer is an error where the script
is made, except for what a function returns.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, cast

from mailworker.testing.spelling import spelled


class _Ok(Enum):
    OK = "OK"


#: The answer of a server that has nothing against it.
OK: Final = _Ok.OK


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection.

    Attributes:
        after: a reply to give first; "" closes without one.
        reset: close with a TCP reset in place of an orderly end.
    """

    after: str = ""
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Hang:
    """Say nothing until `ScriptedServer.release()`, or until the client is gone.

    Attributes:
        then: the answer after the release.
        deaf: read nothing meanwhile, so that the client's writes come to a stop; its end is not noticed then.
    """

    then: str | bytes | _Ok | Drop = OK
    deaf: bool = False


@dataclass(frozen=True, slots=True)
class Drip:
    """Send a reply byte by byte.

    Attributes:
        text: the reply, in the form of any other.
        seconds: pause before each byte.
    """

    text: str
    seconds: float = 0.02


DROP: Final = Drop()
RESET: Final = Drop(reset=True)
HANG: Final = Hang()

Answer = str | bytes | _Ok | Drop | Hang | Drip


@dataclass(frozen=True, slots=True)
class Command:
    """Where a session stands when an answer is asked for.

    Attributes:
        phase: the attribute of `Script` that is asked.
        line: the command as it came, without its line end; "" where there is none.
        session: number of the session, from 1.
        transaction: number of the transaction in its session, from 1; 0 before the first MAIL.
        sender: of the transaction.
        recipients: those accepted so far; for `rcpt` the one in question.
    """

    phase: str
    line: str
    session: int
    transaction: int = 0
    sender: str = ""
    recipients: tuple[str, ...] = ()


Plan = Answer | Sequence[Answer] | Callable[[Command], Answer]
Answers = Plan | Mapping[str, Plan]

#: The attributes of `Script` that are answers.
_PHASES = (
    *("greeting", "ehlo", "helo", "starttls", "auth", "token_error", "verdict"),
    *("mail", "rcpt", "data", "content", "dot", "rset", "noop", "quit"),
)

#: How a reply begins (RFC 5321 §4.2).
_REPLY = re.compile(r"[2-5][0-9]{2}(?:[ -]|\Z)")


@dataclass(kw_only=True)
class Script:
    """How a server behaves. Everything left out is friendly.

    Mappings are looked up by address, in whatever case and with or without a name: the sender in `mail`, the recipient in
    `rcpt`, any accepted recipient in `data`, `content` and `dot`. Lists count over all sessions of the server.

    Attributes:
        greeting: in place of 220. Any reply but 220 is followed by the end of the connection.
        ehlo: to EHLO.
        helo: to HELO.
        starttls: to STARTTLS. One that begins with 220 is followed by the handshake; bytes may carry more behind it.
        auth: to AUTH, in place of looking at the credentials.
        token_error: to an access token that is refused, in place of 334 with the error as JSON. One that begins with 334 is
            followed by the client's acknowledgement and the verdict.
        verdict: at the end of AUTH, in place of 235 or 535. As long as it is 334, the server asks on.
        mail: to MAIL.
        rcpt: to RCPT.
        data: to DATA. After 354 the content is read.
        content: when the first bytes of the content are here: a fault, or an early reply, after which the
            connection ends.
        dot: to the final dot. Whatever is said, the content was read to its end.
        rset: to RSET.
        noop: to NOOP.
        quit: to QUIT.
        features: EHLO lines beyond those that follow from the rest.
        size: the limit that SIZE offers; None offers none. It is not enforced: what comes is recorded.
        pipelining: offer PIPELINING (RFC 2920); commands that come together are worked on one by one in any case.
        joined: keep answers back for as long as there is another command to answer, so that they leave together
            (RFC 2920 §3.2); else each leaves by itself.
        leaving: sends what leaves, by the function that it is given with it; None sends it as it is.
        dsn: offer DSN (RFC 3461).
        eight_bit: offer 8BITMIME.
        smtputf8: offer SMTPUTF8.
        offer_starttls: offer STARTTLS, if the server has a TLS context.
        users: user -> password; AUTH is offered if there are any.
        tokens: user -> access token, for XOAUTH2 and OAUTHBEARER; the same.
        mechanisms: that AUTH offers: of CRAM-MD5, PLAIN, LOGIN, XOAUTH2, OAUTHBEARER.
        challenge: of CRAM-MD5.
        require_auth: answer 530 to MAIL before a login.
        max_messages: transactions in one session; 421 to the next MAIL. None allows any number.
        idle: seconds without a command after which the server says 421 and closes. None waits for ever.

    Raises:
        TypeError: an answer is of no type that an answer has.
        ValueError: a reply has no code.
    """

    greeting: Answers = OK
    ehlo: Answers = OK
    helo: Answers = OK
    starttls: Answers = OK
    auth: Answers = OK
    token_error: Answers = OK
    verdict: Answers = OK
    mail: Answers = OK
    rcpt: Answers = OK
    data: Answers = OK
    content: Answers = OK
    dot: Answers = OK
    rset: Answers = OK
    noop: Answers = OK
    quit: Answers = OK
    features: Sequence[str] = ()
    size: int | None = 10 * 1024 * 1024
    pipelining: bool = True
    joined: bool = False
    leaving: Callable[[Callable[[bytes], object], bytes], object] | None = None
    dsn: bool = False
    eight_bit: bool = True
    smtputf8: bool = True
    offer_starttls: bool = True
    users: Mapping[str, str] = field(default_factory=dict)
    tokens: Mapping[str, str] = field(default_factory=dict)
    mechanisms: Sequence[str] = ("PLAIN", "LOGIN")
    challenge: bytes = b"<1896.697170952@smtpd.test>"
    require_auth: bool = False
    max_messages: int | None = None
    idle: float | None = None
    _reached: Counter[tuple[str, str]] = field(default_factory=Counter, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        for phase in _PHASES:
            answers = getattr(self, phase)
            plans = answers.items() if isinstance(answers, Mapping) else [("", answers)]
            for address, plan in plans:
                _check(f"{phase} of {address!r}" if address else phase, plan)

    def answer(self, command: Command) -> Answer:
        """Return the answer that is due at this point; a list moves on by one."""
        answers: Answers = getattr(self, command.phase)
        key = ""
        if isinstance(answers, Mapping):
            addresses = (command.sender,) if command.phase == "mail" else command.recipients
            key = next((address for address in addresses if address in answers), "") or _same(answers, addresses)
            if not key:
                return OK
            answers = answers[key]
        if isinstance(answers, str | bytes | _Ok | Drop | Hang | Drip):
            return answers
        if not isinstance(answers, Sequence):
            return answers(command)
        with self._lock:
            turn = self._reached[command.phase, key]
            self._reached[command.phase, key] += 1
        in_turn = cast("Sequence[Answer]", answers)
        return in_turn[turn] if turn < len(in_turn) else OK


def is_reply(text: str) -> bool:
    """Tell whether a text begins as a reply does."""
    return _REPLY.match(text) is not None


def reply_of(answer: Answer) -> str:
    """Return the reply that an answer holds; "" if it holds none."""
    if isinstance(answer, Drop):
        return answer.after
    if isinstance(answer, Drip):
        return answer.text
    if isinstance(answer, bytes):
        return answer.decode("latin-1")
    if isinstance(answer, str):
        return answer
    raise TypeError(f"an answer is {answer!r}; expected OK, a reply, bytes, Drop, Hang or Drip")


def on_wire(text: str) -> bytes:
    """Return a reply as it is sent, with CRLF behind each line."""
    return b"".join(line.encode() + b"\r\n" for line in text.split("\n"))


def _check(where: str, plan: Any) -> None:
    if isinstance(plan, Sequence) and not isinstance(plan, str | bytes):
        for answer in plan:
            _check_answer(where, answer)
    elif not callable(plan):
        _check_answer(where, plan)


def _check_answer(where: str, answer: Any) -> None:
    if isinstance(answer, Hang):
        _check_answer(f"{where}, after the hang,", answer.then)
        return
    if not isinstance(answer, str | bytes | _Ok | Drop | Drip):
        raise TypeError(
            f"{where} is {answer!r}; expected OK, a reply such as '450 4.2.0 busy', bytes, Drop, Hang or Drip, a list of these, "
            "or a function"
        )
    # Bytes may be anything, and a connection may end without a word.
    text = "" if isinstance(answer, bytes | _Ok) else reply_of(answer)
    is_silent = not text and isinstance(answer, bytes | _Ok | Drop)
    if not is_silent and not is_reply(text):
        raise ValueError(
            f"{where} is {text!r}, which is no reply: begin with a code, such as '450 4.2.0 busy'; for what no server should "
            "say give bytes"
        )


def _same(answers: Mapping[str, Plan], addresses: Iterable[str]) -> str:
    """Return the key that is another spelling of one of the addresses, "" if none is."""
    wanted = {spelled(address) for address in addresses}
    return next((key for key in answers if spelled(key) in wanted), "")
