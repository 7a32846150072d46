"""Chaos by one command: `python -m tests.chaos`."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from mailworker.spool.record import State
from tests.chaos.mutant import MUTANTS
from tests.chaos.run import Plan, Result, Run

_DEFAULT = Plan()


@click.command(
    help="Kill workers, cut connections and restart Redis under traffic; exit status 1 if a promise is broken."
)
@click.option("--mails", default=_DEFAULT.mails, show_default=True, type=click.IntRange(10), help="How many.")
@click.option("--seconds", default=_DEFAULT.seconds, show_default=True, help="For how long they are enqueued.")
@click.option("--seed", default=_DEFAULT.seed, show_default=True, help="Of the moments and the victims.")
@click.option(
    "--workers", default=_DEFAULT.workers, show_default=True, type=click.IntRange(1), help="Of two children each."
)
@click.option("--pause", default=_DEFAULT.pause, show_default=True, help="Seconds between two events, on average.")
@click.option(
    "--mutant", type=click.Choice(list(MUTANTS)), help="Break this rule of the workers first.", metavar="NAME"
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Show what happens.")
def main(
    mails: int,
    seconds: float,
    seed: int,
    workers: int,
    pause: float,
    mutant: str | None,
    as_json: bool,
    verbose: bool,
) -> None:
    folder = Path(tempfile.mkdtemp(prefix="mailworker-chaos-"))
    plan = Plan(mails=mails, seconds=seconds, seed=seed, workers=workers, pause=pause, mutant=mutant)
    result = Run(plan, folder, (lambda text: click.echo(text, err=True)) if verbose else lambda text: None).run()
    click.echo(json.dumps(_plain(result), indent=2) if as_json else _table(result))
    if result.account.broken:
        click.echo("\n".join([*result.account.broken, f"The logs are in {folder}"]), err=True)
        sys.exit(1)
    shutil.rmtree(folder)


def _figures(result: Result) -> dict[str, float]:
    account, events = result.account, result.events
    return {
        "mails": account.mails,
        "workers killed": events["worker killed"],
        "children killed": events["child killed"],
        "children stalled past their lease": events["child stalled"],
        "connections cut": events["connections cut"],
        "restarts of Redis": events["redis killed"],
        "freezes of Redis past a lease": events["redis frozen"],
        "workers that ended by themselves": result.ended,
        "accepted": account.accepted,
        "sent": account.states.get(State.SENT, 0),
        "dead": account.states.get(State.DEAD, 0),
        "lost": account.lost,
        "second copies": account.second_copies,
        "events that may cause one": account.ambiguous,
        "arrived twice and flagged": account.flagged,
        "flagged in doubt": account.doubts,
        "seconds": round(result.seconds, 1),
    }


def _table(result: Result) -> str:
    return "\n".join(f"{name:<35}{value:>9g}" for name, value in _figures(result).items())


def _plain(result: Result) -> dict[str, object]:
    return {**_figures(result), "broken": asdict(result.account)["broken"]}


if __name__ == "__main__":
    main()
