"""What a test expects of the mail that was sent: assertions that show all of it, and the nearest miss, when they fail.

They look at a list of messages and wait for nothing. How a field is compared follows from what is asked: a compiled pattern is
searched for; a text equals the subject or is part of a body; addresses and names of attachments are among those of the message,
whatever else is there. What is empty asks for none at all.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, cast, overload

from mailworker.testing.seen import Seen, seen
from mailworker.testing.spelling import spelled

if TYPE_CHECKING:
    from mailworker.mail.message import EmailMessage
    from mailworker.testing.received import ReceivedMessage
    from mailworker.testing.smtpd import ScriptedServer

T = TypeVar("T")

#: unittest leaves the lines of such a module out of a failure's traceback, as pytest does with `__tracebackhide__`.
__unittest = True

#: Characters of a value that a failure shows.
_SHOWN = 60

#: Characters of a cell in its table, and rows of it.
_CELL = 100
_ROWS = 40

#: Characters of a body that are looked at for the passage that is nearest to the one expected.
_SEARCHED = 20_000

_ADDRESSES = ("to", "cc", "bcc")
_LISTS = (*_ADDRESSES, "attachments")
_BODIES = ("text", "html")


class Expected(TypedDict, total=False):
    """What a message has to have; what is not named may be anything.

    Attributes:
        to: an address, or several: they are in To, under whatever name; with or without a name here. [] = nobody is.
        cc: the same for Cc.
        bcc: the same for Bcc; of what a server received, recipients that no header shows.
        from_email: the sender's address.
        subject: the subject line, or a pattern that is found in it.
        text: part of the text body, or a pattern that is found in it; "" = there is none.
        html: the same for the HTML body.
        attachments: the name of an attachment, or several; [] = there are none.
    """

    to: str | Iterable[str]
    cc: str | Iterable[str]
    bcc: str | Iterable[str]
    from_email: str
    subject: str | re.Pattern[str]
    text: str | re.Pattern[str]
    html: str | re.Pattern[str]
    attachments: str | Iterable[str]


@overload
def assert_mail_sent(
    *, among: None = None, times: int | None = 1, **expected: Unpack[Expected]
) -> list[EmailMessage]: ...
@overload
def assert_mail_sent(
    *, among: ScriptedServer, times: int | None = 1, **expected: Unpack[Expected]
) -> list[ReceivedMessage]: ...
@overload
def assert_mail_sent(*, among: Iterable[T], times: int | None = 1, **expected: Unpack[Expected]) -> list[T]: ...
def assert_mail_sent(
    *,
    among: Iterable[Any] | ScriptedServer | None = None,
    times: int | None = 1,
    **expected: Unpack[Expected],
) -> list[Any]:
    """Fail unless just so many of the messages that were sent are like this.

    Args:
        among: the messages, or the scripted server that has them; None = `mailworker.outbox`.
        times: how many; None = one or more.
        **expected: what they have, see `Expected`.

    Returns:
        The messages that are like this.

    Raises:
        AssertionError: there are more or fewer; it shows what was sent.
        TypeError: an argument has no such name, or no such type.
    """
    __tracebackhide__ = True
    wanted = _wanted(expected)
    messages = _messages(among)
    found = [message for message in messages if not _misses(seen(message), wanted)]
    if found if times is None else len(found) == times:
        return found
    number = "1 or more" if times is None else str(times)
    raise AssertionError(
        f"expected {number} mail{'' if times == 1 else 's'}{_described(wanted)}, found {len(found)}"
        + _report(messages, wanted, found, is_outbox=among is None)
    )


def assert_no_mail_sent(*, among: Iterable[Any] | ScriptedServer | None = None, **expected: Unpack[Expected]) -> None:
    """Fail if a message like this was sent; without arguments, if any was.

    Args:
        among: as for `assert_mail_sent`.
        **expected: what the message would have, see `Expected`.

    Raises:
        AssertionError: there is one; it shows what was sent.
        TypeError: an argument has no such name, or no such type.
    """
    __tracebackhide__ = True
    wanted = _wanted(expected)
    messages = _messages(among)
    found = [message for message in messages if not _misses(seen(message), wanted)]
    if found:
        raise AssertionError(
            f"expected no mail{_described(wanted)}, found {len(found)}"
            + _report(messages, wanted, found, is_outbox=False)
        )


def _messages(among: Iterable[Any] | ScriptedServer | None) -> list[Any]:
    if among is None:
        from mailworker import mail

        return list(mail.outbox)
    return list(getattr(among, "messages", cast("Iterable[Any]", among)))


def _wanted(expected: Expected) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    for name, value in expected.items():
        if name not in Expected.__annotations__:
            known = ", ".join(Expected.__annotations__)
            raise TypeError(f"{name}= is nothing that a mail is looked at for; expected times, among, {known}")
        if name in _LISTS:
            wanted[name] = _several(name, value)
        elif isinstance(value, str) or (isinstance(value, re.Pattern) and name != "from_email"):
            wanted[name] = value
        else:
            pattern = "" if name == "from_email" else " or a compiled pattern"
            raise TypeError(f"{name}={value!r} is {type(value).__name__}; expected text{pattern}")
    return wanted


def _several(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        value = (value,)
    several: list[str] = []
    for each in cast("Iterable[object]", value):
        if not isinstance(each, str):
            what = "a name" if name == "attachments" else "an address"
            shown = value[0] if isinstance(value, tuple) and len(value) == 1 else value
            raise TypeError(f"{name}={shown!r} holds {type(each).__name__}; expected {what}, or a list of them")
        several.append(each)
    return tuple(several)


def _misses(one: Seen, wanted: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return name, what was found and what was wanted, of all that is not as wanted."""
    found = [(name, getattr(one, name), value) for name, value in wanted.items()]
    return [miss for miss in found if not _fits(*miss)]


