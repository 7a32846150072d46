"""What came of each kind of mail, and whether that is what should have come of it.

Pure: it compares what was sent with what arrived, what the worker said, and what is dead. With a sink each mail is looked
for by itself; with a real relay only the relay's answers are known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from email.message import EmailMessage as Parsed
from typing import Any

from mailworker.demo.kind import Kind
from mailworker.demo.record import Record

#: The reply that the sink refuses with.
_REFUSAL = 550


@dataclass(frozen=True, slots=True)
class Row:
    """One kind in the table.

    Attributes:
        kind: its title.
        made_with: the call that made them.
        sent: how many were enqueued.
        accepted: how many the relay took.
        result: what came of them, in words.
    """

    kind: str
    made_with: str
    sent: int
    accepted: int
    result: str


@dataclass(frozen=True, slots=True)
class Report:
    """All that the demo has to tell.

    Attributes:
        broker: what it was.
        relay: where the mails went.
        processes: of the worker.
        rows: one for each kind.
        problems: sentences about what is not as it should be.
        enqueue_seconds: from the first call to the end of the last.
        drain_seconds: from the first call to the last mail that needed no second attempt.
        folder: of the `.eml` files, None with a real relay.
        files: how many there are.
    """

    broker: str
    relay: str
    processes: int
    rows: tuple[Row, ...]
    problems: tuple[str, ...]
    enqueue_seconds: float
    drain_seconds: float
    folder: str | None
    files: int

    @property
    def sent(self) -> int:
        """How many mails were enqueued."""
        return sum(row.sent for row in self.rows)

    @property
    def enqueue_rate(self) -> float:
        """Mails enqueued in a second."""
        return self.sent / max(self.enqueue_seconds, 1e-9)

    @property
    def drain_rate(self) -> float:
        """Mails drained in a second."""
        return self.sent / max(self.drain_seconds, 1e-9)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `--json`."""
        return {
            "ok": not self.problems,
            "mails": self.sent,
            "broker": self.broker,
            "relay": self.relay,
            "processes": self.processes,
            "enqueue_seconds": round(self.enqueue_seconds, 3),
            "enqueue_rate": round(self.enqueue_rate),
            "drain_seconds": round(self.drain_seconds, 3),
            "drain_rate": round(self.drain_rate),
            "kinds": [asdict(row) for row in self.rows],
            "folder": self.folder,
            "files": self.files,
            "problems": list(self.problems),
        }


def judge(
    sent: Mapping[Kind, int],
    record: Record,
    arrived: Iterable[tuple[tuple[str, int], Parsed]] | None,
    refusals: Iterable[int],
) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """Compare what was sent with what came of it.

    Args:
        sent: how many of each kind.
        record: what the worker said.
        arrived: the sink's mails, None with a real relay.
        refusals: codes of the dead letters' refusals.

    Returns:
        The rows of the table, and the problems.
    """
    counts: Counter[tuple[str, int]] = Counter()
    odd: Counter[str] = Counter()
    by_name = {kind.name: kind for kind in sent}
    for (name, number), mail in arrived or ():
        counts[name, number] += 1
        if name in by_name and not by_name[name].looks_right(mail):
            odd[name] += 1
    rows: list[Row] = []
    problems: list[str] = []
    for kind, many in sent.items():
        rows.append(_row(kind, many, record))
        if arrived is not None:
            problems += _missing(kind, many, counts)
        if odd[kind.name]:
            problems.append(f"{kind.title}: {odd[kind.name]} mails do not look as they were made")
        problems += _unexpected(kind, many, record)
    strangers = sum(many for (name, _), many in counts.items() if name not in by_name)
    if strangers:
        problems.append(f"{strangers} mails arrived that nobody sent")
    if any(kind.name == "refused" for kind in sent) and list(refusals) != [_REFUSAL]:
        problems.append(f"the dead letters are refusals {list(refusals)}, expected one with {_REFUSAL}")
    return tuple(rows), tuple(problems)


def _row(kind: Kind, many: int, record: Record) -> Row:
    accepted, given_up = record.accepted[kind.name], record.given_up[kind.name]
    attempt = record.attempts.get(kind.name, 0)
    told = []
    if accepted:
        told.append("accepted" if attempt <= 1 else f"accepted at attempt {attempt}")
    if given_up:
        codes = ", ".join(sorted(record.codes.get(kind.name, ())))
        told.append(f"dead letter{'s' if given_up > 1 else ''}{f', {codes}' if codes else ''}")
    if accepted + given_up < many:
        told.append(f"{many - accepted - given_up} still on their way")
    return Row(kind.title, kind.made_with, many, accepted, "; ".join(told))


def _missing(kind: Kind, many: int, counts: Counter[tuple[str, int]]) -> list[str]:
    wanted = 0 if kind.name == "refused" else 1
    numbers = range(1, many + 1)
    missing = sum(counts[kind.name, number] < wanted for number in numbers)
    doubled = sum(counts[kind.name, number] > wanted for number in numbers)
    problems = [f"{kind.title}: {missing} of {many} did not arrive"] if missing else []
    return problems + ([f"{kind.title}: {doubled} arrived more often than they should"] if doubled else [])


def _unexpected(kind: Kind, many: int, record: Record) -> list[str]:
    accepted, attempt = record.accepted[kind.name], record.attempts.get(kind.name, 0)
    if kind.name == "refused":
        if accepted or record.given_up[kind.name] != many:
            return [f"{kind.title}: expected a dead letter, the worker tells of {record.given_up[kind.name]}"]
        return []
    problems = []
    if accepted != many:
        problems.append(f"{kind.title}: {accepted} of {many} were accepted")
    if kind.name == "deferred" and accepted and attempt != 2:
        problems.append(f"{kind.title}: accepted at attempt {attempt}, expected attempt 2")
    return problems
