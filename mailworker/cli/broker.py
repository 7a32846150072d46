"""Is the broker fit for mail? Reachable in time, durable, and never throwing anything out.

It speaks to the broker that the app publishes to, with the bounds that a web process has, and leaves nothing behind.
Failures are findings; nothing is raised.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mailworker.cli import finding
from mailworker.errors import ConfigurationError
from mailworker.settings import safe_url

if TYPE_CHECKING:
    from celery import Celery

    from mailworker.cli.finding import Finding

#: What the spool's scripts need; the task carrier works with older ones.
_MIN_REDIS = (6, 2)

#: Seconds that one step of asking a broker may take before a command begins.
_ASKING = 1.0

#: Milliseconds after which RabbitMQ removes the queue of the trial message.
_TRIAL_EXPIRES = 10_000


def look(app: Celery, timeout: float) -> Iterator[Finding]:
    """Look over an app's broker.

    Args:
        app: whose broker.
        timeout: seconds that a caller would wait for it.
    """
    from mailworker.queue import deadline
    from mailworker.queue.publisher import PublishError, connect, reason

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
                yield from _redis(url, begun, connection.default_channel.client)
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
    from mailworker.queue import deadline
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
    if is_forgetful:
        raise ConfigurationError(
            f"{_shown(app)} lives in one process, and mail in it ends with this one: set MAILWORKER_BROKER_URL to Redis or "
            "RabbitMQ"
        )


def _unusable(app: Celery, why: str) -> Finding:
    advice = "check that it runs and that MAILWORKER_BROKER_URL is right"
    return finding.error("broker", f"{_shown(app)} cannot be used: {why}", advice)


def _shown(app: Celery) -> str:
    return safe_url(app.connection_for_write().as_uri(include_password=True))


def _redis(url: str, begun: float, client: Any) -> Iterator[Finding]:
    info = client.info()
    took = (time.monotonic() - begun) * 1000
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version") or "")
    yield finding.ok("broker", f"{url}: {name} {version or 'of unknown version'}, {took:.0f} ms")
    numbers = tuple(int(piece) for piece in version.split(".")[:2] if piece.isdecimal())
    if name == "Redis" and numbers and numbers < _MIN_REDIS:
        wanted = ".".join(map(str, _MIN_REDIS))
        yield finding.warning("broker", f"Redis {version} is old", f"use Redis {wanted} or later, or Valkey")
    policy = info.get("maxmemory_policy")
    if policy is not None and policy != "noeviction":
        yield finding.warning(
            "broker",
            f"its maxmemory-policy is {policy}: when memory is short, it throws mail away",
            "set maxmemory-policy to noeviction",
        )
    persistence = _persistence(info, client)
    if persistence == "":
        yield finding.warning(
            "broker",
            "it keeps nothing on disk: queued mail is gone when it restarts",
            "set appendonly to yes",
        )
    elif persistence is not None:
        yield finding.ok("broker", f"keeps mail on disk: {persistence}")


def _persistence(info: dict[str, Any], client: Any) -> str | None:
    """Return how it persists, "" if it does not, None if it does not tell."""
    if "aof_enabled" not in info:
        return None
    if int(info["aof_enabled"]):
        return "appendonly"
    try:
        saves = str(client.config_get("save").get("save", ""))
    except Exception:  # noqa: BLE001 - hosted servers forbid CONFIG
        return None
    return "snapshots, so that a crash costs what came since the last one" if saves.strip() else ""


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
