"""Looks at bulks for the commands: with the gate of the mailer, and in plain values where those are asked for."""

from __future__ import annotations

import json

import click

from mailworker.bulk import control
from mailworker.cli.bulk.lines import lines
from mailworker.cli.bulk.shown import Shown
from mailworker.cli.bulk.speed import Speed
from mailworker.spool.bulk import Bulk


def look(name: str, speed: Speed | None = None) -> Shown:
    """Return a bulk as it is shown now.

    Args:
        name: its name.
        speed: remembers the looks before.
    """
    return shown(control.show(name), speed)


def shown(bulk: Bulk, speed: Speed | None = None) -> Shown:
    """Return how a bulk is shown that somebody has looked at already."""
    return Shown(bulk, control.mailer_gate(bulk), None if speed is None else speed.look(bulk))


def tell(bulk: Bulk, text: str, *, as_json: bool) -> None:
    """Say what was done with a bulk: in words, and how it stands now; or in plain values."""
    now = shown(bulk)
    if as_json:
        click.echo(json.dumps(now.to_json(), indent=2, ensure_ascii=False))
        return
    click.echo(f"{text}; now {now.standing.text}")


def echo(now: Shown, *, as_json: bool) -> None:
    """Print a bulk once."""
    if as_json:
        click.echo(json.dumps(now.to_json(), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(lines(now)))
