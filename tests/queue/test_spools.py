"""Which spool keeps an app's mail, and what is said where there is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery

import mailworker
from mailworker import ConfigurationError, settings
from mailworker.queue import app as apps
from mailworker.queue import spools


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    apps.uninstall()
    yield
    apps.uninstall()


def url_of(app: Celery) -> str | None:
    return spools.url(app, settings.current())


def users(broker: str, **conf: object) -> Celery:
    app = mailworker.install(Celery("users", broker=broker, set_as_current=False))
    app.conf.update(conf)
    return app


def test_the_broker_is_the_spool_where_it_is_a_redis():
    with settings.override(MAILWORKER_BROKER_URL="redis://127.0.0.1:6399/3"):
        assert url_of(apps.current()) == "redis://127.0.0.1:6399/3"
    assert url_of(users("redis://127.0.0.1:6398/1")) == "redis://127.0.0.1:6398/1"


def test_mail_travels_in_tasks_where_the_broker_is_no_redis():
    with settings.override(MAILWORKER_BROKER_URL="amqp://127.0.0.1//"):
        assert url_of(apps.current()) is None
        assert spools.for_producers(apps.current(), settings.current()) is None
    assert url_of(users("amqp://127.0.0.1//")) is None
    assert url_of(users("memory://")) is None


def test_the_setting_goes_before_the_broker_and_empty_means_none():
    app = users("redis://127.0.0.1:6398/1")
    with settings.override(MAILWORKER_SPOOL_URL="redis://127.0.0.1:6397/2"):
        assert url_of(app) == "redis://127.0.0.1:6397/2"
    with settings.override(MAILWORKER_SPOOL_URL=""):
        assert url_of(app) is None


def test_an_app_that_reaches_its_redis_by_broker_use_ssl_has_to_say_how_the_spool_is_reached():
    app = users("redis://127.0.0.1:6398/1", broker_use_ssl={"ssl_ca_certs": "/ca.pem"})
    with pytest.raises(ConfigurationError, match=r"MAILWORKER_SPOOL_URL to rediss://"):
        url_of(app)
    with settings.override(MAILWORKER_SPOOL_URL="rediss://127.0.0.1:6397/2"):
        assert url_of(app) == "rediss://127.0.0.1:6397/2"


@pytest.mark.parametrize("limit", [{"rate": "14/s"}, {"sessions": 3}, {"domain_concurrency": {"a.example": 1}}])
def test_limits_without_a_spool_are_refused_in_the_caller_before_anything_goes(limit):
    mailers = {"relay": {"OPTIONS": {"host": "localhost", **limit}}}
    with settings.override(MAILWORKER_SPOOL_URL="", MAILERS=mailers):
        app = apps.current()
        for ask in (spools.check, spools.for_producers, spools.for_workers):
            with pytest.raises(
                ConfigurationError, match=rf"MAILERS\['relay'\] has .*{next(iter(limit))}.*set MAILWORKER_SPOOL_URL"
            ):
                ask(app, settings.current())


def test_one_process_has_one_spool_for_an_app_until_the_settings_change():
    with settings.override(MAILWORKER_BROKER_URL="redis://127.0.0.1:6399/3"):
        app = apps.current()
        first = spools.for_producers(app, settings.current())
        assert first is not None
        assert spools.for_producers(app, settings.current()) is first
        assert spools.for_workers(app, settings.current()) is not first, "a worker may wait longer"
        with settings.override(MAILWORKER_RETENTION=60):
            assert spools.for_producers(app, settings.current()) is not first
        spools.close(app)
