"""Which Celery app carries the mail: the user's, where there is one, else our own.

`install(app)` puts our tasks, queues and worker steps into a user's app, with per-task options only: its own tasks and
its app-wide settings stay as they are. Our own app is built on first use from the settings, never becomes the current
app of a process, and is the only one that defaults to a broker on localhost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery, _state
from celery.utils.imports import symbol_by_name

from mailworker import framework, settings
from mailworker.errors import ConfigurationError
from mailworker.lane import LANES, Lane
from mailworker.lock import ForkSafeLock
from mailworker.queue import lanes
from mailworker.settings import Settings

_lock = ForkSafeLock()
_installed: Celery | None = None
_own: tuple[tuple[str, str], Celery] | None = None
#: How many `without_installed()` are going on.
_own_alone = 0
#: The settings that `_own` was last asked for with, and it.
_own_for: tuple[Settings, Celery] | None = None

#: What MAILWORKER_CELERY_APP says where a project has an app that is not for mail.
OWN = "mailworker:app"

#: Name of the task that carries mail. It never changes: Celery drops tasks that a worker does not know.
DELIVER = "mailworker.deliver"

#: Name of the task that wakes a worker up; it carries nothing.
DRAIN = "mailworker.drain"


def install(app: Celery) -> Celery:
    """Put mailworker into a Celery app: its tasks, queues and worker steps, and make it the one that mail goes through.

    Call it once where the app is made, in web processes and workers alike. It reads no settings: where the app is made,
    Django's may not be there yet.

    Args:
        app: the project's app.

    Returns:
        The same app.

    Raises:
        ConfigurationError: it is no Celery app.
    """
    if not isinstance(app, Celery):
        raise ConfigurationError(
            f"mailworker.install() got {type(app).__name__}, expected a Celery app: call install(app) after "
            "app = Celery(...)"
        )
    global _installed
    with _lock:
        if not _is_equipped(app):
            _equip(app)
            _add_lanes(app)
        _installed = app
    return app


def uninstall() -> None:
    """Forget the installed app, and our own: for tests."""
    global _installed, _own, _own_for
    with _lock:
        _installed = None
        _own = _own_for = None


@contextmanager
def without_installed() -> Iterator[None]:
    """Let mail go through our own app meanwhile, whatever app is installed, before or meanwhile: for tests beside a project's own."""
    global _own_alone
    with _lock:
        _own_alone += 1
    try:
        yield
    finally:
        with _lock:
            _own_alone -= 1


def current() -> Celery:
    """Return the app that mail goes through.

    Raises:
        ConfigurationError: MAILWORKER_CELERY_APP does not lead to a Celery app.
    """
    if _own_alone:
        return own()
    if _installed is not None:
        return _installed
    conf = settings.current()
    path = conf.MAILWORKER_CELERY_APP
    # Without our lock: a thread that is importing that module holds the module's, and calls install().
    if path:
        return own() if path == OWN else install(_found(path))
    if not conf.is_set("MAILWORKER_BROKER_URL"):
        # Whoever names a broker means our own app, whatever app the project has beside it.
        found = framework.current().celery_app()
        if found is not None:
            return install(found)
    return own()


def own() -> Celery:
    """Return our own app, built from the settings."""
    global _own, _own_for
    conf = settings.current()
    known = _own_for
    if known is not None and known[0] is conf:
        return known[1]
    with _lock:
        key = (conf.broker_url(), conf.MAILWORKER_NAMESPACE)
        if _own is None or _own[0] != key:
            _own = (key, _built(conf))
        _own_for = (conf, _own[1])
        return _own[1]


def is_eager(app: Celery, conf: Settings) -> bool:
    """Tell whether mail of an app is delivered in this process, without a broker."""
    return bool(conf.MAILWORKER_TASK_ALWAYS_EAGER or app.conf.task_always_eager)


def is_own(app: Celery) -> bool:
    """Tell whether an app is the one that mailworker built."""
    return _own is not None and _own[1] is app


def _found(path: str) -> Celery:
    try:
        app = symbol_by_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"MAILWORKER_CELERY_APP: got {path!r}, which cannot be imported ({type(error).__name__}: {error}); expected "
            "the dotted path of a Celery app such as 'proj.celery:app'"
        ) from error
    if not isinstance(app, Celery):
        raise ConfigurationError(
            f"MAILWORKER_CELERY_APP: {path!r} is of type {type(app).__name__}; expected a Celery app"
        )
    return app


def _built(conf: Settings) -> Celery:
    default = _state.default_app
    app = Celery("mailworker", set_as_current=False, broker=conf.broker_url())
    if default is None and _state.default_app is app:
        # Celery's fix-up for Django: the first app becomes every thread's, and so the one of the project's shared tasks.
        _state.set_default_app(None)
    app.conf.update(own_configuration(conf))
    _equip(app)
    return app


def own_configuration(conf: Settings) -> dict[str, Any]:
    """Return the app-wide configuration of our own app, each value for the safety of the queue (facts.md)."""
    namespace = conf.MAILWORKER_NAMESPACE
    return {
        "task_queues": [lanes.declared(lanes.queue_name(namespace, lane)) for lane in LANES],
        "task_default_queue": lanes.queue_name(namespace, Lane.NORMAL),
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "worker_send_task_events": False,
        # One chunk in hand for each slot: what is prefetched waits in nobody's queue and is flagged when redelivered.
        "worker_prefetch_multiplier": 1,
        # Killing a task on a blip of the broker's connection would cut it off in the middle of DATA.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": _transport_options(conf.broker_url()),
        "timezone": "UTC",
        "enable_utc": True,
    }


def _transport_options(url: str) -> dict[str, Any]:
    if not url.startswith(("redis", "sentinel", "unix", "valkey")):
        return {}
    return {
        # The lanes in their order, not in turns.
        "queue_order_strategy": "priority",
        # Restoring what a dead worker had in hand is tried every 10 s, not every 100 s.
        "unacked_restore_throttle": 1,
        "visibility_timeout": 3600,
    }


def _is_equipped(app: Celery) -> bool:
    tasks: Any = app._tasks  # noqa: SLF001 - `app.tasks` would finalize the app before its owner is done with it
    return DELIVER in tasks


def _equip(app: Celery) -> None:
    """Add tasks and worker steps to an app."""
    from mailworker.queue import tasks, worker

    for task in tasks.for_app():
        app.register_task(task)
    worker.add_steps(app)


def _add_lanes(app: Celery) -> None:
    """Make workers of an app that are not told `-Q` take mail; which queues these are is asked as late as can be."""

    def add(sender: Celery, **_: Any) -> None:
        lanes.add_to(sender, settings.current().MAILWORKER_NAMESPACE)

    if app.finalized:
        add(app)
    else:
        finalized: Any = app.on_after_finalize
        finalized.connect(add, weak=False)
