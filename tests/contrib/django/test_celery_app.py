"""The project's own Celery app is found where Celery's guide has it, and taken only where nothing else is said."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

import pytest

from mailworker.testing.smtpd import ScriptedServer
from tests.processes import Process, RedisServer

pytestmark = pytest.mark.integration

APP = """
from celery import Celery

app = Celery("proj", broker="{broker}")
app.autodiscover_tasks()
"""

SETTINGS = """
SECRET_KEY = "x"
USE_TZ = True
INSTALLED_APPS = ["mailworker.contrib.django"]
EMAIL_BACKEND = "mailworker.contrib.django.EmailBackend"
"""

SHOW = """
import threading
import django
django.setup()
import mailworker
print("main", mailworker.app.main)
thread = threading.Thread(target=lambda: print("thread", mailworker.app.main))
thread.start()
thread.join()
"""


def project(folder: Path, *, broker: str = "redis://127.0.0.1:1/0", more: str = "") -> dict[str, str]:
    """Write a project as Celery's guide has it, and return its environment."""
    (folder / "proj").mkdir()
    (folder / "proj" / "__init__.py").write_text("from .celery import app as celery_app\n")
    (folder / "proj" / "celery.py").write_text(APP.format(broker=broker))
    (folder / "proj" / "settings.py").write_text(SETTINGS + more)
    return {"DJANGO_SETTINGS_MODULE": "proj.settings", "PYTHONPATH": str(folder)}


def run(code: str, env: dict[str, str], folder: Path, status: int = 0) -> str:
    with Process([sys.executable, "-W", "ignore", "-c", code], env, folder) as process:
        assert process.wait() == status, process.output
        return process.output


def test_it_is_the_one_beside_the_settings(tmp_path: Path) -> None:
    assert run(SHOW, project(tmp_path), tmp_path).split() == ["main", "proj", "thread", "proj"]


def test_it_is_found_above_a_package_of_settings_and_under_its_other_name(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "settings"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent):
        (package / "__init__.py").write_text("")
    (folder / "production.py").write_text(SETTINGS)
    (folder.parent / "celery_app.py").write_text(APP.format(broker="redis://127.0.0.1:1/0"))
    env = {"DJANGO_SETTINGS_MODULE": "config.settings.production", "PYTHONPATH": str(tmp_path)}
    assert run(SHOW, env, tmp_path).split() == ["main", "proj", "thread", "proj"]


@pytest.mark.parametrize(
    "said",
    ['MAILWORKER = {"CELERY_APP": "mailworker:app"}', 'MAILWORKER = {"BROKER_URL": "redis://127.0.0.1:1/1"}'],
)
def test_a_project_may_keep_mail_out_of_it(tmp_path: Path, said: str) -> None:
    assert run(SHOW, project(tmp_path, more=said), tmp_path).split() == ["main", "mailworker", "thread", "mailworker"]


def test_it_is_the_same_where_a_test_overrides_settings(tmp_path: Path) -> None:
    code = SHOW.replace("import mailworker\n", "import mailworker; from django.test import override_settings\n")
    code = code.replace('print("main"', 'override_settings(TIME_ZONE="UTC").enable(); print("main"')
    assert run(code, project(tmp_path), tmp_path).split() == ["main", "proj", "thread", "proj"]


def test_a_project_without_one_has_mailworkers_own_which_is_no_other_threads_app(tmp_path: Path) -> None:
    env = project(tmp_path)
    (tmp_path / "proj" / "__init__.py").write_text("")
    (tmp_path / "proj" / "celery.py").unlink()
    code = SHOW + "from celery import _state; print('default', _state.default_app)"
    shown = run(code, env, tmp_path).split()
    assert shown == ["main", "mailworker", "thread", "mailworker", "default", "None"]


def test_one_that_cannot_be_imported_is_one_sentence(tmp_path: Path) -> None:
    env = project(tmp_path)
    (tmp_path / "proj" / "__init__.py").write_text("")
    (tmp_path / "proj" / "celery.py").write_text("import no_such_library")
    code = (
        "import django; django.setup(); from django.core.mail import send_mail\n"
        "try:\n    send_mail('s', 'b', 'a@example.com', ['b@example.com'])\n"
        "except ValueError as error:\n    print(error)"
    )
    said = run(code, env, tmp_path)
    checked = run(
        "import django; django.setup(); from django.core.management import call_command; call_command('check')",
        env,
        tmp_path,
        status=1,
    )
    assert "mailworker.E005" in checked
    assert "no_such_library" in checked
    assert "proj.celery, where the project's Celery app should be, cannot be imported" in said
    assert "no_such_library" in said


def test_its_worker_delivers_what_the_project_sends_without_a_word_about_mail(tmp_path: Path) -> None:
    with RedisServer() as redis, ScriptedServer() as relay:
        namespace = f"t{uuid.uuid4().hex[:8]}"
        more = f"MAILWORKER = {{'NAMESPACE': {namespace!r}}}\nEMAIL_HOST = {relay.host!r}\nEMAIL_PORT = {relay.port}\n"
        env = project(tmp_path, broker=redis.url, more=more)
        send = (
            "import django; django.setup(); from django.core.mail import send_mail\n"
            "print(send_mail('s', 'b', 'a@example.com', ['b@example.com']))"
        )
        assert run(send, env, tmp_path).strip() == "1"
        argv = [sys.executable, "-m", "celery", "-A", "proj", "worker", "-P", "solo", "-l", "INFO"]
        with Process(argv, env, tmp_path) as worker:
            worker.wait_for(r"ready\.")
            relay.wait_for(1)
            assert "mailworker.drain" in worker.output
