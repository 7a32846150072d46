"""Which spool keeps the mail of an app: the one that MAILWORKER_SPOOL_URL names, else the app's broker if that is a Redis.

One spool a process, app and purpose, made on first use and again when the settings change; it connects when it is first
asked something. None means that mail travels in Celery tasks. Event loops have spools of their own (`loops`).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from celery import Celery

from mailworker.errors import ConfigurationError
from mailworker.lock import ForkSafeLock
from mailworker.queue import app as apps
from mailworker.settings import Settings, spool_url_for

if TYPE_CHECKING:
    from mailworker.spool.aio.spool import AsyncSpool
    from mailworker.spool.redis import RedisSpool

#: Seconds that a worker waits for one answer of the spool, between two mails as well.
_WORKER_TIMEOUT = 3.0

_lock = ForkSafeLock()
_made: WeakKeyDictionary[Celery, dict[bool, tuple[Settings, RedisSpool | None]]] = WeakKeyDictionary()


def for_producers(app: Celery, conf: Settings) -> RedisSpool | None:
    """Return the spool that mail is put into, whose calls last no longer than MAILWORKER_ENQUEUE_TIMEOUT each."""
    return _spool(app, conf, is_worker=False)


def for_workers(app: Celery, conf: Settings) -> RedisSpool | None:
    """Return the spool that mail is delivered from."""
    return _spool(app, conf, is_worker=True)


def url(app: Celery, conf: Settings) -> str | None:
    """Return the URL of the spool's Redis for mail of an app, password included; None = there is none.

    Raises:
        ConfigurationError: the app speaks TLS to its broker in a way that its URL does not tell.
    """
    if conf.is_set("MAILWORKER_SPOOL_URL") or apps.is_own(app):
        return conf.spool_url()
    broker = str(app.conf.broker_write_url or app.conf.broker_url or "")
    found = spool_url_for(broker) if broker else None
    if found is not None and app.conf.broker_use_ssl and not found.startswith("rediss://"):
        raise ConfigurationError(
            "the app's broker_use_ssl says how its Redis is reached, and the spool needs that in its URL: set "
            "MAILWORKER_SPOOL_URL to rediss://... (ssl_ca_certs=/path/ca.pem behind a question mark), or empty for no spool"
        )
    return found


def check(app: Celery, conf: Settings) -> None:
    """Make sure that the settings ask for nothing that needs a spool where there is none.

    Raises:
        ConfigurationError: they do.
    """
    if url(app, conf) is not None:
        return
    for alias, mailer in conf.mailers.items():
        if mailer.limits.is_set:
            raise ConfigurationError(
                f"MAILERS[{alias!r}] has rate, sessions, domain_rate or domain_concurrency, which need the spool, and mail "
                "travels in Celery tasks here: set MAILWORKER_SPOOL_URL to a Redis, or take them out"
            )


def close(app: Celery) -> None:
    """Close the connections to an app's spools that this process has."""
    with _lock:
        made = _made.pop(app, {})
    for _, spool in made.values():
        if spool is not None:
            spool.close()


def _spool(app: Celery, conf: Settings, *, is_worker: bool) -> RedisSpool | None:
    made = _made.get(app)
    known = made.get(is_worker) if made is not None else None
    if known is not None and known[0] is conf:
        return known[1]
    with _lock:
        made = _made.setdefault(app, {})
        known = made.get(is_worker)
        if known is None or known[0] is not conf:
            check(app, conf)
            if known is not None and known[1] is not None:
                known[1].close()
            known = made[is_worker] = (conf, _built(url(app, conf), conf, is_worker=is_worker))
    return known[1]


def _built(spool_url: str | None, conf: Settings, *, is_worker: bool) -> RedisSpool | None:
    if spool_url is None:
        return None
    # Here and not above: a program whose mail travels in tasks loads no client of Redis for it.
    from mailworker.spool.redis import RedisSpool
    from mailworker.spool.server import Server

    timeout = _WORKER_TIMEOUT if is_worker else conf.MAILWORKER_ENQUEUE_TIMEOUT
    return RedisSpool(
        Server(spool_url, timeout, slot_key=f"{{{conf.MAILWORKER_NAMESPACE}}}:"),
        conf.MAILWORKER_NAMESPACE,
        **_options(conf, timeout),
        # A worker of another version of the settings may lack a mailer: its mails are for those that have it.
        mailers=[alias for alias, mailer in conf.mailers.items() if not mailer.is_queue] if is_worker else None,
    )


def for_loop(app: Celery, conf: Settings) -> AsyncSpool | None:
    """Return a new spool that mail is put into, for the tasks of the event loop that runs in this thread.

    Its calls last no longer than MAILWORKER_ENQUEUE_TIMEOUT each. Whoever asks for it closes it.
    """
    check(app, conf)
    spool_url = url(app, conf)
    if spool_url is None:
        return None
    from mailworker.spool.aio.server import AsyncServer
    from mailworker.spool.aio.spool import AsyncSpool

    def in_thread() -> RedisSpool:
        spool = for_producers(app, conf)
        assert spool is not None, "there is one for the loop"
        return spool

    timeout = conf.MAILWORKER_ENQUEUE_TIMEOUT
    return AsyncSpool(
        AsyncServer(spool_url, timeout, slot_key=f"{{{conf.MAILWORKER_NAMESPACE}}}:"),
        conf.MAILWORKER_NAMESPACE,
        in_thread=in_thread,
        **_options(conf, timeout),
    )


def _options(conf: Settings, timeout: float) -> dict[str, Any]:
    """Return what every client of the spool is told."""
    from mailworker.queue.compose import tools
    from mailworker.spool.base import Limits

    limited = {alias: mailer.limits for alias, mailer in conf.mailers.items() if mailer.limits.is_set}
    return {
        "limits": {alias: Limits(**asdict(limits)) for alias, limits in limited.items()},
        "retention": conf.MAILWORKER_RETENTION,
        "sealing": tools(conf).sealer,
        "replicas": conf.MAILWORKER_WAIT_REPLICAS,
        "replica_timeout": timeout / 2,
    }
