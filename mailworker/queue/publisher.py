"""Publish tasks on connections of our own, so that no caller waits longer than it said.

Celery's defaults wait without bound for a broker that hangs, and tell "OK" for a RabbitMQ that took nothing (facts.md).
Here one wait gets a quarter of the time allowed and all waits together the whole (`deadline`), there is no retry, RabbitMQ
confirms, and after a failure the connection is dropped without a word to the other side. A connection that has been idle for long, or on which the
broker has said something meanwhile, is not used again: a publish on a dead one could not be told from a lost answer.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from celery import Celery
from kombu import Connection, Producer, Queue
from kombu.exceptions import KombuError

from mailworker import deadline
from mailworker.errors import ConfigurationError
from mailworker.queue.bounded import bounded
from mailworker.refusal import causes, is_refusal, reason

#: Seconds after which an idle connection is not trusted any more: below the idle limits of common firewalls.
_MAX_IDLE = 30.0

#: AMQP's reply code for a mandatory message that no queue takes (RabbitMQ: "Unroutable Message Handling").
_NO_ROUTE = 312

#: Idle connections that a process keeps; more than this many threads at once open and close theirs.
_MAX_KEPT = 50


class PublishError(Exception):
    """Raised when the broker did not confirm a publish.

    Attributes:
        maybe_published: True if the message may be in the queue all the same: it had left when the error came.
        is_url_wrong: the broker is there, and refuses what the URL says: no waiting mends it.
    """

    def __init__(self, text: str, *, maybe_published: bool, is_url_wrong: bool = False) -> None:
        super().__init__(text)
        self.maybe_published = maybe_published
        self.is_url_wrong = is_url_wrong


@dataclass(slots=True)
class _Line:
    connection: Connection
    producer: Producer
    used_at: float


class Publisher:
    """Bounded publishing for one app.

    Args:
        app: whose broker is used.
        timeout: seconds that one publish may take.
        clock: monotonic seconds.
    """

    def __init__(self, app: Celery, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._timeout = timeout
        self._clock = clock
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._kept: list[_Line] = []

    def task(
        self,
        task: Any,
        args: tuple[Any, ...],
        queue: Queue,
        *,
        argsrepr: str,
        countdown: float = 0.0,
        expires: float | None = None,
    ) -> None:
        """Publish a task and wait until the broker has it.

        Args:
            task: a Celery task of this app.
            args: its arguments.
            queue: where to.
            argsrepr: what logs and `inspect` may show of the arguments.
            countdown: seconds before a worker may start it.
            expires: seconds after which no worker starts it any more, None = never.

        Raises:
            PublishError: the broker did not confirm it in time.
        """

        def publish(producer: Producer, phase: float) -> None:
            task.apply_async(
                args=args,
                producer=producer,
                queue=queue,
                # Said here as well, or a route of the app that names an exchange or a delivery mode would have its way.
                exchange="",
                routing_key=queue.name,
                delivery_mode=2,
                mandatory=True,
                # Not the app's default: on Redis another priority is another list.
                priority=0,
                countdown=countdown or None,
                expires=expires,
                retry=False,
                ignore_result=True,
                argsrepr=argsrepr,
                kwargsrepr="{}",
                timeout=phase,
                confirm_timeout=phase,
            )

        self._publish(publish, queue)

    def message(self, body: Any, queue: Queue) -> None:
        """Publish a plain JSON message, persistent, and wait until the broker has it.

        Raises:
            PublishError: the broker did not confirm it in time.
        """

        def publish(producer: Producer, phase: float) -> None:
            producer.publish(
                body,
                serializer="json",
                exchange=queue.exchange,
                routing_key=queue.routing_key,
                declare=[queue],
                delivery_mode=2,
                mandatory=True,
                retry=False,
                timeout=phase,
                confirm_timeout=phase,
            )

        self._publish(publish, queue)

    def close(self) -> None:
        """Close the kept connections."""
        if self._pid != os.getpid():
            self._forget()
            return
        with self._lock:
            kept, self._kept = self._kept, []
        for line in kept:
            _drop(line.connection)

    def _publish(self, publish: Callable[[Producer, float], None], queue: Queue) -> None:
        if deadline.left() <= 0:
            raise PublishError("it does not answer", maybe_published=False)
        with deadline.within(self._timeout):
            self._publish_once(publish, queue)

    def _publish_once(self, publish: Callable[[Producer, float], None], queue: Queue) -> None:
        try:
            line = self._published(publish, self._line(queue))
        except _NoQueue:
            # Somebody has deleted the queue since this connection declared it; a new connection declares it again.
            try:
                line = self._published(publish, self._line(queue, anew=True))
            except _NoQueue as error:
                raise PublishError("the queue is deleted again and again", maybe_published=False) from error
        line.used_at = self._clock()
        with self._lock:
            if len(self._kept) < _MAX_KEPT:
                self._kept.append(line)
                return
        _drop(line.connection)

    def _published(self, publish: Callable[[Producer, float], None], line: _Line) -> _Line:
        try:
            publish(line.producer, self._timeout / 4)
        except BaseException as error:
            _drop(line.connection)
            if getattr(error, "reply_code", None) == _NO_ROUTE:
                raise _NoQueue from error
            if isinstance(error, (OSError, KombuError)) or _is_broker_error(line.connection, error):
                raise PublishError(reason(error), maybe_published=not is_refusal(error)) from error
            raise
        return line

    def _line(self, queue: Queue, *, anew: bool = False) -> _Line:
        """Return a connection that works, with the queue declared on it; `anew`: none of those that are kept."""
        if self._pid != os.getpid():
            # The sockets are the parent's: closing them here would only close our copies.
            self._forget()
        while not anew:
            with self._lock:
                line = self._kept.pop() if self._kept else None
            if line is None:
                break
            if self._clock() - line.used_at < _MAX_IDLE and not _has_news(line.connection):
                return line
            _drop(line.connection)
        connection = connect(self._app, self._timeout / 4)
        try:
            producer = self._app.amqp.Producer(connection, auto_declare=False)
            queue(producer.channel).declare()
        except BaseException as error:
            _drop(connection)
            if isinstance(error, (OSError, KombuError)) or _is_broker_error(connection, error):
                raise PublishError(reason(error), maybe_published=False) from error
            raise
        return _Line(connection, producer, self._clock())


class _NoQueue(Exception):  # noqa: N818 - what RabbitMQ says, on its way to the one who declares the queue again
    """Raised when the broker has no queue for a message, and so did not keep it."""


def connect(app: Celery, phase: float, *, for_read: bool = False) -> Connection:
    """Open a connection to an app's broker on which no answer is waited for without bound.

    Args:
        app: whose broker; of several (a list of URLs, or one with semicolons), the first that answers.
        phase: seconds that one wait may take.
        for_read: as its workers read, where the app has a broker_read_url.

    Raises:
        PublishError: the broker cannot be reached.
        ConfigurationError: the app's broker URL is none that Celery can use.
    """
    with _usable(app):
        opened = app.connection_for_read() if for_read else app.connection_for_write()
        urls = opened.alt or ([app.conf.broker_read_url] if for_read else [None])
    failure: PublishError | None = None
    for url in urls:
        if failure is not None and deadline.left() <= 0:
            break
        try:
            return _connect_to(app, url, phase)
        except PublishError as error:
            failure = error
    assert failure is not None
    raise failure


def _connect_to(app: Celery, url: str | None, phase: float) -> Connection:
    with _usable(app):
        connection = app.connection_for_write(url, heartbeat=0, connect_timeout=phase)
    try:
        with _usable(app):
            connection.transport_options = _bounds(connection, phase)
            connection.transport_cls = bounded(connection.get_transport_cls())
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=phase)
    except BaseException as error:
        _drop(connection)
        if isinstance(error, (OSError, KombuError)) or _is_broker_error(connection, error):
            is_url_wrong = any(type(one).__name__ in _WRONG_URL for one in causes(error))
            raise PublishError(reason(error), maybe_published=False, is_url_wrong=is_url_wrong) from error
        raise
    return connection


@contextmanager
def _usable(app: Celery) -> Iterator[None]:
    """Say in one sentence what is wrong with a broker URL: kombu's transports raise many things for it."""
    try:
        yield
    except (AttributeError, KeyError, NameError, TypeError, ValueError, ImportError) as error:
        # Where their library is missing or too old, too. What they say may hold the URL, and that a password.
        url = str(app.conf.broker_write_url or app.conf.broker_url or "")
        missing = isinstance(error, ImportError) and error.name
        why = f"it needs {missing!r}, which is not installed" if missing else type(error).__name__
        raise ConfigurationError(
            f"the broker URL, of scheme {url.partition(':')[0]!r}, cannot be used ({why}): expected one "
            "that Celery speaks and whose library is installed, such as redis://host:6379/0 or "
            "amqp://user:password@host:5672//; see MAILWORKER_BROKER_URL or, in an app of your own, its broker_url and "
            "broker_transport_options"
        ) from error


