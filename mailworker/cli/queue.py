"""`mailworker queue`: what waits, where, and behind which gate, as a picture that can be looked at.

It reads the spool's counts and gates and the limits of the settings, and lays them out; the counts are the spool's own. Where mail
travels in Celery tasks, the broker's queues are all that can be counted.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from mailworker.cli.moment import length, moment
from mailworker.cli.project import app_and_settings
from mailworker.cli.rate import rate_shown
from mailworker.errors import MailworkerError

if TYPE_CHECKING:
    from celery import Celery

    from mailworker.cli.bulk.shown import Shown
    from mailworker.lane import Lane
    from mailworker.settings import MailerLimits, Settings
    from mailworker.spool.base import MailerState, SpoolStats
    from mailworker.spool.record import State

#: Characters of the longest bar.
_BAR = 30

#: Seconds between two looks.
_PERIOD = 1.0

#: Seconds that counting the broker's queues may take.
_TIMEOUT = 10.0


@click.command("queue", short_help="Show what waits, for what, and each mailer's gate.")
@click.option("--watch", is_flag=True, help="Look again each second until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(watch: bool, as_json: bool) -> None:
    """Count the mails by mailer, lane and state, and show what holds them up.

    Each mailer's gate is open, or paused by a person, or by its breaker for a while since its relay is
    in trouble. Where its sessions are limited, mail also waits while all of them are in use. Bulks are named
    that have mails to go, with what these wait for, and groups that are paused or cancelled. Finished mails are counted
    for MAILWORKER_RETENTION.

    \b
    Examples:
      mailworker queue
      mailworker queue --watch
      mailworker queue --json | jq .counts.relay.normal.due
    """
    if watch and as_json:
        raise click.UsageError("--watch is for people, --json for programs: keep one.")
    if watch and not sys.stdout.isatty():
        raise click.UsageError("--watch needs a terminal: without it the queue is shown once.")
    app, conf = app_and_settings()
    look = _looker(app, conf)
    if as_json:
        shown, _ = look()
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    elif watch:
        _watch(look)
    else:
        _, lines = look()
        click.echo("\n".join(lines))


#: Returns what there is as plain values, and as lines.
Look = Callable[[], tuple[dict[str, Any], list[str]]]


def _looker(app: Celery, conf: Settings) -> Look:
    from mailworker.cli.bulk.shown import Shown
    from mailworker.queue import spools
    from mailworker.settings import safe_url

    spool = spools.for_workers(app, conf)
    if spool is None:
        return lambda: _in_broker(app, conf)
    url = safe_url(spools.url(app, conf) or "")
    limits = {alias: mailer.limits for alias, mailer in conf.mailers.items() if not mailer.is_queue}

    def look() -> tuple[dict[str, Any], list[str]]:
        stats = spool.stats()
        bulks = [Shown(bulk, stats.mailers.get(bulk.plan.mailer)) for bulk in spool.bulks.all()]
        return to_json(stats, limits, url, bulks), list(picture(stats, limits, url, time.time(), bulks))

    return look


def _watch(look: Look) -> None:
    from mailworker.cli.failure import sentence

    try:
        while True:
            try:
                lines = look()[1]
            except MailworkerError as error:
                # It may come back, and somebody is waiting for that.
                lines = [sentence(error)]
            click.clear()
            click.echo("\n".join(lines))
            time.sleep(_PERIOD)
    except KeyboardInterrupt:
        click.echo()


def to_json(
    stats: SpoolStats, limits: Mapping[str, MailerLimits], url: str, bulks: Sequence[Shown] = ()
) -> dict[str, Any]:
    """Return plain values for `--json`.

    Args:
        stats: the spool's counts and gates.
        limits: by mailer.
        url: where the spool is, without its password.
        bulks: all of them.
    """
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for (mailer, lane, state), number in sorted(stats.counts.items()):
        counts.setdefault(mailer, {}).setdefault(lane.value, {})[state.value] = number
    later: dict[str, dict[str, int]] = {}
    for (mailer, lane), number in sorted(stats.later.items()):
        later.setdefault(mailer, {})[lane.value] = number
    return {
        "spool": url,
        "oldest_due_age": stats.oldest_due_age,
        "counts": counts,
        "later": later,
        "mailers": {
            mailer: asdict(_gate(stats, mailer)) | {"limits": asdict(limits[mailer]) if mailer in limits else None}
            for mailer in _mailers(stats, limits)
        },
        "groups": dict(sorted(stats.groups.items())),
        "bulks": {
            one.bulk.plan.name: {"left": one.bulk.left, "phase": one.standing.phase.value, "text": one.standing.text}
            for one in bulks
            if _has_to_go(one)
        },
    }


def picture(
    stats: SpoolStats, limits: Mapping[str, MailerLimits], url: str, now: float, bulks: Sequence[Shown] = ()
) -> Iterator[str]:
    """Yield the lines that show a person what there is.

    Args:
        stats: the spool's counts and gates.
        limits: by mailer.
        url: where the spool is, without its password.
        now: seconds since the epoch.
        bulks: all of them.
    """
    oldest = stats.oldest_due_age
    yield f"{url}: {'nothing is due now' if oldest is None else f'the oldest that is due has waited {length(oldest)}'}"
    # What is finished says nothing of how much waits, and would dwarf it.
    most = max((number for (_, _, state), number in stats.counts.items() if not state.is_finished), default=0)
    width = len(f"{max(stats.counts.values(), default=0):,}")
    for mailer in _mailers(stats, limits):
        yield ""
        sessions = limits[mailer].sessions if mailer in limits else None
        yield click.style(mailer, bold=True) + f": {gate_shown(_gate(stats, mailer), now, sessions)}"
        if mailer not in limits:
            yield "  no mailer of this name is in the settings here"
        elif limits[mailer].is_set:
            yield f"  at most {limits_shown(limits[mailer])}"
        for lane, states in _lanes(stats, mailer):
            name = lane.value
            for state, number in states:
                bar = "" if state.is_finished else "#" * (-(-number * _BAR // most))
                later = stats.later.get((mailer, lane), 0) if state == "due" else 0
                shown = f"{bar}  {later:,} of them later" if later else bar
                yield f"  {name:<8}{state.value:<10}{number:>{width},}  {shown}".rstrip()
                name = ""
    yield from _sets(stats, bulks)


def _sets(stats: SpoolStats, bulks: Sequence[Shown]) -> Iterator[str]:
    """Yield a line for each bulk that has mails to go, and for each other group that is paused or cancelled."""
    names = {one.bulk.plan.name for one in bulks}
    lines = [_bulk(one) for one in bulks if _has_to_go(one)]
    lines += [
        f"group {group!r}: " + click.style(gate, fg="yellow")
        for group, gate in sorted(stats.groups.items())
        if group not in names
    ]
    if lines:
        yield ""
        yield from lines


def _bulk(shown: Shown) -> str:
    rate, stands = shown.bulk.plan.timetable.rate, shown.standing
    text = click.style(stands.text, fg="yellow") if stands.is_trouble else stands.text
    limit = "" if rate is None else f"; at most {rate_shown(rate)}"
    return f"bulk {shown.bulk.plan.name!r}: {shown.bulk.left:,} to go, {text}{limit}"


def _has_to_go(shown: Shown) -> bool:
    return shown.bulk.left > 0 or shown.standing.phase == "filling"


def limits_shown(limits: MailerLimits) -> str:
    """Return a mailer's limits in words: "14/s in bursts of 20; 5 sessions; example.com: 2/s, 3 at a time"."""
    whole = ""
    if limits.rate is not None:
        whole = rate_shown(limits.rate) + (f" in bursts of {limits.burst}" if limits.burst > 1 else "")
    parts = [whole] if whole else []
    if limits.sessions is not None:
        parts.append(f"{limits.sessions} session{'s' * (limits.sessions > 1)}")
    for domain in sorted({*limits.domain_rate, *limits.domain_concurrency}):
        said = [rate_shown(limits.domain_rate[domain])] if domain in limits.domain_rate else []
        said += [f"{limits.domain_concurrency[domain]} at a time"] if domain in limits.domain_concurrency else []
        parts.append(f"{domain}: {', '.join(said)}")
    return "; ".join(parts)


