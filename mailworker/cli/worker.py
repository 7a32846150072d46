"""`mailworker worker`: a Celery worker with the defaults that mail wants.

It chooses lanes, processes, name and log level, says in one line what it is going to do, and becomes `celery worker` in this
process, with everything on its command line that it does not know itself. How mail is delivered is not decided here.
"""

from __future__ import annotations

import os
import secrets
import sys
from typing import Any

import click

from mailworker.cli.project import find_project
from mailworker.lane import LANES, Lane

#: Processes at least, so that one slow relay reply does not hold up everything; and at most, since relays count connections
#: (10 to 20 a client are common) and other hosts want some too. `-c` goes beyond it.
_SLOTS = (2, 4)

#: Short options of `celery worker` with a value; written in one word with it, click would take the value's letters for options.
_WITH_VALUE = "OQSXIs"

#: Celery's pools; "custom" is whatever its own variable names.
_POOLS = (
    *("prefork", "processes", "threads", "solo", "gevent", "eventlet"),
    *(("custom",) if os.environ.get("CELERY_CUSTOM_WORKER_POOL") else ()),
)

_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL")

#: Options of `celery` itself that people add by habit -> what to do instead.
_NOT_HERE = {
    "-A": "set MAILWORKER_CELERY_APP, or run `celery -A APP worker`",
    "--app": "set MAILWORKER_CELERY_APP, or run `celery -A APP worker`",
    "-b": "set MAILWORKER_BROKER_URL",
    "--broker": "set MAILWORKER_BROKER_URL",
    "-D": "a supervisor such as systemd keeps it in the background; deploy/ has a unit",
    "--detach": "a supervisor such as systemd keeps it in the background; deploy/ has a unit",
}


class WorkerCommand(click.Command):
    """A command that hands on what it does not know."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Split `-Odefault` into `-O default`: click would find our own `-l` in it."""
        split: list[str] = []
        for arg in args:
            glued = len(arg) > 2 and arg[0] == "-" and arg[1] in _WITH_VALUE
            split += [arg[:2], arg[2:]] if glued else [arg]
        return super().parse_args(ctx, split)


