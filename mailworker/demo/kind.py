"""The kinds of mail that the demo sends: how each is made, and what it has to look like when it arrives.

A mail is known again by its recipient, which no other mail has: KINDnumber@...KIND.example. Nothing is sent here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage as Parsed

import mailworker

#: Where refused and deferred recipients live; the sink is told so.
REFUSE = "*@refused.example"
DEFER_ONCE = "*@deferred.example"

#: Mails that one `send_mass_mail` gets.
_MASS = 50

_CSV = b"number;amount\n1;12,50\n2;7,90\n"
_ATTACHMENT = _CSV * 40
_GREETING = "Grüße, 你好, здравствуйте 👋"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of mail.

    Attributes:
        name: short, part of the recipients' addresses.
        title: for people.
        made_with: the call that makes it.
        share: of all mails, in percent; 0 = exactly one; None = what the others leave.
        send: sends the mails with these numbers, and yields how many after each call.
        looks_right: tells whether a mail arrived as it has to be.
        needs_sink: only the sink can be told to answer so.
    """

    name: str
    title: str
    made_with: str
    share: int | None
    send: Callable[[str, range], Iterator[int]]
    looks_right: Callable[[Parsed], bool]
    needs_sink: bool = False


def plan(total: int, *, with_sink: bool) -> dict[Kind, int]:
    """Return how many mails of each kind make up a total.

    Args:
        total: of all kinds; at least `command.FEWEST`.
        with_sink: refused and deferred recipients can be had.
    """
    kinds = [kind for kind in KINDS if with_sink or not kind.needs_sink]
    counts = {kind: max(1, total * kind.share // 100) if kind.share is not None else 0 for kind in kinds}
    rest = total - sum(counts.values())
    return {kind: count if kind.share is not None else rest for kind, count in counts.items()}


def recipient(name: str, number: int) -> str:
    """Return the address of one mail of a kind."""
    # The international kind has a domain that has to travel as xn--gre-hoa6g...
    domain = "grüße.international.example" if name == "international" else f"{name}.example"
    return f"{name}{number:05d}@{domain}"


def _plain(name: str, numbers: range) -> Iterator[int]:
    for number in numbers:
        yield mailworker.send_mail(f"Plain {number}", f"Text number {number}.", None, [recipient(name, number)])


def _html(name: str, numbers: range) -> Iterator[int]:
    for number in numbers:
        to = [recipient(name, number)]
        message = mailworker.EmailMultiAlternatives(f"HTML {number}", f"Text number {number}.", None, to)
        message.attach_alternative(f"<p>Text number <b>{number}</b>.</p>", "text/html")
        yield message.send()


def _attachment(name: str, numbers: range) -> Iterator[int]:
    for number in numbers:
        message = mailworker.EmailMessage(f"Report {number}", "See attached.", None, [recipient(name, number)])
        message.attach("report.csv", _ATTACHMENT, "text/csv")
        yield message.send()


def _international(name: str, numbers: range) -> Iterator[int]:
    for number in numbers:
        to = [f"Jürgen Müßig <{recipient(name, number)}>"]
        yield mailworker.send_mail(f"{_GREETING} {number}", f"{_GREETING}\n", "Zoë <demo@mailworker.example>", to)


def _mass(name: str, numbers: range) -> Iterator[int]:
    for first in range(numbers.start, numbers.stop, _MASS):
        some = range(first, min(first + _MASS, numbers.stop))
        rows = [(f"News {number}", f"Issue {number}.", None, [recipient(name, number)]) for number in some]
        yield mailworker.send_mass_mail(rows, lane="bulk")


def _is_plain(mail: Parsed) -> bool:
    return mail.get_content_type() == "text/plain" and bool(mail.get_content().strip())


def _is_html(mail: Parsed) -> bool:
    return [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]


def _has_attachment(mail: Parsed) -> bool:
    parts = list(mail.iter_attachments())
    if len(parts) != 1 or parts[0].get_filename() != "report.csv":
        return False
    content = parts[0].get_payload(decode=True)
    return isinstance(content, bytes) and content.replace(b"\r\n", b"\n") == _ATTACHMENT


def _is_international(mail: Parsed) -> bool:
    return str(mail["Subject"]).strip().startswith(_GREETING) and mail.get_content().strip() == _GREETING


#: In the order in which they are sent and shown.
KINDS = (
    Kind("mass", "newsletter (bulk)", "send_mass_mail", 20, _mass, _is_plain),
    Kind("plain", "plain text", "send_mail", None, _plain, _is_plain),
    Kind("html", "text and HTML", "EmailMultiAlternatives", 20, _html, _is_html),
    Kind("attachment", "with attachment", "EmailMessage.attach", 10, _attachment, _has_attachment),
    Kind("international", "not only ASCII", "send_mail", 10, _international, _is_international),
    Kind("refused", "refused for good", "send_mail", 0, _plain, _is_plain, needs_sink=True),
    Kind("deferred", "deferred once", "send_mail", 0, _plain, _is_plain, needs_sink=True),
)
