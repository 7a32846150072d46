from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mailworker import settings
from mailworker.cli import main
from mailworker.cli.worker import default_slots
from mailworker.queue import app as apps
from mailworker.sink import Sink
from tests.processes import (
    PATIENCE,
    Process,
    RedisServer,
    clean_environment,
    free_port,
    missing,
    rabbitmq_is_there,
)

COMMAND = [sys.executable, "-m", "mailworker"]


@pytest.fixture(scope="module")
def redis():
    with RedisServer() as server:
        yield server


@pytest.fixture
def sink():
    with Sink(port=0) as server:
        yield server


@pytest.fixture
def env(redis, sink, tmp_path, request):
    return {
        "MAILWORKER_BROKER_URL": redis.url,
        "MAILWORKER_NAMESPACE": f"t{abs(hash(request.node.nodeid)) % 10**9}",
        "EMAIL_HOST": sink.host,
        "EMAIL_PORT": str(sink.port),
        "DEFAULT_FROM_EMAIL": "me@example.com",
        "XDG_RUNTIME_DIR": str(tmp_path),
    }


def run(env: dict[str, str], *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *args],
        env={**clean_environment(), **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def worker(env: dict[str, str], *options: str) -> Process:
    return Process([*COMMAND, "worker", *options], env)


def sent(env: dict[str, str], subject: str, *options: str) -> None:
    done = run(env, "send", "--to", "ann@example.com", "--subject", subject, "--body", "x", *options)
    assert done.returncode == 0, done.stderr


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_delivers_what_send_queued_is_healthy_meanwhile_and_ends_when_told(env, sink, number):
    assert run(env, "health").returncode == 1
    with worker(env, "-c", "1") as process:
        process.wait_for(r" ready\.")
        sent(env, "one")
        assert sink.wait_for(1, PATIENCE)
        shown = json.loads(run(env, "health", "--json").stdout)
        assert [one["pid"] for one in shown["workers"]] == [process.pid]
        assert shown["alive"] is True
        process.signal(number)
        assert process.wait() == 0
    assert run(env, "health").returncode == 1


@pytest.mark.integration
def test_it_says_in_its_first_line_what_it_does_and_no_password(env, redis):
    env |= {"MAILWORKER_BROKER_URL": redis.url.replace("://", "://:hidden@")}
    with worker(env, "-c", "3", "--lanes", "high,normal") as process:
        process.wait_for(r"\n")
        first = process.output.splitlines()[0]
        assert first.startswith("mailworker: broker redis://:")
        assert ", mail is kept in redis://:" in first
        assert f"namespace {env['MAILWORKER_NAMESPACE']}" in first
        assert "lanes high normal, " in first
        assert f"relay {env['EMAIL_HOST']}:{env['EMAIL_PORT']}" in first
        assert "3 processes" in first
        assert "hidden" not in process.output


@pytest.mark.integration
def test_a_worker_of_some_lanes_leaves_the_others_alone(env, sink):
    with worker(env, "-c", "1", "--lanes", "high,bulk") as process:
        process.wait_for(r" ready\.")
        sent(env, "normal")
        sent(env, "high", "--lane", "high")
        sent(env, "bulk", "--lane", "bulk")
        assert sink.wait_for(2, PATIENCE)
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
    assert sink.counts.messages == 2
    with worker(env, "-c", "1", "--lanes", "normal"):
        assert sink.wait_for(3, PATIENCE)


@pytest.mark.integration
def test_options_of_celery_reach_celery(env, tmp_path):
    pid_file = tmp_path / "worker.pid"
    with worker(env, "-c", "1", "-Odefault", f"--pidfile={pid_file}", "-ldebug") as process:
        process.wait_for(r" ready\.")
        assert pid_file.read_text().split() == [str(process.pid)]
        assert ": DEBUG/MainProcess]" in process.output
        process.signal(signal.SIGTERM)
        assert process.wait() == 0


@pytest.mark.integration
def test_two_workers_of_one_host_have_different_names(env):
    with worker(env, "-c", "1") as one, worker(env, "-c", "1") as two:
        names = []
        for process in (one, two):
            process.wait_for(r" ready\.")
            found = re.search(r"(\S+@\S+) ready\.", process.output)
            assert found is not None
            names.append(found[1])
    assert len(set(names)) == 2
    assert all(name.startswith(env["MAILWORKER_NAMESPACE"]) for name in names)


@pytest.mark.integration
def test_in_the_projects_own_app_it_takes_mail_and_not_the_projects_tasks(env, sink, redis, tmp_path):
    (tmp_path / "theirs.py").write_text(
        "from celery import Celery\n"
        f"app = Celery('theirs', broker={redis.url!r})\n"
        "@app.task(name='theirs.task')\n"
        "def task():\n    print('RAN', flush=True)\n"
    )
    env |= {"MAILWORKER_CELERY_APP": "theirs:app"}
    del env["MAILWORKER_BROKER_URL"]
    with Process([*COMMAND, "worker", "-c", "1"], env, tmp_path) as process:
        process.wait_for(r" ready\.")
        assert "of app 'theirs'" in process.output
        code = "import theirs; theirs.task.delay()\nimport mailworker; mailworker.send_mail('s', 'b', None, ['a@example.com'])"
        subprocess.run([sys.executable, "-c", code], env={**clean_environment(), **env}, cwd=tmp_path, check=True)
        assert sink.wait_for(1, PATIENCE)
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
        assert "RAN" not in process.output


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--lanes", "fast"], "high, normal, bulk"),
        (["--lanes", ","], "no lane is named"),
        (["-c", "0"], "-c"),
        (["-A", "proj"], "MAILWORKER_CELERY_APP"),
        (["--broker=redis://x"], "MAILWORKER_BROKER_URL"),
        (["--detach"], "systemd"),
        (["--lanes", "high", "-Q", "x"], "keep one"),
        (["-P", "nosuch"], "'nosuch' is not one of 'prefork'"),
        (["-l", "nosuch"], "'--loglevel': 'nosuch' is not one of"),
    ],
)
def test_wrong_usage_is_exit_status_2_and_starts_nothing(args, said):
    result = CliRunner().invoke(main, ["worker", *args])
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize(
    "arg", ["--nosuch", "stray", "worker.nosuch=1", "worker.prefetch_multiplier=x", "=", "--autoscale=x"]
)
def test_what_celery_does_not_know_is_wrong_usage_before_anything_is_said_of_a_start(arg):
    with settings.override(MAILWORKER_BROKER_URL=f"redis://127.0.0.1:{free_port()}/0"):
        result = CliRunner().invoke(main, ["worker", arg])
        apps.uninstall()
    assert result.exit_code == 2
    assert arg.partition("=")[0] in result.output
    assert "mailworker: broker" not in result.output


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"MAILWORKER_BROKER_URL": "nosuch://x"}, "MAILWORKER_BROKER_URL"),
        ({"MAILWORKER_CELERY_APP": "nosuch:app"}, "MAILWORKER_CELERY_APP"),
        ({"EMAIL_USE_TLS": "1", "EMAIL_USE_SSL": "1"}, "EMAIL_USE_SSL"),
        ({"MAILWORKER_BROKR_URL": "x"}, "MAILWORKER_BROKER_URL"),
        ({"EMAIL_DELIVERY_BACKEND": "nosuch.Backend"}, "EMAIL_DELIVERY_BACKEND is 'nosuch.Backend'"),
        ({"EMAIL_BACKEND": "nosuch.Backend"}, "EMAIL_BACKEND is 'nosuch.Backend'"),
        ({"MAILWORKER_BROKER_URL": "memory://"}, "lives in one process"),
        ({"EMAIL_USE_TLS": "1", "EMAIL_SSL_CERTFILE": "/nonexistent.pem"}, "EMAIL_SSL_CERTFILE"),
        (
            {"EMAIL_USE_SSL": "1", "EMAIL_SSL_CERTFILE": "/dev/null", "EMAIL_SSL_KEYFILE": "/nonexistent.key"},
            "EMAIL_SSL_KEYFILE is '/nonexistent.key', which cannot be read (No such file or directory)",
        ),
        (
            {"MAILERS": '{"a": {"OPTIONS": {"use_tls": true, "ssl_certfile": "/nonexistent.pem"}}}'},
            "MAILERS['a']['OPTIONS']['ssl_certfile'] is '/nonexistent.pem'",
        ),
        ({"DJANGO_SETTINGS_MODULE": "nosuch"}, "DJANGO_SETTINGS_MODULE is 'nosuch', which cannot be loaded"),
        ({"MAILERS": '{"a": {"BACKEND": "nosuch.Backend"}}'}, "MAILERS['a']['BACKEND'] is 'nosuch.Backend'"),
        (
            {"MAILERS": '{"news": {"OPTIONS": {"hots": "x"}}}'},
            "MAILERS['news'] has an option that is not known: 'hots' (host?)",
        ),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_exit_status_1(values, said, tmp_path):
    done = run({**values, "XDG_RUNTIME_DIR": str(tmp_path)}, "worker")
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.integration
@pytest.mark.parametrize("url", ["amqp://guest:hidden@127.0.0.1:5672//", "amqp://guest:guest@127.0.0.1:5672/nosuch"])
def test_a_broker_that_refuses_the_worker_is_one_sentence_and_one_that_is_away_is_waited_for(url, env):
    if not rabbitmq_is_there():
        missing("RabbitMQ on 127.0.0.1:5672")
    done = run({**env, "MAILWORKER_BROKER_URL": url}, "worker")
    assert done.returncode == 1
    assert "cannot be used" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hidden" not in done.stderr
    with worker({**env, "MAILWORKER_BROKER_URL": f"amqp://127.0.0.1:{free_port()}//"}) as process:
        process.wait_for("Trying again")


