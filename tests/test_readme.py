"""The README tells the truth: its settings, its names, and its examples, which run."""

from __future__ import annotations

import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qsl

import pytest

import mailworker
from mailworker.settings import markdown_table
from mailworker.testing import Script, ScriptedServer, assert_mail_sent
from tests.djangos import KINDS, python_for
from tests.processes import ROOT, Process, RedisServer
from tests.readme import README, block


def run(code: str, folder: Path, **env: str) -> str:
    with Process([sys.executable, "-c", code], env, folder) as process:
        status = process.wait()
        assert status == 0, process.output
        return process.output


EAGER = {
    "MAILWORKER_TASK_ALWAYS_EAGER": "1",
    "EMAIL_DELIVERY_BACKEND": "mailworker.mail.backends.locmem.EmailBackend",
    "MAILWORKER_BROKER_URL": "redis://127.0.0.1:1/0",
}


def test_its_table_of_settings_is_the_settings() -> None:
    table = README.split("<!-- settings -->\n")[1].split("<!-- /settings -->")[0]
    assert table.strip() == markdown_table().strip()


def test_its_links_lead_to_its_headings_and_to_files() -> None:
    headings = {
        re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if target.startswith("#"):
            assert target[1:] in headings
        elif "://" not in target:
            assert (ROOT / target).exists()


@pytest.mark.parametrize(("name", "sent"), [("first-mail", 1), ("sending", 106)])
def test_its_examples_of_sending_run(name: str, sent: int, tmp_path: Path) -> None:
    code = block(name) + "\nimport mailworker\nmailworker.run_due(datetime(2036, 1, 1, tzinfo=timezone.utc))" * (
        name == "sending"
    )
    output = run(code + "\nimport mailworker\nprint(len(mailworker.outbox))", tmp_path, **EAGER)
    # Half a day and ten years ahead: the reminder had expired by then, and the log says so.
    assert output.splitlines()[-1] == str(sent - (name == "sending"))
    assert output.count("mail expired") == (name == "sending")


def test_its_example_of_mailers_queues_for_the_mailer_it_names(tmp_path: Path) -> None:
    broker = {name: value for name, value in EAGER.items() if name == "MAILWORKER_BROKER_URL"}
    shown = "print(settings.current().mailer('newsletter').delivers_with)"
    code = f"from mailworker import settings\ntry:\n{_indented(block('mailers'))}\nexcept mailworker.EnqueueError:\n    {shown}"
    assert run(code, tmp_path, **broker).strip() == "news"


@pytest.mark.parametrize(
    ("name", "tests"), [("testing", 2), pytest.param("testing-servers", 2, marks=pytest.mark.integration)]
)
def test_its_examples_of_tests_are_tests_that_pass(name: str, tests: int, tmp_path: Path) -> None:
    (tmp_path / "test_example.py").write_text(block(name))
    with Process(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)], cwd=tmp_path
    ) as process:
        assert process.wait() == 0, process.output
        assert f"{tests} passed" in process.output


def test_its_example_of_templates_runs(tmp_path: Path) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    for name, file in {"template-subject": "order.subject.txt", "template-html": "order.html"}.items():
        (folder / file).write_text(block(name))
    (folder / "logo.png").write_bytes(b"\x89PNG")
    sent = "\nimport mailworker\nprint(len(mailworker.outbox[0].attachments))"
    assert run(block("templates") + sent, tmp_path, **EAGER) == "1\n"
    (folder / "order.html").write_text("\n{{ nmae }}")
    wrong = block("templates").replace("\nmessage = ", "\ntry:\n    message = ").partition("\nassert")[0]
    told = run(f"{wrong}\nexcept ValueError as error:\n    print(error)", tmp_path, **EAGER)
    assert f"`.../order.html{told.strip().partition('order.html')[2]}`" in README


def test_its_example_of_unittest_runs(tmp_path: Path) -> None:
    assert "Ran 2 tests" in run(block("testing-unittest"), tmp_path)


def test_its_example_of_a_failure_is_what_a_failure_shows(mail_outbox: list[mailworker.EmailMessage]) -> None:
    mailworker.send_mail("Your order 7", "It is on its way.", None, ["ann@example.com"])
    with pytest.raises(AssertionError) as caught:
        assert_mail_sent(to="ann@example.com", subject="Your order 8")
    first, *others = str(caught.value).splitlines()
    shown = "\n".join([f"AssertionError: {first}", *(f"  {line}" for line in others)])
    assert f"<!-- run: {'testing-failure'} -->\n```\n{shown}\n```" in README