class LaneList(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on only
    """Lanes with commas between them."""

    name = "lanes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Lane, ...]:
        """Read them; they come in their own order, highest first."""
        if isinstance(value, tuple):
            return value
        names = [name.strip() for name in str(value).split(",") if name.strip()]
        unknown = [name for name in names if name not in LANES]
        if unknown or not names:
            got = f"{unknown[0]!r} is no lane" if unknown else "no lane is named"
            self.fail(f"{got}: known are {', '.join(LANES)}, with commas between them.", param, ctx)
        return tuple(lane for lane in LANES if lane in names)


@click.command(
    "worker", cls=WorkerCommand, context_settings={"ignore_unknown_options": True}, options_metavar="[OPTIONS]"
)
@click.option(
    "-c", "--concurrency", type=click.IntRange(min=1), metavar="N",
    help="Processes (or threads) that deliver, each with a connection of its own.  [default: CPUs, from 2 to 4]",
)  # fmt: skip
@click.option(
    "-P", "--pool", type=click.Choice(_POOLS), default="prefork", show_default=True, metavar="POOL",
    help="prefork, threads or solo.",
)  # fmt: skip
@click.option("--lanes", type=LaneList(), metavar="LANES", help="Deliver these only: high,normal,bulk.  [default: all]")
@click.option(
    "-n", "--hostname", metavar="NAME", help="Node name, such as mail1@%h.  [default: one that nobody else has]"
)
@click.option(
    "-l", "--loglevel", type=click.Choice(_LOG_LEVELS, case_sensitive=False), default="INFO", show_default=True,
    metavar="LEVEL", help="DEBUG, INFO, WARNING, ERROR or CRITICAL.",
)  # fmt: skip
@click.argument("celery_options", nargs=-1, type=click.UNPROCESSED, metavar="[CELERY OPTIONS]")
def command(
    concurrency: int | None,
    pool: str,
    lanes: tuple[Lane, ...] | None,
    hostname: str | None,
    loglevel: str,
    celery_options: tuple[str, ...],
) -> None:
    """Deliver queued mail until told to stop.

    SIGTERM or Ctrl-C ends it after the message on the wire. Options that are not listed here go to
    `celery worker` (see `celery worker --help`), for instance --max-tasks-per-child or --logfile.

    With MAILWORKER_CELERY_APP it runs in the project's own Celery app, and takes mail only; the
    project's own worker (`celery -A proj worker`) takes mail too, beside its tasks.

    \b
    Examples:
      mailworker worker
      mailworker worker -c 8 --lanes high,normal
      mailworker worker --lanes bulk -n newsletter@%h --pool threads -c 20
    """
    _refuse(celery_options, lanes)
    argv = list(celery_options)
    if pool in ("gevent", "eventlet"):
        _patch(pool)
    find_project()

    from mailworker import settings
    from mailworker.cli.broker import check_takes_mail
    from mailworker.queue import app as apps
    from mailworker.queue import spools
    from mailworker.queue.compose import tools
    from mailworker.queue.lanes import queue_name

    app = apps.current()
    # After the project is imported, which may have called `configure()`.
    conf = settings.current()
    if not any(option.partition("=")[0] in ("-Q", "--queues") for option in argv):
        argv += ["-Q", ",".join(queue_name(conf.MAILWORKER_NAMESPACE, lane) for lane in lanes or LANES)]
        # Our queues are classic ones, whatever the project's own are: mails that wait may raise the prefetch limit.
        app.conf.worker_detect_quorum_queues = False
    # The solo pool delivers in the main process, whatever -c says.
    slots = 1 if pool == "solo" else concurrency or default_slots()
    if concurrency or not any(option.partition("=")[0] == "--autoscale" for option in argv):
        argv += ["-c", str(slots)]
    # Two nodes of one name lock each other out of RabbitMQ, and containers may share host name and process id.
    argv += ["-n", hostname or f"{conf.MAILWORKER_NAMESPACE}-{secrets.token_hex(3)}@%h", "-P", pool, "-l", loglevel]
    for feature in ("--without-gossip", "--without-mingle", "--without-heartbeat"):
        # Workers of mail have nothing to tell each other; it would only delay their start.
        argv += [] if feature in argv else [feature]
    context = _parsed(app, argv)
    spools.check(app, conf)
    # What keys need may not be installed.
    tools(conf)
    _check_mailers(conf)
    check_takes_mail(app)
    if apps.is_eager(app, conf):
        click.echo(
            "mailworker: eager mode is on here: mail that this environment sends never comes to a worker", err=True
        )
    click.echo(_what_it_does(app, conf, lanes or LANES, slots, pool), err=True)
    sys.exit(_run(context))


def _patch(pool: str) -> None:
    """Let a pool of greenlets replace the standard library's sockets, before anything imports them."""
    from celery import maybe_patch_concurrency

    try:
        maybe_patch_concurrency(["celery", "worker", "-P", pool])
    except ImportError:
        raise click.UsageError(f"-P {pool} needs a library that is not installed: pip install {pool}.") from None


def default_slots() -> int:
    """Return how many mails are delivered at a time unless `-c` says it."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(available, _SLOTS[0]), _SLOTS[1])


def _refuse(celery_options: tuple[str, ...], lanes: tuple[Lane, ...] | None) -> None:
    for option in celery_options:
        name = option.partition("=")[0]
        if name in _NOT_HERE:
            raise click.UsageError(f"{name} is no option of this command: {_NOT_HERE[name]}.")
        if name in ("-Q", "--queues") and lanes:
            raise click.UsageError("--lanes and -Q both say what to take: keep one.")


def _check_mailers(conf: Any) -> None:
    """Find out now, and not with the first mail, that a mailer's backend is not there or does not take its options."""
    from mailworker.cli.relay import mailers
    from mailworker.errors import ConfigurationError
    from mailworker.mail import connection as connections

    for mailer in mailers(conf):
        try:
            if mailer.alias == "default":
                # No queue, or it would not be here: it sends in other processes, which have what it needs.
                connections.check_exists(mailer)
                continue
            _check_files(mailer, connections.build(mailer))
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 - another project's backend may want what only a running worker has
            click.echo(f"mailworker: {mailer.backend} cannot be built yet ({type(error).__name__})", err=True)


def _check_files(mailer: Any, backend: Any) -> None:
    from mailworker.cli.relay import unreadable
    from mailworker.errors import ConfigurationError
    from mailworker.mail.backends.smtp import EmailBackend

    if not isinstance(backend, EmailBackend) or not (backend.use_tls or backend.use_ssl):
        return
    broken = unreadable(mailer, backend)
    if broken:
        raise ConfigurationError("; ".join(broken))
    backend.ssl_context  # noqa: B018 - reads what is in the files


def _what_it_does(app: Any, conf: Any, lanes: tuple[Lane, ...], slots: int, pool: str) -> str:
    from mailworker.cli.relay import mailers, where
    from mailworker.queue import app as apps
    from mailworker.queue import spools
    from mailworker.settings import safe_url

    broker = safe_url(app.connection_for_read().as_uri(include_password=True))
    whose = "" if apps.is_own(app) else f" of app {app.main or 'without a name'!r}"
    spool = spools.url(app, conf)
    kept = "mail travels in tasks" if spool is None else f"mail is kept in {safe_url(spool)}"
    relay = mailers(conf)[0]
    unit = "thread" if pool == "threads" else "process" if pool == "prefork" else "slot"
    unit += "" if slots == 1 else "es" if pool == "prefork" else "s"
    return (
        f"mailworker: broker {broker}{whose}, {kept}, namespace {conf.MAILWORKER_NAMESPACE}, lanes {' '.join(lanes)}, "
        f"relay {where(conf, relay)}, {slots} {unit} ({pool})"
    )


def _parsed(app: Any, argv: list[str]) -> click.Context:
    """Return the options as `celery worker` reads them, before anything is said or started.

    Raises:
        click.UsageError: there is one that Celery does not know, or what is no option.
    """
    from celery.bin.base import CLIContext
    from celery.bin.worker import worker

    # Not `app.worker_main`: it shows its banner without being asked, and keeps the exit status to itself.
    about = CLIContext(app=app, no_color=not sys.stderr.isatty(), workdir=None, quiet=True)
    context: click.Context = worker.make_context("mailworker worker", list(argv), obj=about)
    for arg in context.args:
        try:
            app.loader.cmdline_config_parser([arg], "worker")
        except (KeyError, ValueError, IndexError):
            raise click.UsageError(
                f"{arg!r} is nothing that a worker takes: expected options, or a setting of Celery such as "
                "worker.prefetch_multiplier=2."
            ) from None
    return context


def _run(context: click.Context) -> int:
    """Become `celery worker`; return its exit status."""
    from celery.signals import worker_shutting_down

    stopped_by: list[str] = []

    def note(sig: str = "", how: str = "", **_: Any) -> None:
        stopped_by.append(f"{how} {sig}")

    worker_shutting_down.connect(note, weak=False)
    status = 0
    with context:
        try:
            context.command.invoke(context)
        except click.exceptions.Exit as end:
            status = end.exit_code
    # Celery calls Ctrl-C a failure; the worker has done what it was told.
    return 0 if stopped_by == ["Warm SIGINT"] else status
