"""Chaos for a bulk by one command: `python -m tests.chaos.bulk`."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

import click

from tests.bulk_list import Kind
from tests.chaos.bulk.run import Plan, Result, Run
from tests.chaos.mutant import MUTANTS

_DEFAULT = Plan()


@click.command(
    help="Kill producers and workers of a bulk, pause it and let it go on; exit status 1 if a promise is broken."
)
@click.option("--rows", default=_DEFAULT.rows, show_default=True, type=click.IntRange(1000), help="Of the list.")
@click.option("--seed", default=_DEFAULT.seed, show_default=True, help="Of the moments and the victims.")
@click.option(
    "--workers", default=_DEFAULT.workers, show_default=True, type=click.IntRange(1), help="Of two children each."
)
@click.option("--kills", default=_DEFAULT.kills, show_default=True, help="Of the producer.")
@click.option(
    "--pause",
    default=_DEFAULT.pause,
    show_default=True,
    help="Seconds between two events among the workers, on average.",
)
@click.option(
    "--mutant", type=click.Choice(list(MUTANTS)), help="Break this rule of the workers first.", metavar="NAME"
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Show what happens.")
def main(
    rows: int, seed: int, workers: int, kills: int, pause: float, mutant: str | None, as_json: bool, verbose: bool
) -> None:
    folder = Path(tempfile.mkdtemp(prefix="mailworker-bulk-chaos-"))
    plan = Plan(rows=rows, seed=seed, workers=workers, kills=kills, pause=pause, mutant=mutant)
    result = Run(plan, folder, (lambda text: click.echo(text, err=True)) if verbose else lambda text: None).run()
    broken = [*result.broken, *result.account.broken]
    figures = _figures(result)
    if as_json:
        click.echo(json.dumps({**figures, "broken": broken}, indent=2))
    else:
        click.echo("\n".join(f"{name:<45}{value:>9g}" for name, value in figures.items()))
    if broken:
        click.echo("\n".join([*broken, f"The logs are in {folder}"]), err=True)
        sys.exit(1)
    shutil.rmtree(folder)


def _figures(result: Result) -> dict[str, float]:
    found, events = result.account, result.events
    return {
        "rows": sum(found.kinds.values()),
        **{f"rows, {kind}": found.kinds[kind] for kind in Kind},
        "wanted no more in the middle": found.late,
        "producers killed": events["producer killed"],
        "workers killed": events["worker killed"],
        "children killed": events["child killed"],
        "connections cut": events["connections cut"],
        "restarts of Redis": events["redis killed"],
        "workers that ended by themselves": result.ended,
        "good, got it once": found.once,
        "good, got it more than once": found.twice,
        "good, given up in doubt": found.none,
        "refused by the relay": found.refused,
        "second copies": found.second_copies,
        "refused a second time": found.asked_again,
        "deaths that may cause one of them": found.ambiguous,
        "flagged in doubt": found.doubts,
        "seconds": round(result.seconds, 1),
    }


if __name__ == "__main__":
    main()
