"""mailworker in FastAPI and Starlette applications: the dependency, and what a lifespan opens and closes."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
import redis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import mailworker
from mailworker import EmailMessage, settings
from mailworker.contrib import starlette as contrib
from mailworker.contrib.fastapi import Mailer, MailerDep, lifespan, mailer, mailer_named
from mailworker.errors import ConfigurationError
from mailworker.queue import app as apps
from mailworker.queue import dispatch, loops, spools
from tests.processes import Process, RedisServer, free_port
from tests.spool.servers import until

LOCMEM = "mailworker.mail.backends.locmem.EmailBackend"


@pytest.fixture(autouse=True)
def _process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # A collector that passes over what this run has loaded would hide what other tests leave behind.
    monkeypatch.setattr(contrib, "_is_set_aside", True)
    apps.uninstall()
    mailworker.outbox.clear()
    yield
    apps.uninstall()
    mailworker.outbox.clear()


@pytest.fixture
def eager() -> Iterator[None]:
    with settings.override(
        MAILWORKER_BROKER_URL=f"redis://127.0.0.1:{free_port()}/0",
        MAILWORKER_TASK_ALWAYS_EAGER=True,
        EMAIL_DELIVERY_BACKEND=LOCMEM,
        MAILERS={"news": {"BACKEND": LOCMEM}},
    ):
        yield


def shop() -> FastAPI:
    app = FastAPI(lifespan=lifespan)

    @app.post("/orders")
    async def order(mailer: MailerDep, news: Annotated[Mailer, mailer_named("news")]) -> dict[str, Any]:
        await mailer.send_mail("one", "b", ["ann@example.com"], html_message="<p>b")
        (mail_id,) = await mailer.enqueue(EmailMessage("two", "b", None, ["ann@example.com"]))
        await news.send(EmailMessage("three", "b", None, ["ann@example.com"]))
        found = await mailer.status(mail_id)
        return {"state": found and found.state}

    return app


def test_a_mailer_is_asked_for_as_a_dependency(eager: None) -> None:
    with TestClient(shop()) as client:
        assert client.post("/orders").json() == {"state": "sent"}
    assert [each.subject for each in mailworker.outbox] == ["one", "two", "three"]


def test_a_test_may_put_a_mailer_of_its_own_in_its_place(eager: None) -> None:
    app = shop()
    app.dependency_overrides[mailer] = lambda: Mailer("nosuch")
    with TestClient(app) as client, pytest.raises(ConfigurationError, match="nosuch"):
        client.post("/orders")


def test_wrong_settings_are_told_at_the_start() -> None:
    with (
        settings.override(MAILWORKER_SPOOL_URL="", MAILERS={"news": {"BACKEND": LOCMEM, "OPTIONS": {"rate": 3}}}),
        pytest.raises(ConfigurationError, match="need the spool"),
        TestClient(shop()),
    ):
        pass


def test_a_queue_that_is_away_is_logged_and_keeps_no_application_from_starting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with (
        settings.override(MAILWORKER_BROKER_URL=f"redis://:hidden@127.0.0.1:{free_port()}/0"),
        caplog.at_level(logging.WARNING),
        TestClient(shop()),
    ):
        pass
    assert "the spool does not take mail yet (connection refused)" in caplog.text
    assert "hidden" not in caplog.text


@pytest.mark.integration
def test_connections_are_open_from_start_to_end_in_starlette_too() -> None:
    async def order(request: Request) -> JSONResponse:
        return JSONResponse(await mailworker.asend_mail("s", "b", None, ["ann@example.com"]))

    @asynccontextmanager
    async def own(app: Starlette) -> AsyncIterator[None]:
        async with lifespan(app):
            yield

    def connected(client: redis.Redis) -> int:
        return len([one for one in client.client_list() if one["name"] == "mailworker"])

    with (
        RedisServer() as server,
        redis.Redis(port=server.port) as look,
        settings.override(MAILWORKER_BROKER_URL=server.url),
    ):
        for life in (lifespan, own):
            with TestClient(Starlette(routes=[Route("/", order, methods=["POST"])], lifespan=life)) as client:
                assert connected(look) == 1
                assert client.post("/").json() == 1
                assert connected(look) == 1
            until(lambda: connected(look) == 0)
            # The wake-up was made before the end.
            assert look.llen("mailworker.normal") == 1
        spools.close(apps.current())
        dispatch.close(apps.current())


@pytest.mark.integration
@pytest.mark.parametrize(
    "call",
    [
        "letter.asend()",
        "mailworker.aenqueue(letter)",
        "mailworker.astatus('0' * 32)",
        "mailworker.astatus_of_group('g')",
    ],
)
def test_what_takes_long_the_first_time_is_done_in_a_thread(call: str) -> None:
    with RedisServer() as server:
        code = """
import asyncio, sys, threading
import mailworker
from tests.loop import Blocking

imported = []

class Noting:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is threading.main_thread() and looking:
            imported.append(name)

sys.meta_path.insert(0, Noting())
looking = False

async def main():
    global looking
    letter = mailworker.EmailMessage("s", "b", None, ["ann@example.com"])
    letter.get_connection()
    looking = True
    with Blocking() as blocking:
        await CALL
    looking = False
    print(blocking.calls, [name for name in imported if name.partition(".")[0] in ("celery", "kombu", "redis")])

asyncio.run(main())
"""
        with Process(
            [sys.executable, "-c", code.replace("CALL", call)], {"MAILWORKER_BROKER_URL": server.url}
        ) as process:
            assert process.wait() == 0, process.output
            assert process.output == "[] []\n"


@pytest.mark.integration
def test_who_comes_while_it_is_loaded_holds_nobody_up() -> None:
    with RedisServer() as server:
        code = """
import asyncio, sys, threading
import mailworker

began, others = threading.Event(), threading.Event()
heard = []

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "celery" and threading.current_thread() is not threading.main_thread():
            began.set()
            heard.append(others.wait(10))

sys.meta_path.insert(0, Slow())

async def main():
    letters = [mailworker.EmailMessage("s", "b", None, ["ann@example.com"]) for _ in range(2)]
    first = asyncio.ensure_future(letters[0].asend())
    while not began.is_set():
        await asyncio.sleep(0)
    second = asyncio.ensure_future(letters[1].asend())
    for _ in range(3):
        await asyncio.sleep(0)
    others.set()
    print(await first, await second, heard)

asyncio.run(main())
"""
        with Process([sys.executable, "-c", code], {"MAILWORKER_BROKER_URL": server.url}) as process:
            assert process.wait() == 0, process.output
            assert process.output == "1 1 [True]\n"


def test_with_another_backend_nothing_is_loaded_for_the_queue() -> None:
    async def scene() -> None:
        async with lifespan():
            assert asyncio.get_running_loop() not in loops._here

    with settings.override(EMAIL_BACKEND=LOCMEM):
        asyncio.run(scene())
