"""The command line: which commands there are, and how a failure is told.

Each command is a module that is imported when it is called, so that `--help` and `health` start fast. Exit status 0: done;
1: it failed, or was not found; 2: wrong usage. Whatever fails is one sentence on standard error, never a traceback, unless
`--traceback` asks for it.
"""

from __future__ import annotations

import click

from mailworker.cli.commands import Commands, InOrder

#: Command -> where it is, and under which name, in the order in which people meet them.
_COMMANDS = {
    "demo": "mailworker.demo.command",
    "worker": "mailworker.cli.worker",
    "send": "mailworker.cli.send",
    "status": "mailworker.cli.status",
    "cancel": "mailworker.cli.cancel",
    "queue": "mailworker.cli.queue",
    "bulk": "mailworker.cli.bulk",
    "pause": "mailworker.cli.pause:pause_command",
    "resume": "mailworker.cli.pause:resume_command",
    "dead": "mailworker.cli.dead",
    "check": "mailworker.cli.check",
    "health": "mailworker.cli.health",
    "sink": "mailworker.sink.command",
}


class Main(InOrder):
    """The group of all commands."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; what it raises becomes one sentence."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError:
            raise
        except Exception as error:
            if ctx.params.get("traceback"):
                raise
            from mailworker.cli.failure import sentence

            raise click.ClickException(sentence(error)) from error


@click.group(cls=Main, commands=Commands(_COMMANDS), context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--traceback", is_flag=True, help="Show the traceback of what fails, for a bug report.")
@click.version_option(package_name="mailworker", prog_name="mailworker")
def main(traceback: bool) -> None:
    """Background email: a queue on Celery with the delivery discipline of a mail server.

    \b
    Examples:
      mailworker demo                     the whole path, on this machine alone
      mailworker worker                   deliver what is queued
      mailworker send --to ann@example.com --subject Hello --body 'It works.'
      mailworker queue --watch            see what waits, and for what
      mailworker bulk start news news/march customers.csv
      mailworker check                    look over settings, broker and relay

    Settings come from the environment and from .env in the working directory.
    """