@pytest.mark.integration
def test_it_names_the_relay_and_not_what_takes_the_queue_out_of_the_way(env):
    with worker(
        {**env, "EMAIL_BACKEND": settings.backend_path("console"), "MAILWORKER_TASK_ALWAYS_EAGER": "1"}
    ) as process:
        process.wait_for("relay")
        assert f"relay {env['EMAIL_HOST']}:{env['EMAIL_PORT']}, " in process.output
        assert "eager mode is on here" in process.output


def test_a_pool_whose_library_is_missing_is_wrong_usage():
    result = CliRunner().invoke(main, ["worker", "-P", "eventlet"])
    assert result.exit_code == 2
    assert "pip install eventlet" in result.output


@pytest.mark.integration
def test_what_the_project_sets_in_code_counts_from_the_first_line_on(env, redis, tmp_path):
    (tmp_path / "ours.py").write_text(
        "import mailworker\nfrom celery import Celery\n"
        f"app = Celery('ours', broker={redis.url!r})\n"
        "mailworker.configure(MAILWORKER_NAMESPACE='in-code', EMAIL_HOST='relay.example.com')\n"
    )
    with Process([*COMMAND, "worker", "-c", "1"], env | {"MAILWORKER_CELERY_APP": "ours:app"}, tmp_path) as process:
        process.wait_for("relay ")
        assert "namespace in-code, " in process.output
        assert "relay relay.example.com:" in process.output


