"""Django's settings as a source, with the real Django in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.djangos import python_for

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path):
    """Run a script after `settings.configure(**django)`; return what it prints as JSON."""

    def run(kind, script, *, environment=None, **django):
        python = python_for(kind)
        names = ", ".join(f"{name}={value!r}" for name, value in django.items())
        (tmp_path / "script.py").write_text(
            "import json\nfrom django.conf import settings as django\n"
            f"django.configure({names})\n"
            "from mailworker.errors import ConfigurationError\n"
            "from mailworker.settings import configure, current, override, reset\n"
            f"{script}\n",
            encoding="utf-8",
        )
        kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "HOME") if name in os.environ}
        done = subprocess.run(
            [python, "-W", "error", "script.py"],
            cwd=tmp_path,
            env={**kept, "PYTHONPATH": str(ROOT), **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


HOST = "s = current(); print(json.dumps([s.EMAIL_HOST, s.EMAIL_PORT, s.origin('EMAIL_HOST'), s.origin('EMAIL_PORT')]))"
REFUSAL = "try:\n    current()\nexcept ConfigurationError as error:\n    print(json.dumps(str(error)))"


def test_djangos_settings_go_before_the_environment_and_behind_configure(run):
    environment = {"EMAIL_HOST": "from-environment", "EMAIL_PORT": "26"}
    assert run("names", HOST, EMAIL_HOST="from-django", environment=environment) == [
        "from-django",
        26,
        "Django's settings",
        "the environment",
    ]
    assert run("names", f"configure(EMAIL_HOST='python'); {HOST}", EMAIL_HOST="from-django")[0] == "python"


def test_a_value_equal_to_djangos_default_counts_as_unset(run):
    environment = {"EMAIL_HOST": "from-environment", "EMAIL_TIMEOUT": "5", "EMAIL_SUBJECT_PREFIX": "[env] "}
    script = "s = current(); print(json.dumps([s.EMAIL_HOST, s.EMAIL_TIMEOUT, s.EMAIL_SUBJECT_PREFIX]))"
    same = {"EMAIL_HOST": "localhost", "EMAIL_TIMEOUT": None, "EMAIL_SUBJECT_PREFIX": "[Django] "}
    assert run("names", script, environment=environment, **same) == ["from-environment", 5, "[env] "]
    assert run("names", script, **same) == ["localhost", 60, "[mailworker] "]


def test_djangos_own_smtp_backend_leaves_the_queue_in_place_and_another_one_counts(run):
    script = "print(json.dumps([current().mailer('default').backend, current().mailer('relay').backend]))"
    queue, smtp = (f"mailworker.mail.backends.{name}.EmailBackend" for name in ("queue", "smtp"))
    assert run("names", script) == [queue, smtp]
    assert run("names", script, EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend") == [queue, smtp]
    console = "django.core.mail.backends.console.EmailBackend"
    assert run("names", script, EMAIL_BACKEND=console) == [console, smtp]
    assert run("names", script, EMAIL_BACKEND=queue, EMAIL_DELIVERY_BACKEND="a.B") == [queue, "a.B"]


def test_the_dict_mailworker_has_our_settings_without_their_prefix(run):
    script = (
        "s = current(); print(json.dumps([s.broker_url(), s.MAILWORKER_ENQUEUE_TIMEOUT, s.MAILWORKER_LEASE, "
        "s.origin('MAILWORKER_LEASE')]))"
    )
    ours = {"BROKER_URL": "amqp://rabbit//", "ENQUEUE_TIMEOUT": 1, "LEASE": 30}
    assert run("names", script, MAILWORKER=ours, environment={"MAILWORKER_LEASE": "40"}) == [
        "amqp://rabbit//",
        1,
        30,
        "MAILWORKER in Django's settings",
    ]


@pytest.mark.parametrize(
    ("django", "sentence"),
    [
        (
            {"MAILWORKER": {"BROKER_ULR": "x"}},
            "MAILWORKER['BROKER_ULR'] (from Django's settings) is no setting of mailworker: did you mean BROKER_URL?",
        ),
        (
            {"MAILWORKER": {"MAILWORKER_LEASE": 1}},
            "MAILWORKER['MAILWORKER_LEASE'] (from Django's settings) is no setting of mailworker: did you mean LEASE?",
        ),
        (
            {"MAILWORKER": {"EMAIL_HOST": "x"}},
            "MAILWORKER['EMAIL_HOST'] (from Django's settings) is no setting of mailworker: take it out",
        ),
        (
            {"MAILWORKER": ["x"]},
            "MAILWORKER (from Django's settings) is of type list, but must be a dict of settings without their prefix",
        ),
        (
            {"MAILWORKER_LEASE": 30},
            'MAILWORKER_LEASE (from Django\'s settings) is not read under that name: write MAILWORKER = {"LEASE": ...}',
        ),
        (
            {"MAILWORKER": {"BATCH_SIZE": 0}},
            "MAILWORKER_BATCH_SIZE (from MAILWORKER in Django's settings) is 0, but must be a whole number from 1",
        ),
        ({"EMAIL_PORT": "x"}, "EMAIL_PORT (from Django's settings) is 'x', but must be a port number"),
    ],
)
def test_what_is_wrong_in_djangos_settings_is_refused_in_one_sentence(run, django, sentence):
    assert run("names", REFUSAL, **django).startswith(sentence)


def test_both_of_djangos_shapes_of_admins_and_its_lazy_strings_are_taken(run):
    script = (
        "from django.utils.functional import lazy\n"
        "django.EMAIL_SUBJECT_PREFIX = lazy(lambda: '[lazy] ', str)()\n"
        "django.EMAIL_HOST = ''\n"
        "s = current(); print(json.dumps([s.ADMINS, s.MANAGERS, s.EMAIL_SUBJECT_PREFIX, s.EMAIL_HOST]))"
    )
    found = run("names", script, ADMINS=[("Jane", "jane@example.com")], MANAGERS=["Joe <joe@example.com>"])
    assert found == [[["Jane", "jane@example.com"]], [["Joe", "joe@example.com"]], "[lazy] ", "localhost"]


def test_settings_follow_override_settings_and_djangos_test_runner(run):
    script = """
