"""Large mails, and what each of them adds to the memory of a worker that sends it: for the test and for the bench of them.

The size of a mail is that of its content on the wire, which is what SIZE= would say (RFC 1870). What it adds is the most memory
that the delivering process had resident while it went out, beyond what it had after mails that were small.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from mailworker import EmailMessage, EmailMultiAlternatives, enqueue
from mailworker.testing.smtpd import ScriptedServer
from tests.processes import Worker

_LINES = {
    "ascii": "It is on its way, and will be with you before the end of the week.\n",
    # As much memory for each character as in ASCII; two octets for some of them on the wire.
    "latin": "Sie ist unterwegs und trifft spätestens am Donnerstag bei Ihnen ein, früh.\n",
    # One such character makes Python take two octets of memory for each of the text's, the last one four.
    "quotes": "She said: \u201cIt is on its way\u201d \u2013 and it will be here for 5 \u20ac before the week is over.\n",
    "emoji": "It is on its way, and will be with you before the end of the week \U0001f600\n",
}


def _text(kind: str, size: int) -> str:
    line = _LINES[kind]
    return line * (size // len(line.replace("\n", "\r\n").encode()))


def _message(body: str = "", **more: Any) -> EmailMessage:
    return EmailMessage("large", body, "from@example.com", ["to@example.com"], **more)


def _file(size: int) -> EmailMessage:
    content = random.Random(0).randbytes(size // 78 * 57)
    return _message("Here it is.\n", attachments=[("report.pdf", content, "application/pdf")])


def _html(size: int) -> EmailMessage:
    """Return a message of text and HTML, one half each; lines of HTML are as long as templates make them."""
    html = f"<p>{_LINES['quotes'].strip() * 9}</p>\n"
    message = EmailMultiAlternatives("large", _text("latin", size // 2), "from@example.com", ["to@example.com"])
    message.attach_alternative(html * (size // 2 // len(html.encode())), "text/html")
    return message


def _quoted(size: int) -> EmailMessage:
    """Return HTML with lines that are too long for SMTP: in quoted-printable it is an eighth larger than its source."""
    line = f"<p>{_LINES['latin'].strip() * 20}</p>\n"
    message = _message(line * (size // (len(line) * 11 // 10)))
    message.content_subtype = "html"
    return message


#: Kind -> makes a message of about so many octets on the wire.
KINDS: dict[str, Callable[[int], EmailMessage]] = {
    "file": _file,
    "ascii": lambda size: _message(_text("ascii", size)),
    "latin": lambda size: _message(_text("latin", size)),
    "quotes": lambda size: _message(_text("quotes", size)),
    "emoji": lambda size: _message(_text("emoji", size)),
    "html": _html,
    "quoted": _quoted,
}


class Cost(NamedTuple):
    """What one mail took.

    Attributes:
        size: octets on the wire.
        added: octets of memory.
        cpu: seconds of the processor in the delivering process.
    """

    size: int
    added: int
    cpu: float

    @property
    def factor(self) -> float:
        """Memory over size."""
        return self.added / self.size


class Scales:
    """Weighs mails that one worker process sends.

    Args:
        relay: takes them.
        worker: with one process, or thread, that delivers; this process enqueues for it.
    """

    def __init__(self, relay: ScriptedServer, worker: Worker) -> None:
        self._relay = relay
        self._sent = len(relay.accepted)
        process = psutil.Process(worker.pid)
        self._process = (process.children() or [process])[-1]
        # What is loaded with the first mail of all is no mail's own.
        for _ in range(3):
            self._send(_message("small"))
        self._before = self._status("VmRSS")

    def weighed(self, message: EmailMessage) -> Cost:
        """Send a message, and return what it took."""
        # The relay has a mail before the worker is done with it: with the next one it is done with the one before.
        self._send(_message("small"))
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")
        began = self._cpu()
        size = self._send(message)
        return Cost(size, self._status("VmHWM") - self._before, self._cpu() - began)

    def _send(self, message: EmailMessage) -> int:
        enqueue(message)
        self._sent += 1
        transaction = self._relay.wait_for(self._sent)[-1]
        size = len(transaction.raw)
        # It is not what is judged here, and this process is not to grow.
        transaction.raw = b""
        return size

    def _status(self, name: str) -> int:
        found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{self._process.pid}/status").read_text())
        assert found is not None
        return int(found[1]) * 1024

    def _cpu(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system


@contextmanager
def scales(relay: ScriptedServer, env: dict[str, str], *options: str) -> Iterator[Scales]:
    """Run a worker with one slot, and yield what weighs its mails."""
    with Worker({"EMAIL_HOST": relay.host, "EMAIL_PORT": str(relay.port), **env}, "-c", "1", *options) as worker:
        yield Scales(relay, worker)
