"""What a bulk's run came to: each row of its list accounted for, at the relay, in the report and in the counts. Pure.

Who is good got the mail once, or it is dead and flagged; who is refused was asked for once and got nothing; who wants none, and whose
row is bad, was not even asked for. A second copy needs its flag and a death that explains it. To ask the relay a second time for somebody whom
it refused makes no copy: an envelope may be on the wire before its mark is written, and whatever breaks then lets it be sent again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.bulk_list import Kind, listed

#: How many that are wrong are named.
_NAMED = 5

#: Columns of a report that are looked at.
Line = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is known of a run.

    Attributes:
        rows: of the list, numbered from 0.
        late: recipients who were put on the list of those who want no mail in the middle, when they had none.
        copies: recipient -> Message-IDs of the copies that came to the relay.
        refused: recipient -> how often the relay refused it.
        report: the lines of `bulk report`.
        show: what `bulk show --json` says.
        ambiguous: deaths that may each have caused one second copy.
        interrupted: deaths, and processes that were cut off from Redis, which may each have made one envelope be sent again.
    """

    rows: int
    late: Collection[str]
    copies: Mapping[str, Sequence[str]]
    refused: Mapping[str, int]
    report: Sequence[Line]
    show: Mapping[str, Any]
    ambiguous: int
    interrupted: int


@dataclass(frozen=True, kw_only=True)
class Account:
    """The figures.

    Attributes:
        kinds: rows of the list by kind.
        once: good recipients with one copy.
        twice: those with more.
        none: good recipients without one, that are dead and flagged.
        late: those who wanted no more in the middle, and got none.
        refused: recipients that the relay refused.
        asked_again: refusals of one recipient beyond the first.
        second_copies: copies beyond the first, of all recipients.
        doubts: mails that are flagged in doubt.
        ambiguous: deaths that may each have caused one second copy.
        broken: what does not hold, each with some of the recipients that show it.
    """

    kinds: Mapping[Kind, int]
    once: int
    twice: int
    none: int
    late: int
    refused: int
    asked_again: int
    second_copies: int
    doubts: int
    ambiguous: int
    broken: Sequence[str] = field(default=())


def account(seen: Seen) -> Account:
    """Account for every row of a run."""
    kinds: Counter[Kind] = Counter()
    expected: dict[str, Kind] = {}
    bad: list[str] = []
    for number in range(seen.rows):
        row = listed(number)
        kinds[row.kind] += 1
        if row.kind is Kind.BAD:
            bad.append(row.address)
        elif row.kind is not Kind.DUPLICATE:
            expected[row.address] = Kind.SUPPRESSED if row.address in seen.late else row.kind
    wrong: defaultdict[str, list[str]] = defaultdict(list)
    lines = {line["recipient"]: line for line in seen.report}
    for address, kind in expected.items():
        line = lines.get(address)
        copies, refused = seen.copies.get(address, ()), seen.refused.get(address, 0)
        faults = ["not in the report"] if line is None else _faults(kind, line, copies, refused)
        for what in faults:
            wrong[what].append(address)
    wrong["a bad row, and the relay has heard of it"] += [
        each for each in bad if each in seen.copies or each in seen.refused
    ]
    strangers = (seen.copies.keys() | seen.refused.keys() | lines.keys()) - expected.keys()
    wrong["of nobody's list"] += sorted(strangers - set(bad))
    wrong["a bad row, and it is in the report"] += [each for each in bad if each in lines]
    broken = [f"{what}: {len(who)} recipients, {who[:_NAMED]}" for what, who in wrong.items() if who]
    if len(lines) != len(seen.report):
        broken.append(f"the report has {len(seen.report)} lines for {len(lines)} recipients")
    broken += _miscounted(seen, kinds)
    numbers = {address: len(seen.copies.get(address, ())) for address in expected}
    second_copies = sum(max(0, number - 1) for number in numbers.values())
    asked_again = sum(number - 1 for number in seen.refused.values())
    if second_copies > seen.ambiguous:
        broken.append(f"{second_copies} second copies, and only {seen.ambiguous} deaths that may have caused one")
    if asked_again > seen.interrupted:
        broken.append(f"{asked_again} second refusals, and only {seen.interrupted} breaks that may have caused one")
    good = [numbers[address] for address, kind in expected.items() if kind is Kind.GOOD]
    return Account(
        kinds=kinds,
        once=sum(number == 1 for number in good),
        twice=sum(number > 1 for number in good),
        none=sum(number == 0 for number in good),
        late=len(seen.late),
        refused=len(seen.refused),
        asked_again=asked_again,
        second_copies=second_copies,
        doubts=sum(bool(line["in_doubt"]) for line in seen.report),
        ambiguous=seen.ambiguous,
        broken=broken,
    )