import django as package
package.setup()
from django.test.utils import override_settings, setup_test_environment, teardown_test_environment
def look():
    return [current().EMAIL_HOST, current().mailer("default").backend.split(".")[-2]]
seen = [look()]
first = current()
assert current() is first
with override_settings(EMAIL_HOST="overridden"):
    seen.append(look())
setup_test_environment()
seen.append(look())
teardown_test_environment()
seen.append(look())
print(json.dumps(seen))
"""
    assert run("names", script, EMAIL_HOST="django") == [
        ["django", "queue"],
        ["overridden", "queue"],
        ["django", "locmem"],
        ["django", "queue"],
    ]


def test_settings_that_were_read_before_django_was_configured_are_read_again(run):
    script = """
from django.utils.functional import empty
wrapped, django._wrapped = django._wrapped, empty
before = current().EMAIL_HOST
django._wrapped = wrapped
print(json.dumps([before, current().EMAIL_HOST]))
"""
    assert run("names", script, EMAIL_HOST="django") == ["localhost", "django"]


def test_a_django_that_is_not_configured_is_neither_read_nor_set_up(tmp_path):
    script = "import django.conf; from mailworker.settings import current; print(current().EMAIL_HOST, django.conf.settings.configured)"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "does.not.exist", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.split() == ["localhost", "False"], done.stderr


def test_reading_settings_imports_neither_django_nor_celery_nor_a_backend(tmp_path):
    script = (
        "import sys; from mailworker.settings import current; current(); "
        "print([name for name in sys.modules if name.split('.')[0] in ('django', 'celery', 'kombu', 'redis', 'smtplib') "
        "or name.startswith('mailworker.mail')])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.strip() == "['smtplib']", done.stderr  # errors.py inherits from smtplib.SMTPException


QUEUE = "mailworker.mail.backends.queue.EmailBackend"
SMTP = "mailworker.mail.backends.smtp.EmailBackend"
MAILERS = {"default": {"BACKEND": QUEUE}, "relay": {"BACKEND": SMTP, "OPTIONS": {"host": "relay.example.com"}}}


def test_where_django_has_mailers_they_are_the_mailers_and_no_email_name_is_read(run):
    script = (
        "s = current(); print(json.dumps([s.delivery_mailer('default').options['host'], s.mailer('default').is_implicit, "
        "s.EMAIL_HOST, s.EMAIL_SUBJECT_PREFIX, s.DEFAULT_FROM_EMAIL]))"
    )
    found = run("mailers", script, MAILERS=MAILERS, EMAIL_SUBJECT_PREFIX="[x] ", DEFAULT_FROM_EMAIL="a@example.com")
    assert found == ["relay.example.com", False, "localhost", "[x] ", "a@example.com"]


def test_where_django_61_has_no_mailers_its_email_names_are_read_without_a_warning(run):
    script = "import warnings\nwith warnings.catch_warnings():\n    warnings.simplefilter('ignore'); django.EMAIL_HOST = 'old'\n"
    assert run("mailers", script + HOST)[0] == "old"


def test_an_email_name_that_got_into_django_beside_mailers_is_not_read(run):
    script = "import warnings\nwith warnings.catch_warnings():\n    warnings.simplefilter('ignore'); django.EMAIL_HOST = 'old'\n"
    assert run("mailers", script + HOST, MAILERS=MAILERS)[0] == "localhost"


def test_a_queue_in_djangos_mailers_without_a_relay_is_refused_unless_the_environment_names_one(run):
    mailers = {"default": MAILERS["default"]}
    assert run("mailers", REFUSAL, MAILERS=mailers) == (
        "The mailer 'default' is a queue and delivers with 'relay', but MAILERS (from Django's settings) has no \"relay\": add "
        'MAILERS["relay"] with the server, or set EMAIL_URL in the environment.'
    )
    script = "print(json.dumps([current().mailer('relay').is_implicit, current().EMAIL_HOST]))"
    assert run("mailers", script, MAILERS=mailers, environment={"EMAIL_URL": "smtp://h"}) == [True, "h"]


def test_our_own_relay_names_beside_djangos_mailers_are_refused(run):
    assert run("mailers", REFUSAL, MAILERS=MAILERS, EMAIL_URL="smtp://h") == (
        'EMAIL_URL (from Django\'s settings) is not read beside MAILERS: describe the relay in MAILERS["relay"].'
    )


def test_settings_follow_djangos_test_runner_where_it_has_mailers(run):
    script = """
import django as package
package.setup()
from django.test.utils import setup_test_environment, teardown_test_environment
def look():
    return [current().mailer(alias).backend.split(".")[-2] for alias in ("default", "relay")]
seen = [look()]
setup_test_environment()
seen.append(look())
teardown_test_environment()
seen.append(look())
print(json.dumps(seen))
"""
    assert run("mailers", script, MAILERS=MAILERS) == [["queue", "smtp"], ["locmem", "locmem"], ["queue", "smtp"]]
