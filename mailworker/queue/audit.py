"""Which app-wide settings of a project's own Celery app weaken what mailworker promises.

Pure: it looks at the configuration, connects to nothing and changes nothing. Most of what matters stands on our tasks and
queues and holds in any app (late acks, serializer, no time limits, durable queues and persistent messages, a request that
is never cancelled); what is left for the app to spoil is listed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mailworker.queue.dispatch import MAX_HOP

#: Seconds. A task waits for one hop in a worker's hand, then for the run before its own, each of which may end with a
#: transaction that takes its default limits (300 s, and 600 s for the final reply); a broker that gives it to another
#: worker meanwhile repeats its chunk.
MIN_VISIBILITY_TIMEOUT = MAX_HOP + 2 * (300.0 + 900.0)

#: Tasks prefetched for each slot. Celery's default is 4; what lies unbegun in one worker's hand waits although others are
#: idle, and cannot be told from what it had begun when it comes back from a worker that died.
MAX_PREFETCH = 4

#: Names of kombu's serializer for JSON in `accept_content`.
_JSON = frozenset({"json", "application/json"})


@dataclass(frozen=True, slots=True)
class Weakness:
    """A setting that weakens a promise.

    Attributes:
        setting: its name in Celery's configuration.
        got: its value, as a person reads it.
        harm: what it does to mail.
        advice: what to set instead.
        is_fatal: mail is lost or never delivered with it.
    """

    setting: str
    got: str
    harm: str
    advice: str
    is_fatal: bool = False


def weaknesses(conf: Mapping[str, Any]) -> list[Weakness]:
    """Return what is weak in a Celery app's configuration, the fatal ones first.

    Args:
        conf: `app.conf`, or any mapping with Celery's lower-case names.
    """
    found = [one for look in _LOOKS for one in look(conf)]
    return sorted(found, key=lambda one: not one.is_fatal)


def _accept_content(conf: Mapping[str, Any]) -> Iterator[Weakness]:
    accepted = _texts(conf.get("accept_content") or ())
    if accepted and not _JSON & set(accepted):
        yield Weakness(
            "accept_content",
            ", ".join(accepted),
            "workers throw away tasks in JSON, and mail travels in JSON",
            "add 'json' to it",
            is_fatal=True,
        )


def _eager(conf: Mapping[str, Any]) -> Iterator[Weakness]:
    if conf.get("task_always_eager"):
        yield Weakness(
            "task_always_eager",
            "True",
            "mail is delivered in the caller's process: a request waits for SMTP, and nothing is tried again",
            "set it in tests only",
        )


def _protocol(conf: Mapping[str, Any]) -> Iterator[Weakness]:
    if conf.get("task_protocol") == 1:
        yield Weakness(
            "task_protocol",
            "1",
            "it has no room for argument reprs, so that workers' logs and monitors may show what is in a mail",
            "leave it at 2",
        )


def _visibility(conf: Mapping[str, Any]) -> Iterator[Weakness]:
    timeout = (conf.get("broker_transport_options") or {}).get("visibility_timeout")
    if isinstance(timeout, int | float) and timeout < MIN_VISIBILITY_TIMEOUT:
        yield Weakness(
            "broker_transport_options['visibility_timeout']",
            f"{timeout:g} s",
            "the broker gives a task that waits or runs for longer to a second worker, and its mails may go out twice",
            f"set it to {MIN_VISIBILITY_TIMEOUT:g} s or more (Celery's default is 3600)",
        )


def _priority(conf: Mapping[str, Any]) -> Iterator[Weakness]:
    if conf.get("task_queue_max_priority") is not None:
        yield Weakness(
            "task_queue_max_priority",
            str(conf["task_queue_max_priority"]),
            "RabbitMQ then wants the same value from every program that uses our queues, and refuses the others",
            "set it on your own queues (queue_arguments={'x-max-priority': ...}) instead",
        )


def _quorum(conf: Mapping[str, Any]) -> Iterator[Weakness]:
    # Celery's rule: one quorum queue among the app's, on RabbitMQ, and no worker of it may raise its prefetch limit.
    url = str(conf.get("broker_read_url") or conf.get("broker_url") or "amqp")
    if conf.get("worker_detect_quorum_queues") is False or not url.startswith(("amqp", "pyamqp")):
        return
    if conf.get("task_default_queue_type") == "quorum":
        yield _held_up_by("task_default_queue_type", "quorum")
    for queue in conf.get("task_queues") or ():
        arguments = getattr(queue, "queue_arguments", None) or {}
        if arguments.get("x-queue-type") == "quorum":
            yield _held_up_by("task_queues", f"{queue.name} (quorum)")
            return


def _held_up_by(setting: str, got: str) -> Weakness:
    return Weakness(
        setting,
        got,
        "a worker then holds no more tasks than its prefetch limit, so that a few mails which wait (delay=, at=, retries) "
        f"keep all others back for up to {MAX_HOP / 60:g} min",
        "leave mail to an app without quorum queues: no install(), MAILWORKER_BROKER_URL set, and `mailworker worker`",
    )


def _prefetch(conf: Mapping[str, Any]) -> Iterator[Weakness]:
    prefetch = conf.get("worker_prefetch_multiplier")
    if isinstance(prefetch, int) and (prefetch > MAX_PREFETCH or prefetch == 0):
        yield Weakness(
            "worker_prefetch_multiplier",
            str(prefetch) if prefetch else "0 (no limit)",
            "chunks of mail wait in one worker's hand while others are idle, and are flagged in doubt when it dies",
            "set it to 1",
        )


def _reconnect(conf: Mapping[str, Any]) -> Iterator[Weakness]:
    # Celery's rule: None means that the older setting decides (worker/consumer/consumer.py).
    startup = conf.get("broker_connection_retry_on_startup")
    for name, value in (
        ("broker_connection_retry", conf.get("broker_connection_retry")),
        ("broker_connection_retry_on_startup", startup),
    ):
        if value is False:
            yield Weakness(
                name,
                "False",
                "a worker ends when its broker is away for a moment, and mail waits until somebody starts it again",
                "set it to True, or have a supervisor start the worker again",
            )


#: Each looks at one thing.
_LOOKS: tuple[Callable[[Mapping[str, Any]], Iterable[Weakness]], ...] = (
    _accept_content,
    _eager,
    _protocol,
    _visibility,
    _priority,
    _quorum,
    _prefetch,
    _reconnect,
)


def _texts(values: Any) -> list[str]:
    return [values] if isinstance(values, str) else [str(value) for value in values]
