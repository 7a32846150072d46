"""`mailworker health`: is this host's worker alive and looking?

It reads a few small files and asks nobody, so that a probe may call it each few seconds. No settings are loaded where the
namespace is known without them: that alone would cost three times as much as all the rest.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from mailworker.queue import heartbeat

#: MAILWORKER_NAMESPACE's default.
_NAMESPACE = "mailworker"


@click.command("health")
@click.option(
    "--max-age",
    type=click.FloatRange(min=0, min_open=True),
    default=heartbeat.MAX_AGE,
    show_default=True,
    metavar="SECONDS",
    help="A worker that has said nothing for longer counts as stuck.",
)
@click.option("--name", metavar="NODE", help="Ask for this worker only: its node name, with or without @HOST.")
@click.option("--namespace", help="Of the workers; default: the setting MAILWORKER_NAMESPACE.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, max_age: float, name: str | None, namespace: str | None, as_json: bool) -> None:
    """Exit 0 while this host's worker is alive and looking for mail.

    A worker that hangs, or that has lost its broker, stops to say so, and this exits 1. It asks neither
    broker nor worker and takes about a tenth of a second. It sees the workers of the same user and host
    (and container).

    \b
    Examples:
      mailworker health
      mailworker health --max-age 10 --json
      mailworker health --name mailworker-high
    """
    namespace = namespace or _namespace()
    beats = heartbeat.beats(namespace, max_age)
    if name:
        beats = [beat for beat in beats if name in (beat.name, beat.name.partition("@")[0])]
    alive = [beat for beat in beats if beat.is_alive]
    if as_json:
        click.echo(json.dumps({"alive": bool(alive), "workers": [beat.to_json() for beat in beats]}))
    elif alive:
        for beat in alive:
            click.echo(f"alive: {beat.name}, process {beat.pid}, {beat.age:.1f} s ago")
    else:
        click.echo(_complaint(namespace, name, beats), err=True)
    ctx.exit(0 if alive else 1)


def _complaint(namespace: str, name: str | None, beats: list[heartbeat.Beat]) -> str:
    which = f"worker {name!r}" if name else f"worker of namespace {namespace!r}"
    if not beats:
        return f"no {which} runs here: start one with `mailworker worker`"
    last = beats[0]
    return (
        f"no {which} is alive: {last.name}, process {last.pid}, was last heard of {last.age:.0f} s ago; it was killed, hangs, "
        "or cannot reach its broker: look at its log"
    )


def _namespace() -> str:
    """Return the namespace as the settings of a process without Django would give it."""
    if found := os.environ.get("MAILWORKER_NAMESPACE"):
        return found
    try:
        is_mentioned = "MAILWORKER_NAMESPACE" in Path(".env").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return _NAMESPACE
    if not is_mentioned:
        return _NAMESPACE
    from mailworker import settings

    return settings.current().MAILWORKER_NAMESPACE
