"""`mailworker check`: settings, Celery app, spool, broker and relay looked over, one line each, with what to do.

It decides the order and how a line looks; what is looked for is in `spool`, `broker`, `relay`, `suppression` and
`mailworker.queue.audit`. What one part finds stops none of the others.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from mailworker.cli import finding
from mailworker.cli.finding import Finding, Level
from mailworker.cli.project import find_project
from mailworker.errors import ConfigurationError

if TYPE_CHECKING:
    from celery import Celery

    from mailworker.settings import Settings

#: How a level looks to a person.
_LOOKS = {
    Level.OK: ("ok", "green"),
    Level.NOTICE: ("notice", "cyan"),
    Level.WARNING: ("warning", "yellow"),
    Level.ERROR: ("ERROR", "red"),
}


@click.command("check")
@click.option("-v", "--verbose", is_flag=True, help="List all settings: value, and where it came from.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, verbose: bool, as_json: bool) -> None:
    """Look over settings, spool, broker and relay, and say what to do.

    It connects to them as a web process and a worker would, logs in, and sends no mail. Exit status 1
    if something does not work; warnings do not count.

    \b
    Examples:
      mailworker check
      mailworker check -v
      mailworker check --json | jq '.findings[] | select(.level != "ok")'
    """
    findings: list[Finding] = []
    conf = None
    for one in look():
        if isinstance(one, Finding):
            findings.append(one)
            if not as_json:
                _show(one)
        else:
            conf = one
    failed = any(one.level is Level.ERROR for one in findings)
    if as_json:
        shown = {"ok": not failed, "findings": [one.to_json() for one in findings], "settings": _settings(conf)}
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    elif verbose and conf is not None:
        _list(conf)
    ctx.exit(1 if failed else 0)


def look() -> Iterator[Finding | Settings]:
    """Look over everything, and give the settings too, once they are read."""
    from mailworker import settings
    from mailworker.queue.compose import tools

    try:
        find_project()
        settings.current()
    except ConfigurationError as error:
        yield finding.error("settings", str(error), "correct it; the rest is looked over when it can be read")
        return
    # Before the settings are looked at: the project's module may call `configure()`.
    app = _app()
    conf = settings.current()
    yield conf
    yield _said(conf)
    try:
        tools(conf)
    except ConfigurationError as error:
        yield finding.error("settings", str(error), "no mail can be queued or delivered without it")
    if isinstance(app, Finding):
        yield app
    else:
        yield from _app_and_queue(app, conf)
    from mailworker.cli import relay, suppression

    yield from relay.look(conf)
    yield from suppression.look(conf)


def _app() -> Celery | Finding:
    """Return the app that mail goes through, or what is wrong with it."""
    from mailworker import settings
    from mailworker.queue import app as apps

    try:
        return apps.current()
    except ConfigurationError as error:
        return finding.error("app", str(error), "correct MAILWORKER_CELERY_APP")
    except Exception as error:  # noqa: BLE001 - importing the project's app runs the project
        name = settings.current().MAILWORKER_CELERY_APP
        text = f"MAILWORKER_CELERY_APP: loading {name} failed: {type(error).__name__}: {error}"
        return finding.error("app", text, "see that the project itself starts")


def _app_and_queue(app: Celery, conf: Settings) -> Iterator[Finding]:
    from mailworker.cli import broker, redis, spool
    from mailworker.queue import app as apps
    from mailworker.queue import spools
    from mailworker.queue.audit import weaknesses

    try:
        weak = weaknesses(app.conf)
    except Exception as error:  # noqa: BLE001 - Celery reads an app's settings late, from modules of the project
        text = (
            f"the settings of Celery app {app.main or 'without a name'} cannot be read: {type(error).__name__}: {error}"
        )
        yield finding.error("app", text, "see that the project itself starts")
        return
    if not apps.is_own(app) and not weak:
        yield finding.ok("app", f"Celery app {app.main or 'without a name'}: nothing in it weakens mail")
    for one in weak:
        make = finding.error if one.is_fatal else finding.warning
        yield make("app", f"{one.setting} is {one.got}: {one.harm}", one.advice)
    if conf.MAILWORKER_TASK_ALWAYS_EAGER:
        text = "MAILWORKER_TASK_ALWAYS_EAGER is on: mail is delivered in the caller's process, and no broker and no spool is used"
        yield finding.warning("app", text, "set it in tests only")
        return
    about = yield from spool.look(app, conf)
    try:
        cargo = redis.Cargo.WAKE_UPS if spools.url(app, conf) is not None else redis.Cargo.TASKS
    except ConfigurationError:
        # It is named already.
        cargo = redis.Cargo.WAKE_UPS
    yield from broker.look(app, conf.MAILWORKER_ENQUEUE_TIMEOUT, cargo, about)


def _said(conf: Settings) -> Finding:
    rows = [row for row in _rows(conf) if row["source"] != "default"]
    sources = ", ".join(dict.fromkeys(row["source"] for row in rows))
    names = f"{len(rows)} set ({sources})" if rows else "all at their defaults"
    return finding.ok("settings", f"{names}, namespace {conf.MAILWORKER_NAMESPACE}")


def _rows(conf: Settings) -> list[dict[str, str]]:
    from mailworker.settings import describe

    return [asdict(row) for row in describe(conf)]


def _settings(conf: Settings | None) -> dict[str, dict[str, str]]:
    if conf is None:
        return {}
    return {row["name"]: {"value": row["value"], "source": row["source"]} for row in _rows(conf)}


def _show(one: Finding) -> None:
    word, colour = _LOOKS[one.level]
    mark = click.style(f"{word:<8}", fg=colour, bold=one.level is Level.ERROR)
    click.echo(mark + _folded(f"{one.part}: {one.text}", ""))
    if one.advice:
        click.echo(f"{'':8}{_folded(one.advice, '-> ')}")


def _folded(text: str, mark: str) -> str:
    """Fold a line to the terminal's width, behind the column of the levels; where nobody looks on it stays one line."""
    if not sys.stdout.isatty():
        return mark + text
    room = max(shutil.get_terminal_size().columns - 8, 40)
    # One paragraph at a time: the settings' errors come as a list.
    folded = [
        textwrap.fill(line, room, subsequent_indent=" " * len(mark), break_long_words=False, break_on_hyphens=False)
        for line in (mark + text).splitlines()
    ]
    return "\n".join(folded).replace("\n", "\n" + " " * 8)


def _list(conf: Settings) -> None:
    rows = _rows(conf)
    name_width = max(len(row["name"]) for row in rows)
    click.echo()
    for row in rows:
        source = "" if row["source"] == "default" else f"  ({row['source']})"
        click.echo(f"{row['name']:<{name_width}}  {row['value']}{source}")