@pytest.mark.parametrize("kind", KINDS)
def test_its_settings_for_django_are_all_that_django_needs(kind: str, tmp_path: Path) -> None:
    python = python_for(kind)
    lines = block("django" if kind == "names" else "django-mailers")
    (tmp_path / "settings.py").write_text(f"SECRET_KEY = 'x'\nUSE_TZ = True\nINSTALLED_APPS = []\n{lines}")
    code = (
        "import django; django.setup()\n"
        "from django.core.management import call_command; call_command('check', fail_level='WARNING')\n"
        "from mailworker.settings import current\n"
        "relay = current().delivery_mailer('default')\n"
        "print(relay.options.get('host') or current().EMAIL_HOST, current().broker_url())\n"
    )
    env = {"DJANGO_SETTINGS_MODULE": "settings"}
    with Process([python, "-W", "ignore", "-c", f"import sys; sys.path[:0] = ['.']; {code}"], env, tmp_path) as process:
        assert process.wait() == 0, process.output
        assert process.output.splitlines()[-1] == "smtp.example.com redis://127.0.0.1:6379/0", process.output


def test_its_example_of_asking_runs_in_tests_as_it_does_in_the_spool(tmp_path: Path) -> None:
    run(block("asking"), tmp_path, **EAGER)


@pytest.mark.integration
def test_its_example_of_asking_runs(tmp_path: Path) -> None:
    with RedisServer() as server:
        run(block("asking"), tmp_path, MAILWORKER_BROKER_URL=server.url)


def test_its_example_of_a_signal_runs(tmp_path: Path) -> None:
    told = """
from mailworker.delivery.event import MailEvent
from mailworker.queue import signals
signals.send(MailEvent(kind="dead", mail_id="7", mailer="relay", lane="normal", domains=("example.com",), codes=(550,), reason="rejected"))
"""
    assert run(block("signals") + told, tmp_path) == (
        "mailer relay: mail 7 to ('example.com',) is dead: (550,) rejected\n"
    )


def test_its_example_of_a_scripted_server_runs(tmp_path: Path) -> None:
    run(block("scripted-server"), tmp_path)


class TokenEndpoint(BaseHTTPRequestHandler):
    """Google's and Microsoft's place for tokens (RFC 6749 §4.4, §6)."""

    asked: ClassVar[list[tuple[str, dict[str, str]]]] = []

    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.asked.append((self.path, dict(parse_qsl(form))))
        answer = json.dumps({"access_token": "ya29.Token", "expires_in": 3599, "token_type": "Bearer"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("name", ["google", "microsoft"])
def test_its_example_of_tokens_logs_in(name: str, tmp_path: Path) -> None:
    TokenEndpoint.asked.clear()
    script = Script(tokens={"shop@example.com": "ya29.Token"}, mechanisms=["XOAUTH2"], require_auth=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), TokenEndpoint) as endpoint, ScriptedServer(script) as relay:
        threading.Thread(target=endpoint.serve_forever, daemon=True).start()
        host = f"http://127.0.0.1:{endpoint.server_address[1]}"
        code = re.sub(r"https://(oauth2.googleapis|login.microsoftonline).com", host, block("tokens"))
        (tmp_path / "shop_oauth.py").write_text(code)
        secrets = ("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN", "TENANT_ID")
        env = {
            **{f"{name.upper()}_{secret}": secret.lower() for secret in secrets},
            "EMAIL_BACKEND": "mailworker.mail.backends.smtp.EmailBackend",
            "EMAIL_URL": f"smtp://shop%40example.com@127.0.0.1:{relay.port}",
            "MAILWORKER_OAUTH_TOKEN": f"shop_oauth:{name}",
        }
        run(block("first-mail") * 2, tmp_path, **env, PYTHONPATH=str(tmp_path))
        endpoint.shutdown()
    assert [each.session.user for each in relay.accepted] == ["shop@example.com"] * 2
    path, form = TokenEndpoint.asked.pop()
    assert TokenEndpoint.asked == []
    assert form["client_secret"] == "client_secret"
    if name == "google":
        assert (path, form["grant_type"], form["refresh_token"]) == ("/token", "refresh_token", "refresh_token")
    else:
        assert (path, form["grant_type"]) == ("/tenant_id/oauth2/v2.0/token", "client_credentials")


def test_every_public_name_is_there() -> None:
    for name in mailworker.__all__:
        assert getattr(mailworker, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mailworker.nothing  # type: ignore[attr-defined]


def _indented(code: str) -> str:
    return "".join(f"    {line}" for line in code.splitlines(keepends=True))
