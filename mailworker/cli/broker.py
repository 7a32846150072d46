"""Is the broker fit for mail? Reachable in time, durable, and never throwing anything out.

It speaks to the broker that the app publishes to, with the bounds that a web process has, and leaves nothing behind.
Failures are findings; nothing is raised.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mailworker.cli import finding, redis
from mailworker.errors import ConfigurationError
from mailworker.settings import safe_url

if TYPE_CHECKING:
    from celery import Celery

    from mailworker.cli.finding import Finding

#: Seconds that one step of asking a broker may take before a command begins.
_ASKING = 1.0

#: Milliseconds after which RabbitMQ removes the queue of the trial message.
_TRIAL_EXPIRES = 10_000


def look(app: Celery, timeout: float, cargo: redis.Cargo, spool: redis.About | None = None) -> Iterator[Finding]:
    """Look over an app's broker.

    Args:
        app: whose broker.
        timeout: seconds that a caller would wait for it.
        cargo: what it carries, tasks with mail in them or wake-ups.
        spool: what the spool's Redis said of itself, so that nothing is said twice where both are one.
    """
    from mailworker import deadline
    from mailworker.queue.publisher import PublishError, connect
    from mailworker.refusal import reason

    begun = time.monotonic()
    try:
        with deadline.within(timeout):
            connection = connect(app, timeout / 2)
    except ConfigurationError as error:
        yield finding.error("broker", str(error), "correct it, or install what its transport needs")
        return
    except PublishError as error:
        yield _unusable(app, str(error))
        return
    url = _shown(app)
    try:
        match connection.transport.driver_type:
            case "redis":
                channel: Any = connection.default_channel
                yield from _redis(url, begun, channel.client, cargo, spool)
            case "amqp":
                yield from _rabbitmq(app, timeout, url, begun, connection.connection)
            case "memory":
                yield finding.error(
                    "broker",
                    f"{url}: it lives in one process, and the mail in it ends with that",
                    "use Redis or RabbitMQ; in tests, MAILWORKER_TASK_ALWAYS_EAGER",
                )
            case _:
                yield finding.ok("broker", f"{url}: connected")
    except Exception as error:  # noqa: BLE001 - each transport has exceptions of its own
        yield _unusable(app, reason(error))
    finally:
        _drop(connection)


def check_takes_mail(app: Celery) -> None:
    """Make sure that it makes sense to queue mail here, or to wait for it. A broker that is away for now does no harm.

    Raises:
        ConfigurationError: mail would end with this process, or the broker refuses what the URL says.
    """
    from mailworker import deadline
    from mailworker.queue.publisher import PublishError, connect

    try:
        with deadline.within(2 * _ASKING):
            connection = connect(app, _ASKING)
    except PublishError as error:
        if error.is_url_wrong:
            raise ConfigurationError(
                f"{_shown(app)} cannot be used: {error}; correct MAILWORKER_BROKER_URL, or run `mailworker check`"
            ) from None
        return
    is_forgetful = connection.transport.driver_type == "memory"
    _drop(connection)
    if app.conf.broker_read_url:
        _check_reads(app)
    if is_forgetful:
        raise ConfigurationError(
            f"{_shown(app)} lives in one process, and mail in it ends with this one: set MAILWORKER_BROKER_URL to Redis or "
            "RabbitMQ"
        )


def _check_reads(app: Celery) -> None:
    """Make sure that a worker can read where the app says, which may be another URL than the one it writes to."""
    from mailworker import deadline
    from mailworker.queue.publisher import PublishError, connect

    try:
        with deadline.within(2 * _ASKING):
            _drop(connect(app, _ASKING, for_read=True))
    except PublishError as error:
        if error.is_url_wrong:
            raise ConfigurationError(
                f"the app's broker_read_url cannot be used: {error}; correct it, or leave it out to read where mail is written"
            ) from None


def _unusable(app: Celery, why: str) -> Finding:
    advice = "check that it runs and that MAILWORKER_BROKER_URL is right"
    return finding.error("broker", f"{_shown(app)} cannot be used: {why}", advice)


def _shown(app: Celery) -> str:
    return safe_url(app.connection_for_write().as_uri(include_password=True))


def _redis(url: str, begun: float, client: Any, cargo: redis.Cargo, spool: redis.About | None) -> Iterator[Finding]:
    about = redis.ask(client)
    took = (time.monotonic() - begun) * 1000
    yield finding.ok("broker", f"{url}: {about.name}, {took:.0f} ms")
    if spool is not None and about.run_id is not None and about.run_id == spool.run_id:
        yield finding.ok("broker", "it is the spool's Redis, looked over above")
    else:
        yield from redis.look("broker", about, cargo)


def _rabbitmq(app: Celery, timeout: float, url: str, begun: float, connection: Any) -> Iterator[Finding]:
    from kombu import Exchange, Queue

    from mailworker.queue.publisher import Publisher, PublishError

    properties = getattr(connection, "server_properties", None) or {}
    took = (time.monotonic() - begun) * 1000
    product, version = properties.get("product", "AMQP server"), properties.get("version", "of unknown version")
    yield finding.ok("broker", f"{url}: {product} {version}, {took:.0f} ms")
    # A broker with a memory or disk alarm takes connections and no messages.
    name = f"mailworker.check.{uuid.uuid4().hex}"
    trial = Queue(name, Exchange(""), routing_key=name, durable=False, queue_arguments={"x-expires": _TRIAL_EXPIRES})
    publisher = Publisher(app, timeout)
    try:
        publisher.message({}, trial)
    except PublishError as error:
        yield finding.error(
            "broker",
            f"it takes connections, and no message within {timeout:g} s ({error})",
            "look for a memory or disk alarm in its log (rabbitmqctl status)",
        )
    else:
        yield finding.ok("broker", "confirms what it takes")
    finally:
        publisher.close()


def _drop(connection: Any) -> None:
    try:
        connection.collect() if hasattr(connection.transport, "_collect") else connection.release()
    except Exception:  # noqa: BLE001 - nothing is left to be done about a connection that cannot be closed
        return
