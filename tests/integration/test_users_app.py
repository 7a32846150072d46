"""mailworker in a Celery app that somebody else made: mail goes through it, and the rest of it stays as it was."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Connection

import mailworker
from mailworker import ConfigurationError, send_mail, settings
from mailworker.lane import LANES, Lane
from mailworker.queue import app as apps
from mailworker.queue import dispatch, lanes, runtime
from mailworker.queue.app import DELIVER, DRAIN
from mailworker.testing.script import Hang
from mailworker.testing.smtpd import ScriptedServer
from tests.integration.conftest import Broker, producing
from tests.processes import Process, RedisServer, Worker

PROJECT = Path(__file__).parent / "project"
DJANGO_PROJECT = Path(__file__).parent / "django_project"


@pytest.fixture
def fresh() -> Iterator[None]:
    apps.uninstall()
    yield
    apps.uninstall()


@pytest.mark.integration
def test_mail_from_any_thread_goes_to_the_spool_in_the_broker_of_the_users_app(
    fresh: None, spool_broker: Broker, relay: ScriptedServer, start_worker: Callable[..., Worker]
) -> None:
    with (
        RedisServer() as other,
        settings.override(MAILWORKER_BROKER_URL=other.url, MAILWORKER_NAMESPACE=spool_broker.namespace),
    ):
        app = mailworker.install(Celery("users", broker=spool_broker.url, set_as_current=False))
        # A second app takes the first one's place as the current one: the trap that shared_task falls into.
        Celery("another", broker=other.url)
        results: list[int] = []
        threads = [
            threading.Thread(
                target=lambda n=n: results.append(send_mail("s", "b", "from@example.com", [f"to{n}@example.com"]))
            )
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [1] * 8
        start_worker(spool_broker, "-c", "1")
        relay.wait_for(8)
        dispatch.close(app)


@pytest.mark.integration
def test_a_worker_of_the_users_app_runs_mail_and_the_users_tasks(
    redis_broker: Broker, relay: ScriptedServer, relay_settings: dict[str, Any]
) -> None:
    env = {
        **relay_settings,
        "PROJECT_BROKER": redis_broker.url,
        "PROJECT_QUEUE": "users",
        "MAILWORKER_NAMESPACE": redis_broker.namespace,
        "MAILWORKER_CELERY_APP": "proj:app",
    }
    command = (sys.executable, "-m", "celery", "-A", "proj", "worker", "-c", "2", "-l", "INFO")
    # Longer than the project's time limit, which is not meant for mail.
    relay.script(dot=[Hang("250 ok")])
    with Worker(env, command=command, cwd=PROJECT) as worker:
        client = Celery("client", broker=redis_broker.url, set_as_current=False)
        for task, address in (
            ("proj.mail_from_a_task", "task@example.com"),
            ("proj.mail_from_a_thread", "thread@example.com"),
        ):
            client.send_task(task, (address,), queue="users")
        relay.wait_hanging()
        client.send_task("proj.say", ("hello",), queue="users")
        worker.wait_for("the project says hello")
        client.send_task("proj.never_ends", queue="users")
        worker.wait_for("Hard time limit")
        relay.release()
        relay.wait_for(2)
        assert sorted(one.recipients[0] for one in relay.accepted) == ["task@example.com", "thread@example.com"]
        assert "rate limit" not in worker.output
        client.close()


def test_install_leaves_the_users_settings_and_queues_as_they_are(fresh: None) -> None:
    def look(app: Celery) -> dict[str, Any]:
        app.finalize()
        return {**app.conf.table(with_defaults=True)}

    plain, with_mail = Celery("plain", set_as_current=False), Celery("plain", set_as_current=False)
    mailworker.install(with_mail)
    assert look(plain) == look(with_mail)
    ours = {lanes.queue_name("mailworker", lane) for lane in LANES}
    assert set(with_mail.amqp.queues.consume_from) == {"celery"} | ours
    assert set(with_mail.tasks) - set(plain.tasks) == {DELIVER, DRAIN}


def test_installing_twice_is_installing_once(fresh: None) -> None:
    app = Celery("users", set_as_current=False)
    mailworker.install(app)
    task = app._tasks[DELIVER]
    mailworker.install(app)
    assert app._tasks[DELIVER] is task


def test_our_own_app_does_not_become_the_current_one(fresh: None) -> None:
    before = Celery("users")
    assert mailworker.app.main == "mailworker"
    from celery import current_app

    assert current_app._get_current_object() is before


def test_install_refuses_what_is_no_app(fresh: None) -> None:
    with pytest.raises(ConfigurationError, match=r"install\(\) got str, expected a Celery app"):
        mailworker.install("proj.celery:app")


@pytest.mark.parametrize(
    ("path", "said"),
    [("nowhere.celery:app", "cannot be imported"), ("os:getcwd", "expected a Celery app")],
)
def test_a_path_to_no_app_is_one_sentence(fresh: None, path: str, said: str) -> None:
    with settings.override(MAILWORKER_CELERY_APP=path), pytest.raises(ConfigurationError, match=said) as caught:
        apps.current()
    assert "MAILWORKER_CELERY_APP" in str(caught.value)


def test_the_task_keeps_its_safety_whatever_the_app_says(fresh: None) -> None:
    app = Celery("users", set_as_current=False)
    app.conf.update(
        task_acks_late=False,
        task_time_limit=1,
        task_soft_time_limit=1,
        task_annotations={"*": {"acks_late": False, "rate_limit": "1/h", "time_limit": 3}},
        task_serializer="yaml",
        task_ignore_result=False,
        task_retry_on_worker_lost=True,
        task_acks_on_failure=True,
        task_acks_on_timeout=True,
        task_default_rate_limit="1/h",
        task_default_priority=9,
    )
    mailworker.install(app)
    task = app.tasks[DELIVER]
    kept = (task.acks_late, task.reject_on_worker_lost, task.time_limit, task.soft_time_limit, task.rate_limit)
    assert kept == (True, True, 0, 0, 0)
    assert (task.serializer, task.ignore_result) == ("json", True)
    assert (task.retry_on_worker_lost, task.acks_on_failure, task.acks_on_timeout) == (False, False, False)
    assert apps.own().tasks[DELIVER].priority is None, "what Celery writes onto one app's task is not on another's"


@pytest.mark.integration
def test_a_default_priority_of_the_users_app_does_not_put_mail_into_another_list(redis_broker: Broker) -> None:
    app = Celery("users", broker=redis_broker.url, set_as_current=False)
    app.conf.task_default_priority = 9
    with producing(redis_broker), Connection(redis_broker.url) as connection:
        mailworker.install(app)
        assert send_mail("s", "b", "from@example.com", ["to@example.com"]) == 1
        assert connection.default_channel.client.llen(lanes.queue_name(redis_broker.namespace, Lane.NORMAL)) == 1


@pytest.mark.integration
def test_the_namespace_of_a_django_project_is_the_same_in_web_processes_and_workers(
    broker: Broker, relay: ScriptedServer, tmp_path: Path
) -> None:
    shutil.copytree(DJANGO_PROJECT, tmp_path / "shop")
    env = {
        "DJANGO_SETTINGS_MODULE": "shop.settings",
        "SHOP_BROKER": broker.url,
        "SHOP_NAMESPACE": broker.namespace,
        "SHOP_RELAY": f"{relay.host}:{relay.port}",
        "PYTHONPATH": str(tmp_path),
    }
    send = "import django; django.setup(); from mailworker import send_mail; print(send_mail('s', 'b', 'a@e.com', ['b@e.com']))"
    with Process([sys.executable, "-c", send], env, tmp_path) as web:
        assert web.wait() == 0, web.output
    argv = [sys.executable, "-m", "celery", "-A", "shop", "worker", "-P", "solo", "-l", "INFO"]
    with Process(argv, env, tmp_path) as worker:
        worker.wait_for("ready")
        relay.wait_for(1)


@pytest.mark.integration
def test_installing_an_app_and_looking_for_it_at_once_does_not_lock_up() -> None:
    env = {"MAILWORKER_CELERY_APP": "slow:app", "PYTHONPATH": str(PROJECT)}
    with Process([sys.executable, "-c", "import slow; slow.looking.join(); print('through')"], env) as one:
        assert one.wait() == 0, one.output
        assert "through" in one.output


@pytest.mark.integration
def test_a_forked_child_finds_the_app_although_a_thread_was_looking_for_it_at_the_fork(fresh: None) -> None:
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        with apps._lock, dispatch._lock, runtime._lock:
            held.set()
            go.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    try:
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            dispatch.close(apps.current())
            runtime.close()
            os._exit(0)
        _, status = os.waitpid(child, 0)
    finally:
        go.set()
        holder.join()
    assert os.waitstatus_to_exitcode(status) == 0
