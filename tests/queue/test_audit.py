from __future__ import annotations

import pytest
from celery import Celery
from kombu import Queue

from mailworker.queue.app import own_configuration
from mailworker.queue.audit import weaknesses
from mailworker.settings import Settings


def test_celerys_defaults_weaken_nothing():
    assert weaknesses(Celery("proj", set_as_current=False).conf) == []


@pytest.mark.parametrize("url", ["redis://127.0.0.1:6379/0", "amqp://guest:guest@127.0.0.1:5672//"])
def test_our_own_app_weakens_nothing(url):
    app = Celery("own", set_as_current=False, broker=url)
    app.conf.update(own_configuration(Settings(MAILWORKER_BROKER_URL=url)))
    assert weaknesses(app.conf) == []


@pytest.mark.parametrize(
    ("setting", "value", "is_fatal"),
    [
        ("accept_content", ["pickle"], True),
        ("accept_content", ["application/x-yaml", "msgpack"], True),
        ("task_always_eager", True, False),
        ("task_protocol", 1, False),
        ("broker_transport_options", {"visibility_timeout": 60}, False),
        ("task_queue_max_priority", 10, False),
        ("worker_prefetch_multiplier", 100, False),
        ("worker_prefetch_multiplier", 0, False),
        ("broker_connection_retry", False, False),
        ("broker_connection_retry_on_startup", False, False),
    ],
)
def test_a_setting_that_weakens_a_promise_is_named_with_what_to_do(setting, value, is_fatal):
    app = Celery("proj", set_as_current=False)
    app.conf.update({setting: value})
    (found,) = weaknesses(app.conf)
    assert found.setting.startswith(setting)
    assert found.is_fatal is is_fatal
    assert found.got
    assert found.harm
    assert found.advice


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("accept_content", ["pickle", "json"]),
        ("accept_content", ["application/json"]),
        ("broker_transport_options", {"visibility_timeout": 7200}),
        ("broker_transport_options", {"master_name": "x"}),
        ("worker_prefetch_multiplier", 4),
        # These stand on our queues, tasks and requests, whatever the app says.
        ("task_default_delivery_mode", "transient"),
        ("task_acks_late", False),
        ("task_serializer", "pickle"),
        ("task_time_limit", 1),
        ("worker_cancel_long_running_tasks_on_connection_loss", True),
    ],
)
def test_a_setting_that_does_no_harm_is_passed_over(setting, value):
    app = Celery("proj", set_as_current=False)
    app.conf.update({setting: value})
    assert weaknesses(app.conf) == []


@pytest.mark.parametrize(
    "more",
    [
        {"task_default_queue_type": "quorum"},
        {"task_queues": [Queue("plain"), Queue("safe", queue_arguments={"x-queue-type": "quorum"})]},
    ],
)
def test_quorum_queues_are_named_on_rabbitmq_where_celery_looks_for_them(more):
    app = Celery("proj", set_as_current=False, broker="amqp://guest:guest@127.0.0.1:5672//")
    app.conf.update(more)
    (found,) = weaknesses(app.conf)
    assert found.setting in more
    app.conf.worker_detect_quorum_queues = False
    assert weaknesses(app.conf) == []
    elsewhere = Celery("proj", set_as_current=False, broker="redis://127.0.0.1:6379/0")
    elsewhere.conf.update(more)
    assert weaknesses(elsewhere.conf) == []


def test_the_fatal_ones_come_first():
    found = weaknesses({"task_always_eager": True, "accept_content": ["pickle"]})
    assert [one.is_fatal for one in found] == [True, False]