@pytest.mark.integration
def test_the_solo_pool_has_one_slot_and_a_setting_of_celery_reaches_it(env):
    with worker(env, "-P", "solo", "-c", "3", "worker.prefetch_multiplier=3") as process:
        process.wait_for(r" ready\.")
        assert ", 1 slot (solo)\n" in process.output
        process.signal(signal.SIGTERM)
        assert process.wait() == 0


@pytest.mark.integration
def test_in_a_django_project_it_takes_what_that_project_queues(env, sink, redis, tmp_path):
    # Not in the environment: Django's settings go before it.
    values = {"NAMESPACE": env.pop("MAILWORKER_NAMESPACE"), "BROKER_URL": env.pop("MAILWORKER_BROKER_URL")}
    (tmp_path / "shop_settings.py").write_text(f"SECRET_KEY = 'x'\nMAILWORKER = {values!r}\n")
    env |= {"DJANGO_SETTINGS_MODULE": "shop_settings"}
    with Process([*COMMAND, "worker", "-c", "1"], env, tmp_path) as process:
        process.wait_for(r" ready\.")
        assert f"namespace {values['NAMESPACE']}, " in process.output
        code = (
            "import django; django.setup()\nimport mailworker\nmailworker.send_mail('s', 'b', None, ['a@example.com'])"
        )
        subprocess.run([sys.executable, "-c", code], env={**clean_environment(), **env}, cwd=tmp_path, check=True)
        assert sink.wait_for(1, PATIENCE)


def test_unless_it_is_told_it_delivers_with_two_to_four_processes(monkeypatch):
    for cpus, slots in ((1, 2), (3, 3), (64, 4)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cpus=cpus: set(range(cpus)), raising=False)
        assert default_slots() == slots


@pytest.mark.integration
def test_an_app_that_cannot_read_where_it_says_is_one_sentence(env, redis, tmp_path):
    (tmp_path / "reads_elsewhere.py").write_text(
        "from celery import Celery\n"
        f"app = Celery('elsewhere', broker={redis.url!r})\n"
        f"app.conf.broker_read_url = {redis.url.replace('127.0.0.1', ':hidden@127.0.0.1').replace('/0', '/99')!r}\n"
    )
    named = {**env, "MAILWORKER_CELERY_APP": "reads_elsewhere:app", "PYTHONPATH": f"{tmp_path}:{Path.cwd()}"}
    done = run(named, "worker", "-c", "1")
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("Error: the app's broker_read_url cannot be used: it refuses what the URL asks for")
    assert "hidden" not in done.stderr
    assert "Traceback" not in done.stderr
