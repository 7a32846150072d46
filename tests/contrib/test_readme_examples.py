"""The README's examples of frameworks run as they stand there."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT, Process, RedisServer

README = (ROOT / "README.md").read_text()

LOCMEM = "mailworker.mail.backends.locmem.EmailBackend"

EAGER = {
    "MAILWORKER_TASK_ALWAYS_EAGER": "1",
    "EMAIL_DELIVERY_BACKEND": LOCMEM,
    "DEFAULT_FROM_EMAIL": "shop@example.com",
}


def block(name: str) -> str:
    found = re.search(rf"<!-- run: {name} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found is not None, f"README.md has no block {name!r}"
    return found.group(1)


def run(code: str, folder: Path, **env: str) -> str:
    with Process([sys.executable, "-c", code], env, folder) as process:
        assert process.wait() == 0, process.output
        return process.output


def test_its_flask_application_sends(tmp_path: Path) -> None:
    order = """
app.config.update(TESTING=True)
assert app.test_client().post("/orders", data={"mail": "ann@example.com"}).status_code == 202
print([(each.from_email, each.to) for each in mailworker.outbox])
"""
    assert run(block("flask") + order, tmp_path) == "[('shop@example.com', ['ann@example.com'])]\n"


@pytest.mark.integration
def test_its_commands_of_flask_run_with_the_applications_settings(tmp_path: Path) -> None:
    worker, queue = (shlex.split(line) for line in block("flask-commands").splitlines())
    with RedisServer() as server:
        code = block("flask").replace("redis://127.0.0.1:6379/0", server.url)
        assert server.url in code
        (tmp_path / "shop.py").write_text(code)
        with Process([sys.executable, "-m", *worker, "-c", "1", "-P", "solo"], cwd=tmp_path) as working:
            working.wait_for(r" ready\.")
            assert server.url in working.output
        with Process([sys.executable, "-m", *queue], cwd=tmp_path) as shown:
            assert shown.wait() == 0, shown.output
            assert "relay" in shown.output or "nothing" in shown.output


@pytest.mark.integration
def test_its_example_of_asyncio_runs(tmp_path: Path) -> None:
    with RedisServer() as server:
        run(block("asyncio"), tmp_path, MAILWORKER_BROKER_URL=server.url)


def test_its_example_of_asyncio_runs_in_tests_as_well(tmp_path: Path) -> None:
    run(block("asyncio"), tmp_path, **EAGER)


def test_its_fastapi_application_sends_by_both_mailers(tmp_path: Path) -> None:
    order = """
import mailworker
from fastapi.testclient import TestClient

with TestClient(app) as client:
    assert client.post("/orders?mail=ann@example.com").status_code == 202
    assert client.post("/readers?mail=bob@example.com").status_code == 202
print([(each.subject, each.to) for each in mailworker.outbox])
"""
    mailers = f'{{"newsletter": {{"BACKEND": "mailworker.mail.backends.queue.EmailBackend"}}, "relay": {{"BACKEND": "{LOCMEM}"}}}}'
    output = run(block("fastapi") + order, tmp_path, **EAGER, MAILERS=mailers)
    assert output.splitlines()[-1] == "[('Your order', ['ann@example.com']), ('Welcome', ['bob@example.com'])]"
