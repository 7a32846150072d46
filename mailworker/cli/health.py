"""`mailworker health`: is this host's worker alive and looking?

It reads a few small files and asks nobody, so that a probe may call it each few seconds. Of the settings it needs the
namespace alone, and reads that by itself from the environment or `.env`: loading all of them would cost three times as much as
all the rest. They are loaded where they may say something else: in a Django project, or where that one value is wrong.
"""

from __future__ import annotations

import json
import math
import os
import re
from io import StringIO
from pathlib import Path
from typing import Any

import click

from mailworker.queue import heartbeat

_SETTING = "MAILWORKER_NAMESPACE"

#: Its default.
_DEFAULT = "mailworker"

#: What its rule takes (`mailworker.settings.text.Namespace`).
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Age(click.FloatRange):
    """A number of seconds above zero."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read one."""
        found: float = super().convert(value, param, ctx)
        if math.isnan(found):
            # It is within all bounds, and no age is below it.
            self.fail(f"{value!r} is no number of seconds: write for instance 30.", param, ctx)
        return found


@click.command("health")
@click.option(
    "--max-age",
    type=Age(min=0, min_open=True),
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
    """Return the namespace of the workers that are started here."""
    if os.environ.get("DJANGO_SETTINGS_MODULE"):
        return _of_all_settings()
    found = os.environ.get(_SETTING) or _in_dotenv()
    return found if _PLAIN.fullmatch(found) else _of_all_settings()


def _in_dotenv() -> str:
    """Return what `.env` says, else the default; something that is no namespace where its real reader has to be asked."""
    try:
        text = Path(".env").read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return _DEFAULT
    if _SETTING not in text:
        return _DEFAULT
    from dotenv.parser import parse_stream

    bindings = list(parse_stream(StringIO(text)))
    if any(binding.error for binding in bindings):
        return ""
    # The last one counts. A value with ${NAME} in it is no namespace before somebody has filled that in.
    values = [binding.value for binding in bindings if binding.key == _SETTING]
    return (values[-1] if values else None) or _DEFAULT


def _of_all_settings() -> str:
    from mailworker import settings
    from mailworker.cli.project import find_project

    find_project()
    return settings.current().MAILWORKER_NAMESPACE
