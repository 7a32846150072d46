"""What a Celery worker needs to be a mail worker: its steps and signals.

One step in the worker keeps the shared stop flag, puts back what waits and closes connections at the end; one in the consumer
beats. Children take over SIGTERM (`mailworker.queue.shutdown`). In a user's app all of it works beside what is there: the user's tasks,
queues and settings stay as they are.
"""

from __future__ import annotations

import gc
import logging
import os
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from celery import Celery, bootsteps, signals

from mailworker import log, settings
from mailworker.queue import allocator, heartbeat, lanes, preload, shutdown, spools
from mailworker.queue.app import DELIVER

if TYPE_CHECKING:
    from mailworker.queue.lookout import Lookout

logger = log.get(__name__)

#: True in a worker's main process, and by the fork in its children.
_is_mail_worker = False

#: Process id of the main process.
_main_pid = 0


class MailWorker(bootsteps.StartStopStep):  # type: ignore[misc]  # celery has no types
    """The worker's step: the stop flag, and an end that leaves no connection open."""

    # After the pool in the order of start, so before it when it is terminated: the flag has to be up first.
    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        global _is_mail_worker, _main_pid
        super().__init__(parent, **kwargs)
        _is_mail_worker = True
        _main_pid = os.getpid()
        shutdown.started()
        allocator.give_large_blocks_back()
        redact_pool_log()
        conf = settings.current()
        spools.check(parent.app, conf)
        preload.delivery(has_spool=spools.url(parent.app, conf) is not None)
        queues = parent.app.amqp.queues
        if queues.consume_from is queues:
            # Not told -Q. Whatever the settings said when the app was finalized, this is where producers put mail now.
            lanes.add_to(parent.app, conf.MAILWORKER_NAMESPACE)
        # What was imported stays: to look through it for garbage again and again took 5 % of a mail's time, and wrote on each
        # page of it that the children share; and at the end the interpreter would look through all of it once more.
        gc.freeze()

    def start(self, parent: Any) -> None:
        """Do nothing: everything was ready before the fork."""

    def close(self, parent: Any) -> None:
        """Put back what is not begun: the first that a worker does when it stops, while its consumer is still there."""
        # Here and not above: a web process that installs its app publishes, and takes nothing back.
        from mailworker.queue import handback

        shutdown.stopping()
        handback.unbegun_mail(parent)

    def stop(self, parent: Any) -> None:
        """Tell the slots to end after the message on the wire."""
        shutdown.stopping()

    def terminate(self, parent: Any) -> None:
        """Tell the children that the SIGTERM which comes now is final."""
        shutdown.killed()


class Look(bootsteps.StartStopStep):  # type: ignore[misc]  # celery has no types
    """The worker's step: the look into the spool, once a second, where there is one."""

    requires = (MailWorker,)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._lookout: Lookout | None = None

    def start(self, parent: Any) -> None:
        """Begin to look, after the pool has forked."""
        app, conf = parent.app, settings.current()
        spool = spools.for_workers(app, conf)
        served = lanes.served(app, conf.MAILWORKER_NAMESPACE)
        if spool is None or not served:
            # One that takes no mail would only wake others for it.
            return
        from mailworker.queue.lookout import INTERVAL, Lookout
        from mailworker.queue.wakeup import wake

        namespace = conf.MAILWORKER_NAMESPACE
        self._lookout = Lookout(
            waits=lambda ahead: spool.waits(served, ahead),
            ask=spool.wake,
            wake=lambda lane: wake(app, namespace, lane, timeout=INTERVAL),
            strangers=lambda: spool.strangers,
            tidy=spool.tidy,
        )
        self._lookout.start()

    def close(self, parent: Any) -> None:
        """Stop looking: this worker takes no more mail."""
        if self._lookout is not None:
            self._lookout.stop()

    def stop(self, parent: Any) -> None:
        """Stop looking."""
        self.close(parent)

    def terminate(self, parent: Any) -> None:
        """Stop looking."""
        self.close(parent)


class Heartbeat(bootsteps.StartStopStep):  # type: ignore[misc]  # celery has no types
    """The consumer's step: a beat from its own loop, for as long as it has its broker."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._timer: Any = None
        self._namespace = settings.current().MAILWORKER_NAMESPACE

    def start(self, parent: Any) -> None:
        """Begin to beat."""
        _close_in_peace(parent.connection)
        name = parent.hostname
        heartbeat.begin(self._namespace, name)
        self._timer = parent.timer.call_repeatedly(heartbeat.INTERVAL, heartbeat.beat, (self._namespace, name))

    def stop(self, parent: Any) -> None:
        """Stop to beat: the broker is lost, or the worker ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def shutdown(self, parent: Any) -> None:
        """Stop to beat."""
        self.stop(parent)


def _close_in_peace(connection: Any) -> None:
    """Let the close of a consumer's broken connection not end the worker.

    kombu 5.7 fails to close a Redis connection that was lost with a BRPOP under way and a message in hand: Celery's
    `collect()` has forgotten the transport's client by then, and the channel asks it where to give the message back
    (kombu/transport/redis.py, `_connparams`). What is in hand comes back by the visibility timeout; a wake-up is not missed.
    """
    close = connection.close

    def closed() -> None:
        try:
            close()
        except AttributeError as error:
            logger.warning("the lost connection to the broker could not be closed in order: %s", type(error).__name__)

    connection.close = closed


class _Redact(logging.Filter):
    """Takes the cargo out of what Celery's pool logs at DEBUG: the raw body of each task."""

    _CARGO = re.compile(rf"[^,(\[]*{re.escape(DELIVER)}.*", re.DOTALL)

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                self._CARGO.sub(f"{DELIVER} ...", str(part)) if DELIVER in str(part) else part for part in record.args
            )
        return True


_redact = _Redact()


def redact_pool_log() -> None:
    """Keep mail out of the pool's log."""
    logging.getLogger("celery.pool").addFilter(_redact)


def add_steps(app: Celery) -> None:
    """Add our steps to an app's worker and consumer."""
    steps: Any = app.steps
    steps["worker"].add(MailWorker)
    steps["worker"].add(Look)
    steps["consumer"].add(Heartbeat)


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]  # celery has no types
def _on_shutting_down(**_: Any) -> None:
    # In the handler of the signal itself: children that got the same SIGTERM are waiting for the answer.
    if _is_mail_worker:
        shutdown.stopping()
        # Not logged: the signal may have come in the middle of a log's write. Celery says its word before anybody knows.
        with suppress(OSError, ValueError, AttributeError):
            os.write(sys.__stdout__.fileno(), b"mailworker: the messages on the wire end, all others go back\n")  # type: ignore[union-attr]


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]  # celery has no types
def _on_child(**_: Any) -> None:
    # The solo pool sends this signal too, where no child is: a second worker in a test's process, for instance.
    if _is_mail_worker and os.getpid() != _main_pid:
        shutdown.install_in_child()
        # What it has made for its start stays too.
        gc.freeze()


@signals.worker_process_shutdown.connect  # type: ignore[untyped-decorator]  # celery has no types
def _on_child_end(**_: Any) -> None:
    _close_connections()


@signals.worker_shutdown.connect  # type: ignore[untyped-decorator]  # celery has no types
def _on_end(**_: Any) -> None:
    if _is_mail_worker:
        heartbeat.end(settings.current().MAILWORKER_NAMESPACE)
        _close_connections()


def _close_connections() -> None:
    if _is_mail_worker:
        from mailworker.queue import runtime

        runtime.close()
