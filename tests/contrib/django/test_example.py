"""The example project, as a stranger runs it: its server, its worker, and a password reset that arrives and works."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from email import message_from_bytes
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

import pytest

from mailworker.testing.smtpd import ScriptedServer
from tests.processes import PATIENCE, ROOT, Process, RedisServer, Worker, free_port
from tests.readme import block

pytestmark = pytest.mark.integration

USER = """
from django.contrib.auth.models import User
User.objects.create_user("ann", "ann@example.org", "forgotten")
"""

#: Imported by the worker before it forks: says what a batch finds of the database, and uses it.
SIGNALS = """
import logging

from django.contrib.auth.models import User
from django.db import connection

from mailworker.queue.signals import mail_sent

User.objects.count()

@mail_sent.connect
def note(**_):
    found = "an open" if connection.connection else "no"
    logging.getLogger("shop").warning("finds %s connection, users: %d", found, User.objects.count())
"""

#: Two mails of one call: they are two batches of one task.
TWO_MAILS = """
from django.core.mail import send_mass_mail
from django.db import transaction
with transaction.atomic():
    print("sent", send_mass_mail([("s", "b", None, [name + "@example.org"]) for name in ("one", "two")]))
"""


@dataclass
class Shop:
    """The example with its Redis, its relay and its worker."""

    python: str
    folder: Path
    env: dict[str, str]
    redis: RedisServer
    relay: ScriptedServer
    worker: Worker

    def manage(self, *arguments: str, status: int = 0, **env: str) -> str:
        with Process([self.python, "manage.py", *arguments], {**self.env, **env}, self.folder) as process:
            assert process.wait() == status, process.output
            return process.output


@pytest.fixture(scope="module")
def shop(python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("example") / "django"
    shutil.copytree(ROOT / "examples" / "django", folder)
    (folder / "shop" / "mail_signals.py").write_text(SIGNALS)
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        relay = stack.enter_context(ScriptedServer())
        env = {"REDIS_URL": redis.url, "RELAY_HOST": relay.host, "RELAY_PORT": str(relay.port)}
        for arguments in (("migrate", "-v", "0"), ("shell", "-c", USER)):
            with Process([python, "manage.py", *arguments], env, folder) as process:
                assert process.wait() == 0, process.output
        worker = stack.enter_context(
            Worker(
                # One mail a batch: what lies between two of them can be seen.
                {**env, "MAILWORKER_BATCH_SIZE": "1"},
                *("-c", "1", "-I", "shop.mail_signals", "--settings", "shop.settings"),
                command=(python, "manage.py", "mailworker", "worker"),
                cwd=folder,
            )
        )
        yield Shop(python, folder, env, redis, relay, worker)


def test_a_password_reset_arrives_and_its_link_works(shop: Shop) -> None:
    port = free_port()
    command = [shop.python, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
    before = len(shop.relay.accepted)
    with Process(command, shop.env, shop.folder) as server:
        server.wait_for("Quit the server|Starting development server|Watching")
        browser = Browser(f"http://127.0.0.1:{port}")
        assert "on its way" in browser.submit("/accounts/password_reset/", email="ann@example.org")
        shop.relay.wait_for(before + 1)
        arrived = shop.relay.accepted[before]
        assert arrived.recipients == ["ann@example.org"]
        mail = message_from_bytes(arrived.content)
        assert (mail["From"], mail["Subject"]) == ("Shop <shop@example.com>", "A new password for the shop")
        found = re.search(rb"http://127\.0\.0\.1:\d+(/accounts/reset/\S+)", mail.get_payload(decode=True))  # type: ignore[arg-type]
        assert found is not None
        new = {"new_password1": "correct horse 7", "new_password2": "correct horse 7"}
        assert "You have a new password" in browser.submit(found[1].decode(), **new)
        assert "Hello ann" in browser.submit("/accounts/login/", username="ann", password="correct horse 7")
        assert "Traceback" not in server.output


def test_each_batch_finds_the_database_in_order(shop: Shop) -> None:
    since = len(shop.worker.output)
    before = len(shop.relay.accepted)
    assert "sent 2" in shop.manage("shell", "-c", TWO_MAILS)
    shop.relay.wait_for(before + 2)
    shop.worker.wait_for("users: 1", 2, since=since)
    said = re.findall(r"finds (an open|no) connection", shop.worker.output)
    # Neither that of the parent, which had used its own, nor one that lay open between two batches of a task.
    assert set(said) == {"no"}


def test_the_readmes_commands_look_the_project_over_and_bring_a_test_mail(shop: Shop) -> None:
    check, worker, send = (
        line.removeprefix("python manage.py ").split() for line in block("django-commands").splitlines()
    )
    assert worker == ["mailworker", "worker"], "the one that runs here"
    assert "no issues" in shop.manage(*check)
    before = len(shop.relay.accepted)
    shop.manage(*send)
    shop.relay.wait_for(before + 1)
    assert shop.relay.accepted[before].recipients == ["you@example.com"]


def test_the_project_is_right(shop: Shop) -> None:
    assert "no issues" in shop.manage("check", "--tag", "mailworker")
    assert "no issues" in shop.manage("check", "--fail-level", "WARNING")


def test_manage_py_is_the_whole_command_line(shop: Shop) -> None:
    assert "Usage: manage.py mailworker" in (shown := shop.manage("mailworker", "--help"))
    for command in ("worker", "queue", "dead", "status", "check", "health"):
        assert re.search(rf"^  {command} ", shown, re.MULTILINE), command
    assert shop.manage("help", "mailworker") == shown
    looked = json.loads(shop.manage("mailworker", "check", "--json", "--settings=shop.settings"))
    assert looked["ok"], looked
    assert looked["settings"]["MAILWORKER_NAMESPACE"]["source"] == "MAILWORKER in Django's settings"
    assert "0" * 32 in shop.manage("mailworker", "status", "0" * 32, status=1)
    assert "Error" in shop.manage("mailworker", "no-such-command", status=2)
    assert "No such option" in shop.manage("mailworker", "queue", "--colour", status=2)


def test_the_command_can_be_called_from_code(shop: Shop) -> None:
    code = """
from django.core.management import CommandError, call_command
call_command("mailworker", "pause", "relay")
call_command("mailworker", "resume", "relay")
try:
    call_command("mailworker", "status", "0" * 32)
except CommandError as error:
    print("status", error.returncode)
"""
    assert "status 1" in shop.manage("shell", "-c", code)


def test_mailworkers_own_command_finds_the_same_queue(shop: Shop) -> None:
    command = [shop.python, "-m", "mailworker", "check", "--json"]
    with Process(command, {**shop.env, "DJANGO_SETTINGS_MODULE": "shop.settings"}, shop.folder) as process:
        assert process.wait() == 0, process.output
        assert json.loads(process.output)["settings"]["MAILWORKER_NAMESPACE"]["value"] == "shop"


class Browser:
    """Fills in forms, with cookies and Django's token."""

    def __init__(self, site: str) -> None:
        self._site = site
        self._opener: OpenerDirector = build_opener(HTTPCookieProcessor(CookieJar()))

    def submit(self, path: str, **fields: str) -> str:
        with self._opener.open(self._site + path, timeout=PATIENCE) as page:
            at, shown = page.url, page.read().decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', shown)
        assert token is not None, shown
        form = urlencode({**fields, "csrfmiddlewaretoken": token[1]}).encode()
        with self._opener.open(at, form, timeout=PATIENCE) as page:
            answer: str = page.read().decode()
            return answer
