"""mailworker beside its peers, by one command: `python -m tests.bench`.

Every scenario runs all its contenders in turns, in one order and then in the other, and what counts are ratios between runs of
the same round. On the terminal are a table for each scenario and one of the goals; all runs go into a JSON file and the medians
into a picture. Needs the extras `test` and `bench`, a redis-server, and smtp-sink (see `tests.bench.postfix`).
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from rich.console import Console

from tests.bench import about, backlog, goals, plot, postfix, report
from tests.bench.child import ChildError
from tests.bench.figures import Figures
from tests.bench.measure import Bench
from tests.bench.scenario import CELERY_EMAIL, OURS, SCENARIOS, Entry, Scenario

_RESULTS = Path(__file__).parent / "results"

#: name -> title.
_TITLES = {scenario.name: scenario.title for scenario in SCENARIOS} | {backlog.NAME: backlog.TITLE}


def main() -> None:
    asked = _asked()
    programs = _programs()
    machine = about.machine()
    began = time.monotonic()
    figures = Figures()
    notes: dict[str, dict[str, str]] = {}
    with _telling() as (tell, note), _signals():
        bench = Bench(programs, None if asked.quick else asked.seconds, tell)
        try:
            for scenario in SCENARIOS:
                if scenario.name in asked.only:
                    notes[scenario.name] = _rounds(bench, scenario, asked, figures, note)
            if backlog.NAME in asked.only:
                backlog.run(bench, asked.rounds, figures, note)
        except KeyboardInterrupt:
            note("interrupted: what was measured so far follows")
            _keep_off(asked)
    run = {"quick": asked.quick, "rounds": asked.rounds, "seconds": asked.seconds, "took": time.monotonic() - began}
    around = {"run": run, "machine": machine, "notes": notes}
    _print(figures, notes, asked.quick)
    failures = report.failures(figures)
    if failures:
        _keep_off(asked)
    _keep(asked, figures, around)
    if failures:
        print("\n".join(failures), file=sys.stderr)
        sys.exit(1)


def _programs() -> postfix.Postfix:
    """Return smtp-sink and smtp-source, or end with a sentence on what is not here."""
    if missing := about.missing():
        _end(f"{', '.join(missing)} is not installed: pip install -e '.[test,bench]'")
    if shutil.which("redis-server") is None:
        _end("redis-server is not on the PATH: install Redis")
    try:
        return postfix.find()
    except postfix.PostfixMissingError as error:
        _end(str(error))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few mails and one round, to see that everything works")
    parser.add_argument("--only", type=_names, default=list(_TITLES), metavar="NAMES", help=", ".join(_TITLES))
    parser.add_argument("--rounds", type=int, help="of each scenario; 3 unless the run is quick")
    parser.add_argument("--seconds", type=float, default=10.0, help="that each rate is taken over, at least")
    parser.add_argument(
        "--entries", default="", metavar="WORDS", help="only entries with one of these words in their name"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help=f"by default {_shown('bench.json')}")
    parser.add_argument("--plot", type=Path, metavar="FILE", help=f"an SVG; by default {_shown('bench.svg')}")
    asked = parser.parse_args()
    asked.rounds = asked.rounds or (1 if asked.quick else 3)
    # What is no whole run must not stand where the README looks.
    is_long = asked.rounds >= 3 and asked.seconds >= 10
    is_whole = not asked.quick and not asked.entries and asked.only == list(_TITLES) and is_long
    asked.json = asked.json or (_RESULTS / "bench.json" if is_whole else None)
    asked.plot = asked.plot or (_RESULTS / "bench.svg" if is_whole else None)
    return asked


def _keep_off(asked: argparse.Namespace) -> None:
    """Write nothing where the README looks: this run did not come to its end."""
    asked.json = None if asked.json == _RESULTS / "bench.json" else asked.json
    asked.plot = None if asked.plot == _RESULTS / "bench.svg" else asked.plot


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in _TITLES]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(_TITLES)}")
    return names


def _shown(name: str) -> str:
    return f"tests/bench/results/{name}, where the run is a whole one"


def _rounds(
    bench: Bench, scenario: Scenario, asked: argparse.Namespace, figures: Figures, note: Callable[[str], None]
) -> dict[str, str]:
    """Run all rounds of a scenario; return what there is to say of its entries."""
    words = asked.entries.split(",")
    entries = [entry for entry in scenario.entries if any(word.strip() in entry.label for word in words)]
    if scenario.how == "mass":
        entries = [_best(bench, scenario, entry, note) for entry in entries]
    for number in range(asked.rounds):
        for entry in _order(entries, number):
            run = bench.run(scenario, entry, number)
            figures.add(run)
            found = f"{run.values['rate']:,.0f} mails/s" if run.failure is None else "failed"
            note(f"{scenario.title}, round {number + 1} of {asked.rounds}: {entry.label}: {found}")
    return {entry.label: entry.note for entry in entries if entry.note}


def _order(entries: Sequence[Entry], number: int) -> Sequence[Entry]:
    """Return who runs when in a round: in turns forwards and backwards, so that nobody always runs after the same one."""
    return entries if number % 2 == 0 else entries[::-1]


def _best(bench: Bench, scenario: Scenario, entry: Entry, note: Callable[[str], None]) -> Entry:
    if entry.contender != CELERY_EMAIL:
        return entry
    try:
        best = bench.best_chunk(scenario, entry)
    except ChildError as error:
        note(f"{entry.label}: no chunk size could be found: {error}")
        return entry
    note(f"{entry.label}: {best.note} are best")
    return best


def _print(figures: Figures, notes: dict[str, dict[str, str]], is_quick: bool) -> None:
    console = report.console()
    for name in figures.scenarios():
        console.print(report.scenario(figures, name, _TITLES[name], notes.get(name, {})))
    console.print(report.goals(goals.verdicts(figures)))
    if is_quick:
        console.print("A quick run: it shows that everything works, and its figures mean little.")


def _keep(asked: argparse.Namespace, figures: Figures, around: dict[str, Any]) -> None:
    if asked.json is not None:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        found = around | {"goals": [each.plain() for each in goals.verdicts(figures)]} | figures.plain()
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    if asked.plot is not None:
        asked.plot.parent.mkdir(parents=True, exist_ok=True)
        below = f"{about.line(around['machine'])}; medians of {asked.rounds} and their range"
        asked.plot.write_text(plot.drawn(figures, OURS, "mailworker beside its peers", below))


@contextmanager
def _telling() -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """Yield what shows what is going on, and what leaves a line; on stderr, tables are for stdout."""
    console = Console(stderr=True)
    with console.status("starting") as status:
        yield status.update, lambda text: console.print(text, highlight=False, soft_wrap=True)


@contextmanager
def _signals() -> Iterator[None]:
    """End on SIGTERM and SIGHUP as on Ctrl-C: with everything ended that was started."""

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        # Once is enough: a second one must not break off what ends the children.
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(text: str) -> NoReturn:
    sys.exit(f"python -m tests.bench: {text}")


if __name__ == "__main__":
    main()
