"""`manage.py mailworker ...`: the whole command line of mailworker, with Django's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError

from mailworker.cli import main

#: Options of every command of Django's that `manage.py` has dealt with already, and that take a value.
_DJANGOS = ("--settings", "--pythonpath")


class Command(BaseCommand):  # type: ignore[misc]  # Django has no types
    """Hands its arguments to mailworker's own command line."""

    help = "Background email: worker, queue, status, dead letters, check. See `manage.py mailworker --help`."
    #: `mailworker check` looks further, and a worker has to start where a template is wrong.
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> NoReturn:
        """Run what `manage.py` was called with, and end the process with its exit status."""
        main(args=_without_djangos(argv[2:]), prog_name=f"{Path(argv[0]).name} {argv[1]}")
        raise SystemExit(0)  # never reached: click ends the process

    def print_help(self, prog_name: str, subcommand: str) -> None:
        """Show the commands, for `manage.py help mailworker`."""
        main(args=["--help"], prog_name=f"{Path(prog_name).name} {subcommand}", standalone_mode=False)

    def add_arguments(self, parser: Any) -> None:
        """Take anything: for `call_command("mailworker", "queue", "--json")`."""
        parser.add_argument("arguments", nargs="*")

    def handle(self, *args: Any, arguments: list[str] | None = None, **options: Any) -> None:
        """Run a command from code.

        Raises:
            CommandError: it failed; its exit status is `returncode`.
        """
        import click

        try:
            status = main.main(args=[*args, *(arguments or ())], prog_name="mailworker", standalone_mode=False)
        except click.ClickException as error:
            raise CommandError(error.format_message(), returncode=error.exit_code) from error
        if isinstance(status, int) and status:
            raise CommandError(f"mailworker ended with exit status {status}", returncode=status)


def _without_djangos(arguments: list[str]) -> list[str]:
    """Return the arguments without those that `manage.py` reads wherever they stand."""
    kept: list[str] = []
    rest = iter(arguments)
    for each in rest:
        if each in _DJANGOS:
            next(rest, None)
        elif each.partition("=")[0] not in _DJANGOS:
            kept.append(each)
    return kept
