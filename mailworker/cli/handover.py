"""Does it make sense to hand mail over here? Found out before: a mailer, a backend or a broker that makes no sense."""

from __future__ import annotations

import click


def check_handover(using: str | None) -> None:
    """Find out now what a worker, or nobody, would find out later.

    Args:
        using: alias of the mailer; None = the default one.

    Raises:
        UsageError: there is no such mailer.
        ConfigurationError: its backend is not there, or the broker takes no mail.
    """
    from mailworker import settings
    from mailworker.cli.broker import check_takes_mail
    from mailworker.cli.relay import mailers
    from mailworker.mail import connection as connections
    from mailworker.queue import app as apps

    app = apps.current()
    # After the project is imported, which may have called `configure()`.
    conf = settings.current()
    if using is not None and using not in conf.mailers:
        raise click.UsageError(f"--using is {using!r}: known mailers are {', '.join(sorted(conf.mailers))}.")
    # Without a name, what delivers is the relay, also where the default mailer is no queue.
    delivering = conf.delivery_mailer(using) if using is not None else mailers(conf)[0]
    for mailer in {conf.mailer(using or "default"), delivering}:
        connections.check_exists(mailer)
    if not apps.is_eager(app, conf):
        check_takes_mail(app)
