"""What became of each recipient of a bulk: one line each, in the order of the list, for a file of CSV or JSON Lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import IO

from mailworker.bulk.control import show
from mailworker.bulk.here import here, told
from mailworker.errors import CodecError, InvalidAddress
from mailworker.mail.address import envelope_address
from mailworker.mail.letter import Letter, read_row
from mailworker.mail.sealing import Sealer
from mailworker.outcome import Outcome
from mailworker.queue.compose import tools
from mailworker.spool.record import MailStatus, State

#: In which a mail has gone wrong, or was not sent at all.
_FAILED = frozenset({State.DEAD, State.HELD, State.DROPPED, State.EXPIRED, State.CANCELLED})

#: What a program that opens CSV takes for a formula; an apostrophe before it makes it text.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLine:
    """What became of one recipient.

    Attributes:
        recipient: the address; "" if it cannot be read any more.
        id: of the mail.
        state: of the mail: due, leased, held, sent, cancelled, expired, dropped, dead.
        outcome: of the last attempt: accepted, deferred, rejected, in-doubt; "" before the first.
        code: of the relay's reply; None if there was none.
        enhanced: its enhanced code (RFC 3463).
        text: what the relay said, or what came between.
        reason: why it was held, dropped or given up.
        attempts: that were made.
        in_doubt: a second copy may exist.
        created_at: when it came in, ISO 8601, UTC.
    """

    recipient: str
    id: str
    state: str
    outcome: str
    code: int | None
    enhanced: str
    text: str
    reason: str
    attempts: int
    in_doubt: bool
    created_at: str


#: The columns, in their order.
COLUMNS = tuple(field.name for field in fields(ReportLine))


def report(name: str, *, failed: bool = False) -> Iterator[ReportLine]:
    """Return what became of each recipient of a bulk, in the order of its list, without those that are forgotten.

    Args:
        name: of the bulk.
        failed: only those that had nothing and will have nothing, unless somebody tries them again.

    Raises:
        BulkUnknown: there is no such bulk.
        ConfigurationError: nothing here keeps mails.
        EnqueueError: the spool cannot be asked.
    """
    show(name)
    return _lines(name, failed=failed)


def _lines(name: str, *, failed: bool) -> Iterator[ReportLine]:
    place = here("a bulk")
    sealer = tools(place.conf).sealer
    with told():
        letter = _letter(place.spool.bulks.letter(name), sealer)
        for status, payload in place.spool.bulks.mails(name):
            if not failed or status.state in _FAILED:
                yield _line(status, payload, letter, sealer)


def write_csv(lines: Iterable[ReportLine], file: IO[str]) -> int:
    """Write a report as CSV with a header; return the number of its lines.

    Args:
        lines: of the report.
        file: opened with `newline=""`.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    number = 0
    for number, line in enumerate(lines, 1):  # noqa: B007 - how many there were
        writer.writerow(asdict(replace(line, text=_harmless(line.text), reason=_harmless(line.reason))).values())
    return number


def write_jsonl(lines: Iterable[ReportLine], file: IO[str]) -> int:
    """Write a report as JSON Lines; return the number of its lines."""
    number = 0
    for number, line in enumerate(lines, 1):  # noqa: B007 - how many there were
        file.write(json.dumps(asdict(line), ensure_ascii=False) + "\n")
    return number


def _line(status: MailStatus, payload: bytes, letter: Letter | None, sealer: Sealer) -> ReportLine:
    recipient, outcome = next(iter(status.outcomes.items()), ("", None))
    reply = outcome.reply if outcome is not None else None
    return ReportLine(
        recipient=recipient or _recipient(payload, letter, sealer),
        id=status.id,
        state=status.state.value,
        outcome=outcome.kind.value if outcome is not None else "",
        code=reply.code if reply is not None else None,
        enhanced=(reply.enhanced or "") if reply is not None else "",
        text=_text(outcome),
        reason=status.reason,
        attempts=status.attempts,
        in_doubt=status.in_doubt,
        created_at=datetime.fromtimestamp(status.created_at, UTC).isoformat(timespec="seconds"),
    )


def _text(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    return outcome.reply.text if outcome.reply is not None else outcome.text


def _recipient(payload: bytes, letter: Letter | None, sealer: Sealer) -> str:
    """Return whom a row is for; "" if nobody can tell."""
    if letter is None or not payload:
        return ""
    try:
        _, values = read_row(payload, sealer)
        return envelope_address(letter.named(values).get(letter.to, ""))
    except (CodecError, InvalidAddress):
        return ""


def _letter(encoded: bytes | None, sealer: Sealer) -> Letter | None:
    try:
        return None if encoded is None else Letter.decode(encoded, sealer)
    except CodecError:
        return None


def _harmless(text: str) -> str:
    """Return words of a relay so that they are no formula; an address stays what it is."""
    return f"'{text}" if text.startswith(_FORMULA) else text
