"""The backend without its app: one sentence at the first mail, before a worker meets messages of the wrong kind."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.processes import Process

pytestmark = pytest.mark.integration

SEND = """
from django.conf import settings
settings.configure(EMAIL_BACKEND="mailworker.contrib.django.EmailBackend", {apps})
import django
django.setup()
from django.core.mail import send_mail
try:
    print("sent", send_mail("s", "b", "a@example.com", ["b@example.com"]))
except ValueError as error:
    print("refused", error)
"""


NO_RELAY = """
INSTALLED_APPS=["mailworker.contrib.django"], MAILWORKER={"TASK_ALWAYS_EAGER": True},
EMAIL_DELIVERY_BACKEND="django.core.mail.backends.dummy.EmailBackend"
"""


@pytest.mark.parametrize(
    ("apps", "answer"),
    [
        ("INSTALLED_APPS=['mailworker']", 'refused .* add "mailworker.contrib.django" to INSTALLED_APPS'),
        (NO_RELAY, "sent 1"),
    ],
)
def test_it_says_that_its_app_is_missing(tmp_path: Path, apps: str, answer: str) -> None:
    with Process([sys.executable, "-W", "ignore", "-c", SEND.replace("{apps}", apps)], {}, tmp_path) as process:
        assert process.wait() == 0, process.output
        process.wait_for(answer)
