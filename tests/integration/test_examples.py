"""The example programs, each behind its real server, with a real worker, Redis and relay."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mailworker.testing.smtpd import ScriptedServer
from tests.processes import PATIENCE, ROOT, Process, RedisServer, Worker, free_port

pytestmark = pytest.mark.integration

EXAMPLES = ROOT / "examples"


class Parts:
    """What both shops need: a Redis, a relay, and one worker between them."""

    def __init__(self, stack: ExitStack) -> None:
        self.redis = stack.enter_context(RedisServer())
        self.relay = stack.enter_context(ScriptedServer())
        self.settings = {
            "MAILWORKER_BROKER_URL": self.redis.url,
            "EMAIL_HOST": self.relay.host,
            "EMAIL_PORT": str(self.relay.port),
        }
        self.worker = stack.enter_context(Worker(self.settings, "-c", "1", "-P", "threads"))


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    with ExitStack() as stack:
        yield Parts(stack)


class Shop:
    """A program that answers on a port of 127.0.0.1."""

    def __init__(self, process: Process, port: int, as_json: bool) -> None:
        self.process = process
        self._url = f"http://127.0.0.1:{port}"
        self._as_json = as_json

    def order(self, mail: str) -> tuple[int, Any]:
        if self._as_json:
            body, kind = json.dumps({"mail": mail}).encode(), "application/json"
        else:
            body, kind = f"mail={mail}".encode(), "application/x-www-form-urlencoded"
        return self._asked(urllib.request.Request(f"{self._url}/orders", body, {"Content-Type": kind}))

    def state(self, mail_id: str) -> tuple[int, Any]:
        return self._asked(urllib.request.Request(f"{self._url}/mails/{mail_id}"))

    def _asked(self, request: urllib.request.Request) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, error.read()


Start = Callable[[dict[str, str]], Shop]


@pytest.fixture(params=["flask", "fastapi"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    port = free_port()
    with ExitStack() as stack:

        def started(settings: dict[str, str]) -> Shop:
            if request.param == "flask":
                argv = ["flask", "--app", f"{EXAMPLES}/flask/shop.py", "run", "--port", str(port)]
                settings = {f"FLASK_{name}": value for name, value in settings.items()}
                ready = "Running on"
            else:
                argv = ["uvicorn", "--app-dir", f"{EXAMPLES}/fastapi", "shop:app", "--port", str(port)]
                ready = "Uvicorn running on"
            process = stack.enter_context(Process([sys.executable, "-m", *argv], settings, tmp_path))
            process.wait_for(ready)
            return Shop(process, port, as_json=request.param == "fastapi")

        yield started


def test_an_order_is_confirmed_by_a_mail_that_arrives(parts: Parts, start: Start) -> None:
    shop = start(parts.settings)
    before = len(parts.relay.accepted)
    status, answer = shop.order("ann@example.com")
    assert status == 202, answer
    *_, arrived = parts.relay.wait_for(before + 1)
    assert b"Subject: Your order" in arrived.content
    assert b"From: Shop <shop@example.com>" in arrived.content
    parts.worker.wait_for(f"mail accepted.*{answer['mail']}")
    assert shop.state(answer["mail"]) == (200, {"state": "sent", "attempts": 1})
    assert shop.state("0" * 32)[0] == 404
    assert shop.order("no address")[0] == 422


def test_a_queue_that_is_away_is_told_as_such(parts: Parts, start: Start) -> None:
    shop = start({**parts.settings, "MAILWORKER_BROKER_URL": f"redis://127.0.0.1:{free_port()}/0"})
    status, answer = shop.order("ann@example.com")
    assert status == 503, answer
    assert b"no mail can be sent now" in answer


def test_flasks_command_line_has_ours_with_the_settings_of_the_application(parts: Parts, tmp_path: Path) -> None:
    flask = [sys.executable, "-m", "flask", "--app", f"{EXAMPLES}/flask/shop.py", "mailworker"]
    env = {f"FLASK_{name}": value for name, value in parts.settings.items()}
    before = len(parts.relay.accepted)
    to = ["--to", "bob@example.com", "--subject", "s", "--body", "b"]
    with Process([*flask, "send", *to], env, tmp_path) as sending:
        assert sending.wait() == 0, sending.output
    *_, arrived = parts.relay.wait_for(before + 1)
    assert b"From: Shop <shop@example.com>" in arrived.content
    with Process([*flask, "worker", "-c", "1", "-P", "solo"], env, tmp_path) as worker:
        worker.wait_for(r" ready\.")
        assert parts.redis.url in worker.output