def _faults(kind: Kind, line: Line, copies: Sequence[str], refused: int) -> Iterator[str]:
    """Yield what is wrong with a recipient."""
    yield from _ENDS[kind](line, copies, refused)
    if kind is not Kind.GOOD and copies:
        yield f"{kind}, and got a copy"
    if kind is not Kind.REFUSED and refused:
        yield f"{kind}, and the relay has refused it"
    if len(copies) > 1 and not line["in_doubt"]:
        yield "came twice, and is not flagged"
    if len(set(copies)) > 1:
        yield "came under two Message-IDs"


def _good(line: Line, copies: Sequence[str], refused: int) -> Iterator[str]:
    # A mail whose worker died twice in the middle of it is given up; whoever looks at it sees that it is in doubt.
    is_given_up = line["state"] == "dead" and (line["in_doubt"] or "lost" in line["reason"])
    if line["state"] != "sent" and not is_given_up:
        yield f"good, and {line['state']} with the reason {line['reason']!r}"
    if line["state"] == "sent" and (not copies or (line["outcome"], line["code"]) != ("accepted", 250)):
        yield f"sent, with {len(copies)} copies and the outcome {line['outcome']} {line['code']}"


def _refused(line: Line, copies: Sequence[str], refused: int) -> Iterator[str]:
    is_given_up = line["state"] == "dead" and line["in_doubt"]
    if (line["state"], line["outcome"], line["code"]) != ("dead", "rejected", 550) and not is_given_up:
        yield f"refused, and {line['state']} with the outcome {line['outcome']} {line['code']}"
    if not refused and not is_given_up:
        yield "refused, and the relay does not know of it"


def _unwanted(line: Line, copies: Sequence[str], refused: int) -> Iterator[str]:
    if (line["state"], line["reason"]) != ("dropped", "suppressed"):
        yield f"wants no mail, and is {line['state']} with the reason {line['reason']!r}"


_ENDS = {Kind.GOOD: _good, Kind.REFUSED: _refused, Kind.SUPPRESSED: _unwanted}


def _miscounted(seen: Seen, kinds: Mapping[Kind, int]) -> Iterator[str]:
    """Yield which counts of the bulk say something else than its report, or its list."""
    show, report = seen.show, seen.report
    domains: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line in report:
        if line["outcome"]:
            domains[line["recipient"].rpartition("@")[2]][line["outcome"]] += 1
    total: Counter[str] = Counter()
    for counts in domains.values():
        total.update(counts)
    for name, expected in {
        "rows": len(report),
        "left": 0,
        "read": seen.rows,
        "bad": kinds[Kind.BAD],
        "suppressed": kinds[Kind.SUPPRESSED],
        "states": dict(Counter(line["state"] for line in report)),
        "outcomes": dict(total),
        "domains": {domain: dict(counts) for domain, counts in domains.items()},
    }.items():
        found = _without_zeros(show[name])
        if found != expected:
            yield f"{name} is {found} by the counts, and {expected} by the report and the list"


def _without_zeros(value: Any) -> Any:
    """Return nested counts without those that are 0."""
    if not isinstance(value, Mapping):
        return value
    found = {name: _without_zeros(each) for name, each in value.items()}
    return {name: each for name, each in found.items() if each not in (0, {})}
