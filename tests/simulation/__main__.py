"""`python -m tests.simulation`: a million seeds by one command, or one seed step by step."""

from __future__ import annotations

import sys
import time

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.simulation.campaign import campaign, run, story
from tests.simulation.mutants import BY_NAME


@click.command(help="Run seeds of the simulation until one breaks a promise; exit status 1 then.")
@click.option("--seeds", default=1_000_000, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("--from", "first", default=0, show_default=True, type=click.IntRange(0), help="The first of them.")
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(1), help="Processes.")
@click.option("--seed", type=click.IntRange(0), help="Run this one only.")
@click.option("-v", "--verbose", is_flag=True, help="With --seed: show each step.")
@click.option("--mutant", type=click.Choice(list(BY_NAME)), help="Break this rule of the code first.", metavar="NAME")
def main(seeds: int, first: int, jobs: int, seed: int | None, verbose: bool, mutant: str | None) -> None:
    failed = _many(range(first, first + seeds), jobs, mutant) if seed is None else _one(seed, verbose, mutant)
    sys.exit(1 if failed else 0)


def _one(seed: int, verbose: bool, mutant: str | None) -> bool:
    result = run(seed, mutant)
    if verbose:
        click.echo(story(seed, mutant))
    else:
        click.echo(f"seed {seed}, {result.steps} steps: {result.broken or 'all promises are kept'}")
    return result.broken is not None


def _many(seeds: range, jobs: int, mutant: str | None) -> bool:
    columns = (
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f} seeds/s"),
        TimeRemainingColumn(),
    )
    began = time.monotonic()
    done = 0
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=len(seeds), rate=0.0)
        for chunk in campaign(seeds, jobs, mutant):
            done += chunk.seeds
            rate = done / max(time.monotonic() - began, 1e-9)
            progress.update(bar, completed=done, rate=rate)
            if chunk.failed is not None:
                progress.stop()
                click.echo(story(chunk.failed, mutant))
                return True
    click.echo(f"{done} seeds from {seeds.start} on, {rate:.0f} a second: all promises are kept")
    return False


if __name__ == "__main__":
    main()