#: What a broker raises that takes the URL for wrong: user, password, database, virtual host, or the protocol itself.
_WRONG_URL = frozenset(
    {
        *("AccessRefused", "AuthenticationError", "AuthenticationWrongNumberOfArgsError", "NoPermissionError"),
        *("InvalidResponse", "NotAllowed", "ResponseError", "UnexpectedFrame"),
    }
)


def _bounds(connection: Connection, phase: float) -> dict[str, Any]:
    """Return the connection's transport options, with bounds."""
    asked: Any = connection.transport_options
    options: dict[str, Any] = dict(asked)
    # kombu may have been given the class of a transport in place of its name.
    transport = str(connection.transport_cls)
    if transport.startswith(("redis", "sentinel", "valkey")):
        options |= {"socket_timeout": phase, "socket_connect_timeout": phase, "retry_on_timeout": False}
    elif transport in ("amqp", "amqps", "pyamqp"):
        options |= {"confirm_publish": True, "confirm_timeout": phase}
        options |= {"read_timeout": phase, "write_timeout": phase}
    # kombu reads its fail-over policy from here as well.
    return options | {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}


def _is_broker_error(connection: Connection, error: BaseException) -> bool:
    return isinstance(error, connection.connection_errors + connection.channel_errors)


def _has_news(connection: Connection) -> bool:
    """Tell whether the broker's side of an idle connection is readable: closed, or about to be."""
    try:
        inner: Any = connection.connection
        sock = inner.transport.sock
    except AttributeError:
        # Redis: the pool of redis-py looks for itself before it lends a connection.
        return False
    try:
        # Not select(): a busy web process has sockets of numbers that it does not take.
        looked = select.poll()
        looked.register(sock.fileno(), select.POLLIN)
        return bool(looked.poll(0))
    except (OSError, ValueError):
        return True


def _drop(connection: Connection) -> None:
    """Close without talking to the broker: one that hangs would cost its timeout again."""
    with suppress(Exception):
        if hasattr(connection.transport, "_collect"):
            # AMQP's goodbye waits for an answer. (For transports without this call, kombu would set the default
            # timeout of all sockets of the process meanwhile.)
            connection.collect()
        else:
            connection.release()