def _gate(stats: SpoolStats, mailer: str) -> MailerState:
    from mailworker.spool.base import MailerState

    return stats.mailers.get(mailer, MailerState())


def gate_shown(gate: MailerState, now: float, sessions: int | None = None) -> str:
    """Return a mailer's gate in words: "open", or who closed it, until when and why.

    Args:
        gate: as all workers see it.
        now: seconds since the epoch.
        sessions: how many the mailer allows; None = no limit.
    """
    why = f": {gate.reason}" if gate.reason else ""
    if gate.paused_by_person:
        return click.style("paused by a person", fg="yellow") + why
    if gate.paused_until is not None:
        troubles = f"trouble {gate.failures} in a row" if gate.failures > 1 else "trouble"
        return click.style(f"paused by its breaker ({troubles}) until {moment(gate.paused_until, now)}", fg="red") + why
    if gate.failures:
        return click.style(f"open for one mail, after trouble {gate.failures} in a row", fg="yellow") + why
    if sessions is None:
        return "open"
    in_use = f"{gate.sessions} of {sessions} sessions in use"
    return "open, " + (click.style(in_use, fg="yellow") if gate.sessions >= sessions else in_use)


def _mailers(stats: SpoolStats, limits: Mapping[str, MailerLimits]) -> list[str]:
    """Return the mailers that deliver, those of the settings first."""
    known = {*stats.mailers, *(mailer for mailer, _, _ in stats.counts)}
    return list(dict.fromkeys([*limits, *sorted(known)]))


def _lanes(stats: SpoolStats, mailer: str) -> Iterator[tuple[Lane, list[tuple[State, int]]]]:
    from mailworker.lane import LANES
    from mailworker.spool.record import State

    for lane in LANES:
        found = [(state, stats.counts[key]) for state in State if (key := (mailer, lane, state)) in stats.counts]
        if found:
            yield lane, found


def _in_broker(app: Celery, conf: Settings) -> tuple[dict[str, Any], list[str]]:
    from mailworker.queue.given_up import waiting_in_broker

    counts = waiting_in_broker(app, conf.MAILWORKER_NAMESPACE, _TIMEOUT)
    lines = ["no spool: mail travels in Celery tasks, and the broker counts those that no worker has yet"]
    lines += [f"  {name:<8}{number:>8,}" for name, number in counts.items()]
    return {"spool": None, "tasks": counts}, lines
