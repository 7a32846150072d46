"""The sizes that a bulk has to reach, by one command: `python -m tests.bench.bulk`.

A list is written on the fly, with a byte order mark, quotes, names that are not ASCII, and some bad, doubled and unwanted rows, and
`mailworker bulk start` reads it in a process of its own. Redis keeps nothing on disk. Mails go to Postfix's smtp-sink where it is to be
had (`tests.bench.postfix`), else to a server of ours. Printed is each figure beside its goal; exit status 1 if one is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence

from rich.table import Table

from tests.bench import about, postfix, report
from tests.bench.bulk import drain, filling, latency
from tests.bench.bulk.goals import PARTS, Verdict, verdicts

#: Seconds that the slow relay takes for a mail.
_SLOW = 0.1


def main() -> int:
    """Measure, and print the figures."""
    asked = _asked()
    found: dict[str, float] = {}
    loads: dict[str, float] = {}
    programs = _programs(asked.own_relay)
    for part in PARTS:
        if part in asked.only and (part != "enqueue" or "memory" not in asked.only):
            loads[part] = os.getloadavg()[0]
            found |= _measured(part, asked, programs)
    made = verdicts(found)
    if asked.json:
        relay = "smtp-sink" if programs is not None else "a server of ours"
        around = {"machine": about.machine(), "relay": relay, "load_before": loads}
        print(json.dumps({**around, "goals": [each.plain() for each in made], "figures": found}, indent=1))
    else:
        _print(made, found)
    return 1 if any(each.is_reached is False for each in made) else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.bulk", description=(__doc__ or "").split("\n\n", maxsplit=1)[0]
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the list that is enqueued; default 1,000,000")
    parser.add_argument("--only", type=_names(PARTS), default=list(PARTS), metavar="PARTS", help=", ".join(PARTS))
    parser.add_argument("--drain", type=int, default=30_000, metavar="MAILS", help="of each run of the drain")
    parser.add_argument(
        "--letters", type=_names(drain.LETTERS), default=list(drain.LETTERS), help="of the drain: text, html"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of the drain")
    parser.add_argument("--mails", type=int, default=200, help="in lane high, whose time is taken, for each relay")
    parser.add_argument("--fast-rows", type=int, default=120_000, metavar="ROWS", help="of the bulk meanwhile")
    parser.add_argument("--slow-rows", type=int, default=10_000, metavar="ROWS", help="the same for the slow relay")
    parser.add_argument("--own-relay", action="store_true", help="do not look for smtp-sink")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _names(known: Collection[str]) -> Callable[[str], list[str]]:
    """Return what reads names out of those that are known."""

    def read(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return names

    return read


def _programs(own_relay: bool) -> postfix.Postfix | None:
    if own_relay:
        return None
    try:
        return postfix.find()
    except postfix.PostfixMissingError as error:
        _tell(f"{error}; the relay is a server of ours")
        return None


def _measured(part: str, asked: argparse.Namespace, programs: postfix.Postfix | None) -> dict[str, float]:
    if part == "latency":
        fast = latency.measured(0.0, asked.mails, asked.fast_rows, _tell)
        slow = latency.measured(_SLOW, asked.mails, asked.slow_rows, _tell)
        return {f"fast_{name}": value for name, value in fast.items()} | {
            f"slow_{name}": value for name, value in slow.items()
        }
    if part == "drain":
        return drain.measured(programs, asked.letters, asked.drain, asked.rounds, _tell)
    return filling.measured(programs, asked.rows, is_sent=part == "memory", tell=_tell)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print(made: Sequence[Verdict], found: Mapping[str, float]) -> None:
    console = report.console()
    table = Table(title="Bulk", title_justify="left", title_style="bold")
    for heading, justify in (("goal", "left"), ("wanted", "right"), ("measured", "right"), ("", "left")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for each in made:
        reached = {True: "reached", False: "missed", None: "not measured"}[each.is_reached]
        measured = "" if each.value is None else _shown(each.value)
        table.add_row(each.goal.title, f"{each.goal.wanted} {each.goal.unit}", measured, reached)
    console.print(table)
    named = {each.goal.name for each in made}
    for name, value in found.items():
        if name not in named:
            console.print(f"{name:<26}{_shown(value)}", highlight=False)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


if __name__ == "__main__":
    sys.exit(main())
