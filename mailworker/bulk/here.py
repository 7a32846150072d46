"""Where bulks are: in the spool, or in eager mode in this process. Where mail travels in tasks there are none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mailworker import settings
from mailworker.errors import ConfigurationError
from mailworker.queue import app as apps
from mailworker.queue import client, spools
from mailworker.settings import Settings
from mailworker.spool.base import Spool, SpoolUnavailable

if TYPE_CHECKING:
    from celery import Celery


@dataclass(frozen=True, slots=True)
class Here:
    """Where bulks are, by the settings as they were when it was asked.

    Attributes:
        conf: the settings.
        app: whose mail it is.
        spool: which keeps it.
        is_eager: it is this process's own, which delivers as well.
    """

    conf: Settings
    app: Celery
    spool: Spool
    is_eager: bool


def here(what: str) -> Here:
    """Return where bulks are.

    Args:
        what: is asked, for the error's text.

    Raises:
        ConfigurationError: nothing here keeps mails.
    """
    conf, app = settings.current(), apps.current()
    if apps.is_eager(app, conf):
        from mailworker.queue import eager

        return Here(conf, app, eager.spool(), is_eager=True)
    spool = spools.for_producers(app, conf)
    if spool is None:
        raise ConfigurationError(
            f"{what} needs the spool, and mail travels in Celery tasks here: set MAILWORKER_SPOOL_URL to a Redis"
        )
    return Here(conf, app, spool, is_eager=False)


@contextmanager
def told() -> Iterator[None]:
    """Raise what a caller is told of a spool that does not answer.

    Raises:
        EnqueueError: it does not.
    """
    try:
        yield
    except SpoolUnavailable as error:
        raise client.cannot_be_asked(error) from None