def _fits(name: str, found: Any, wanted: Any) -> bool:
    if isinstance(wanted, re.Pattern):
        return wanted.search(found) is not None
    if not wanted:
        return not found
    if name in _BODIES:
        return wanted in found
    if name == "attachments":
        return set(wanted) <= set(found)
    if name in _ADDRESSES:
        return set(map(spelled, wanted)) <= set(map(spelled, found))
    return bool(spelled(found) == spelled(wanted) if name == "from_email" else found == wanted)


# What a failure shows.


def _described(wanted: dict[str, Any]) -> str:
    shown = ", ".join(f"{name}={_value(value)}" for name, value in wanted.items())
    return f" with {shown}" if shown else ""


def _value(value: Any) -> str:
    if isinstance(value, re.Pattern):
        return f"re.compile({value.pattern!r})"
    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def _report(messages: Sequence[Any], wanted: dict[str, Any], found: Sequence[Any], *, is_outbox: bool) -> str:
    looks = [seen(message) for message in messages]
    if not looks:
        lines = ["; no mail was sent at all"]
    else:
        near = _nearest(looks, wanted) if not found else None
        marks = [any(message is one for one in found) for message in messages]
        lines = [f" among {len(looks)} sent:", *_table(looks, marks, near)]
        if near is not None:
            lines += _differences(near, looks[near], wanted)
    if is_outbox:
        lines += _waiting()
    return "\n".join(lines)


def _table(looks: Sequence[Seen], marked: Sequence[bool], near: int | None) -> list[str]:
    shown = [place for place in range(len(looks)) if place < _ROWS or place == near]
    rows: list[tuple[str, ...]] = [("", "to", "subject", "from", "attachments")]
    for place in shown:
        one = looks[place]
        to = [*one.to, *(f"cc {each}" for each in one.cc), *(f"bcc {each}" for each in one.bcc)]
        cells = (", ".join(to), one.subject, one.from_email, ", ".join(one.attachments))
        rows.append((f"{'*' if marked[place] else ''}{place + 1}", *map(_cell, cells)))
    columns = range(1, 5) if any(row[4] for row in rows[1:]) else range(1, 4)
    widths = {column: max(len(row[column]) for row in rows) for column in columns}
    lines = [
        f"  {row[0]:>3}  " + "  ".join(row[column].ljust(widths[column]) for column in columns).rstrip() for row in rows
    ]
    left_out = len(looks) - len(shown)
    return [*lines, f"       and {left_out} more"] if left_out else lines


def _cell(text: str) -> str:
    """Return a text for one line of a table: short, and with nothing in it that a terminal would obey."""
    printable = "".join(each if each.isprintable() else repr(each)[1:-1] for each in text[:_CELL])
    return printable if len(text) <= _CELL else f"{printable}..."


def _nearest(looks: Sequence[Seen], wanted: dict[str, Any]) -> int:
    def distance(one: Seen) -> tuple[int, float]:
        misses = _misses(one, wanted)
        likeness = sum(
            SequenceMatcher(None, str(got)[:200], _plain(value)[:200]).ratio()
            for name, got, value in misses
            if name not in _BODIES
        )
        return len(misses), -likeness

    return min(range(len(looks)), key=lambda place: distance(looks[place]))


def _differences(place: int, one: Seen, wanted: dict[str, Any]) -> Iterator[str]:
    for name, got, value in _misses(one, wanted):
        is_passage = name in _BODIES and isinstance(value, str) and value
        has = _passage(got, value) if is_passage else _value(got)
        yield f"nearest is {place + 1}: its {name} is {has}, expected {_value(value)}"


def _passage(body: str, wanted: str) -> str:
    """Return what is most like the wanted text in a body."""
    found = SequenceMatcher(None, body[:_SEARCHED], wanted[:200], autojunk=False).find_longest_match()
    start = min(max(0, found.a - found.b), max(0, len(body) - _SHOWN))
    ends = start + _SHOWN
    return f"{'...' if start else ''}{body[start:ends]!r}{'...' if ends < len(body) else ''}"


def _plain(wanted: Any) -> str:
    return wanted.pattern if isinstance(wanted, re.Pattern) else str(wanted)


def _waiting() -> Iterator[str]:
    """Tell of the mails that wait in this process for their time."""
    # Nobody waits in a spool that was never loaded.
    eager = sys.modules.get("mailworker.queue.eager")
    due = eager.waiting() if eager else []
    if due:
        first = due[0].isoformat(" ", "seconds")
        yield f"{len(due)} more {'wait' if len(due) > 1 else 'waits'} for later, until {first} at least: run_due(at=...) sends what is due by then"
