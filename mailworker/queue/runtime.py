"""What delivers in this process, built from the settings: codec, connections, patience, pace.

One runtime a process, made on first use and again when the settings change, so that a prefork child makes its own after
the fork. Here the settings end: what is below gets values.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mailworker import settings
from mailworker.delivery.connections import Connections, Login
from mailworker.delivery.leases import Keeper
from mailworker.delivery.pipeline import Pace, Pipeline
from mailworker.delivery.policy import RetryPolicy
from mailworker.delivery.speed import Speed
from mailworker.errors import ConfigurationError
from mailworker.lock import ForkSafeLock
from mailworker.mail import connection
from mailworker.mail.backends.queue import EmailBackend as Queue
from mailworker.mail.codec import Codec
from mailworker.mail.sealing import Sealer
from mailworker.queue.compose import tools
from mailworker.queue.letters import Letters
from mailworker.settings import SMTP_BACKEND, Settings
from mailworker.spool.base import Spool
from mailworker.spool.gates import MailerGates

_lock = ForkSafeLock()
_runtime: tuple[int, Settings, Runtime] | None = None


@dataclass(frozen=True, slots=True)
class Runtime:
    """The parts of a worker that outlive a batch.

    Attributes:
        codec: opens payloads.
        sealer: encrypts cargo where keys are set.
        connections: long-lived, one for each slot and mailer.
        keeper: keeps the leases of what is delivered from the spool.
        letters: of the bulks whose mails it has met.
        speed: how fast the mailers have been.
        gates: what this process knows of its mailers' relays, kept from one task to the next.
        retry: how patient to be with a mail.
        pace: batch size, lease, deadlines.
    """

    codec: Codec
    sealer: Sealer
    connections: Connections
    gates: MailerGates
    keeper: Keeper
    letters: Letters
    speed: Speed
    retry: RetryPolicy
    pace: Pace

    def pipeline(self, spool: Spool, should_stop: Callable[[], bool], **options: Any) -> Pipeline:
        """Return a pipeline over a spool; the options are those of `Pipeline`."""
        return Pipeline(
            spool,
            self.codec,
            self.connections,
            retry=self.retry,
            pace=self.pace,
            random=random.random,
            should_stop=should_stop,
            rows=self.letters.rows,
            **options,
        )


def current() -> Runtime:
    """Return this process's runtime for the settings as they are now."""
    global _runtime
    conf = settings.current()
    with _lock:
        if _runtime is not None and (_runtime[0] != os.getpid() or _runtime[1] is not conf):
            _runtime[2].connections.close_all()
            _runtime = None
        if _runtime is None:
            _runtime = (os.getpid(), conf, _built(conf))
        return _runtime[2]


def close() -> None:
    """Close this process's connections: at shutdown."""
    with _lock:
        if _runtime is not None and _runtime[0] == os.getpid():
            _runtime[2].connections.close_all()


def _built(conf: Settings) -> Runtime:
    def build(mailer: str, login: Login) -> Any:
        given: dict[str, Any] = {} if login is None else {"username": login[0], "password": login[1]}
        backend = connection.build(conf.mailer(mailer), **given)
        if isinstance(backend, Queue):
            # A class of the project's own over ours: its path does not show that it is one.
            setting = connection.setting_of(conf.mailer(mailer))
            raise ConfigurationError(
                f"{setting} is {conf.mailer(mailer).backend!r}, which is a queue: a worker would queue its mail for ever; "
                f"name the backend that sends, such as {SMTP_BACKEND}"
            )
        return backend

    return Runtime(
        codec=tools(conf).codec,
        sealer=tools(conf).sealer,
        connections=Connections(build, conf.MAILWORKER_IDLE_TIMEOUT),
        gates=MailerGates(),
        keeper=Keeper(),
        letters=Letters(conf, tools(conf).sealer),
        speed=Speed(conf.MAILWORKER_BATCH_SIZE),
        retry=RetryPolicy(
            schedule=tuple(conf.MAILWORKER_RETRY_SCHEDULE),
            jitter=conf.MAILWORKER_RETRY_JITTER,
            give_up_after=conf.MAILWORKER_GIVE_UP_AFTER,
            max_attempts=conf.MAILWORKER_MAX_ATTEMPTS,
            in_doubt_resends=conf.MAILWORKER_IN_DOUBT_RESENDS,
        ),
        pace=Pace(
            batch_size=conf.MAILWORKER_BATCH_SIZE,
            lease=conf.MAILWORKER_LEASE,
            transaction=conf.MAILWORKER_TRANSACTION_TIMEOUT + conf.MAILWORKER_FINAL_REPLY_TIMEOUT,
            relay_backoff=tuple(conf.MAILWORKER_RELAY_BACKOFF),
        ),
    )
