"""`mailworker bulk set`: another rate or other hours for a bulk that is under way."""

from __future__ import annotations

import click

from mailworker.cli.bulk.name import BulkName
from mailworker.cli.project import app_and_settings
from mailworker.cli.rate import rate_shown

#: What takes a limit away.
_NO_RATE, _ALWAYS = "none", "always"


@click.command("set", short_help="Give a bulk another rate or other hours.")
@click.argument("name", type=BulkName())
@click.option(
    "--rate", metavar="RATE", help=f"At most so many mails: 200/s, 5000/min, 100000/h; {_NO_RATE} = no limit."
)
@click.option(
    "--between",
    metavar="HOURS",
    help=f"Only in these hours: 'mon-fri 08:00-20:00 Europe/Berlin'; {_ALWAYS} = at any time.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str, rate: str | None, between: str | None, as_json: bool) -> None:
    """Change how fast a bulk goes, and when; it counts at once, in all workers.

    \b
    Examples:
      mailworker bulk set news-12 --rate 50/s
      mailworker bulk set news-12 --rate none --between '08:00-22:00 UTC'
    """
    if rate is None and between is None:
        raise click.UsageError("Nothing to set: give --rate, --between, or both.")
    app_and_settings()
    from mailworker.bulk.control import UNCHANGED, retime
    from mailworker.cli.bulk.looking import tell

    try:
        found = retime(
            name,
            rate=UNCHANGED if rate is None else None if rate == _NO_RATE else rate,
            between=UNCHANGED if between is None else None if between == _ALWAYS else between,
        )
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        raise click.UsageError(f"{error}.") from error
    said = [] if rate is None else [_rate(found.plan.timetable.rate)]
    said += [] if between is None else ["at any time" if between == _ALWAYS else f"only {between}"]
    tell(found, f"bulk {name!r} goes {', '.join(said)} from now on", as_json=as_json)


def _rate(a_second: float | None) -> str:
    return "without a rate of its own" if a_second is None else f"at {rate_shown(a_second)} at most"
