"""Is the spool there, and fit for mail? Reachable in time, writing, running scripts, and keeping what it was given.

It asks the Redis that the settings lead to, with the bounds that a web process has, and leaves nothing behind. Failures are
findings; nothing is raised.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Generator
from typing import TYPE_CHECKING

from mailworker.cli import finding, redis
from mailworker.errors import ConfigurationError
from mailworker.settings import safe_url

if TYPE_CHECKING:
    from celery import Celery

    from mailworker.cli.finding import Finding
    from mailworker.settings import Settings

_PART = "spool"

#: Milliseconds after which the key of the trial is gone by itself, should the script be cut off in the middle.
_TRIAL_EXPIRES = 1000

#: A script that writes and takes back what it wrote, so that a full disk or memory, or a missing right, is met here.
_TRIAL = f"redis.call('SET', KEYS[1], '1', 'PX', {_TRIAL_EXPIRES}) return redis.call('DEL', KEYS[1])"


def look(app: Celery, conf: Settings) -> Generator[Finding, None, redis.About | None]:
    """Look over an app's spool.

    Args:
        app: whose mail it keeps.
        conf: the settings.

    Returns:
        What its server says of itself; None where there is no spool, or it cannot be reached.
    """
    from mailworker.queue import spools

    try:
        url = spools.url(app, conf)
        spools.check(app, conf)
    except ConfigurationError as error:
        yield finding.error(_PART, str(error), "correct this setting")
        return None
    if url is None:
        text = "there is none: mail travels in Celery tasks, without status, cancel, groups, keys and rates"
        yield finding.notice(_PART, text, "set MAILWORKER_SPOOL_URL to a Redis if you want these")
        return None
    about = yield from _reached(url, conf)
    if about is not None:
        yield from redis.look(_PART, about, redis.Cargo.SPOOL, conf.MAILWORKER_WAIT_REPLICAS)
    return about


def _reached(url: str, conf: Settings) -> Generator[Finding, None, redis.About | None]:
    from mailworker.spool.base import SpoolUnavailable
    from mailworker.spool.server import Server

    prefix = f"{{{conf.MAILWORKER_NAMESPACE}}}:"
    trial = f"{prefix}check:{uuid.uuid4().hex}"
    begun = time.monotonic()
    try:
        server = Server(url, conf.MAILWORKER_ENQUEUE_TIMEOUT, slot_key=prefix)
    except ConfigurationError as error:
        yield finding.error(_PART, str(error), "correct this setting")
        return None
    try:
        about = server.run(redis.ask)
        took = (time.monotonic() - begun) * 1000
        cluster = ", one node of a cluster" if about.info.get("cluster_enabled") else ""
        yield finding.ok(_PART, f"{server.url_shown}: {about.name}{cluster}, {took:.0f} ms")
    except SpoolUnavailable as error:
        text = f"{safe_url(url)} cannot be used: {error}"
        yield finding.error(
            _PART, text, "check that it runs and that MAILWORKER_SPOOL_URL (or the broker's URL) is right"
        )
        server.close()
        return None
    try:
        server.run(lambda client: client.eval(_TRIAL, 1, trial))
        yield finding.ok(_PART, "writes, and runs scripts")
    except SpoolUnavailable as error:
        text = f"it runs no script that writes: {error}"
        advice = "see its log; its user needs EVAL, EVALSHA, SCRIPT and the commands on its keys (~{NAMESPACE}:*)"
        yield finding.error(_PART, text, advice.replace("NAMESPACE", conf.MAILWORKER_NAMESPACE))
    finally:
        server.close()
    return about
