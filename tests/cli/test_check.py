from __future__ import annotations

import json
import socket
import ssl
import sys
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from click.testing import CliRunner

from mailworker import settings
from mailworker.cli import main
from mailworker.queue import app as apps
from mailworker.testing import Script, ScriptedServer
from tests.processes import RABBITMQ_URL, RedisServer, free_port, missing, rabbitmq_is_there

DUMMY = settings.backend_path("dummy")


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    apps.uninstall()
    yield
    apps.uninstall()


@pytest.fixture(scope="module")
def redis():
    with RedisServer() as server:
        yield server


@pytest.fixture
def relay():
    with ScriptedServer() as server:
        yield server


def check(*args: str, **values: object):
    with settings.override(MAILWORKER_ENQUEUE_TIMEOUT=2, DEFAULT_FROM_EMAIL="a@example.com", **values):
        return CliRunner().invoke(main, ["check", *args])


def findings(result, part: str) -> list[tuple[str, str]]:
    shown = json.loads(result.output)["findings"]
    return [(one["level"], one["text"]) for one in shown if one["part"] == part]


def at(relay: ScriptedServer) -> dict[str, object]:
    return {"EMAIL_HOST": relay.host, "EMAIL_PORT": relay.port}


@pytest.mark.integration
def test_where_all_is_well_it_exits_0_and_says_so_in_a_line_for_each_part(redis, relay):
    result = check(MAILWORKER_BROKER_URL=redis.url, **at(relay))
    assert result.exit_code == 0, result.output
    assert "ERROR" not in result.output
    for part in ("settings", "broker", "relay"):
        assert f"ok      {part}: " in result.output
    assert relay.transactions == []


@pytest.mark.integration
def test_json_has_every_finding_and_every_setting_and_no_secret(redis, relay):
    relay.script = Script(users={"me": "hidden1"})
    url = redis.url.replace("redis://", "redis://:hidden2@")
    result = check(
        "--json", MAILWORKER_BROKER_URL=url, EMAIL_HOST_USER="me", EMAIL_HOST_PASSWORD="hidden1", **at(relay)
    )
    shown = json.loads(result.output)
    assert shown["settings"]["EMAIL_HOST"]["value"] == relay.host
    assert "hidden" not in result.output
    assert {one["part"] for one in shown["findings"]} >= {"settings", "broker", "relay"}


@pytest.mark.integration
def test_verbose_lists_every_setting(redis, relay):
    result = check("-v", MAILWORKER_BROKER_URL=redis.url, **at(relay))
    for name in settings.Settings.model_fields:
        assert name in result.output


@pytest.mark.integration
def test_a_redis_that_may_lose_mail_is_a_warning_for_each_reason(relay):
    with RedisServer("--maxmemory-policy", "allkeys-lru") as server:
        if not server.argv[0].endswith("redis-server"):
            missing("redis-server")
        result = check("--json", MAILWORKER_BROKER_URL=server.url, **at(relay))
    assert result.exit_code == 0
    warnings = [text for level, text in findings(result, "broker") if level == "warning"]
    assert any("allkeys-lru" in text for text in warnings)
    assert any("nothing on disk" in text for text in warnings)


@pytest.mark.integration
def test_a_redis_that_keeps_mail_is_no_warning(relay):
    with RedisServer("--appendonly", "yes") as server:
        if not server.argv[0].endswith("redis-server"):
            missing("redis-server")
        result = check("--json", MAILWORKER_BROKER_URL=server.url, **at(relay))
    assert {level for level, _ in findings(result, "broker")} == {"ok"}


@pytest.mark.integration
def test_rabbitmq_is_tried_with_a_message_and_is_left_as_it_was(relay):
    if not rabbitmq_is_there():
        missing("RabbitMQ on 127.0.0.1:5672")
    result = check("--json", MAILWORKER_BROKER_URL=RABBITMQ_URL, **at(relay))
    assert result.exit_code == 0, result.output
    assert any("RabbitMQ" in text for _, text in findings(result, "broker"))
    assert ("ok", "confirms what it takes") in findings(result, "broker")


@pytest.mark.integration
def test_a_wrong_password_at_rabbitmq_is_an_error_that_does_not_show_it(relay):
    if not rabbitmq_is_there():
        missing("RabbitMQ on 127.0.0.1:5672")
    result = check("--json", MAILWORKER_BROKER_URL="amqp://guest:hidden@127.0.0.1:5672//", **at(relay))
    assert result.exit_code == 1
    assert any(level == "error" and "password" in text for level, text in findings(result, "broker"))
    assert "hidden" not in result.output


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_refuses_is_an_error_and_the_relay_is_looked_at_all_the_same(scheme, relay):
    url = f"{scheme}://user:hidden@127.0.0.1:{free_port()}/0"
    result = check("--json", MAILWORKER_BROKER_URL=url, **at(relay))
    assert result.exit_code == 1
    ((level, text),) = findings(result, "broker")
    assert level == "error"
    assert "refused" in text
    assert "hidden" not in result.output
    assert findings(result, "relay")[0][0] == "ok"


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_never_answers_is_an_error_within_the_bound(scheme, relay):
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        url = f"{scheme}://127.0.0.1:{frozen.getsockname()[1]}/0"
        with settings.override(MAILWORKER_ENQUEUE_TIMEOUT=0.5):
            result = check("--json", MAILWORKER_BROKER_URL=url, **at(relay))
    assert result.exit_code == 1
    assert any("does not answer" in text for _, text in findings(result, "broker"))


def eager(*args: str, **values: object):
    """Check without a broker."""
    return check(*args, MAILWORKER_TASK_ALWAYS_EAGER=True, **values)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (Script(greeting="554 5.7.1 go away"), "554"),
        (Script(users={"me": "another"}), "EMAIL_HOST_PASSWORD"),
        (Script(users={"me": "wrong"}, auth="454 4.7.0 later"), "454"),
    ],
)
def test_a_relay_that_does_not_want_us_is_an_error_with_what_to_do(script, said, relay):
    relay.script = script
    result = eager(EMAIL_HOST_USER="me", EMAIL_HOST_PASSWORD="wrong", **at(relay))
    assert result.exit_code == 1
    assert "ERROR   relay: " in result.output
    assert "-> " in result.output
    assert said in result.output


def test_a_relay_that_is_not_there_is_an_error():
    result = eager("--json", EMAIL_HOST="127.0.0.1", EMAIL_PORT=free_port())
    assert result.exit_code == 1
    assert findings(result, "relay")[0][0] == "error"


def test_starttls_that_is_not_offered_is_an_error_and_nothing_goes_in_plain_text(relay):
    result = eager("--json", EMAIL_USE_TLS=True, EMAIL_HOST_USER="me", EMAIL_HOST_PASSWORD="hidden", **at(relay))
    assert result.exit_code == 1
    assert any("STARTTLS" in text for _, text in findings(result, "relay"))
    assert "AUTH" not in [verb for session in relay.sessions for verb in session.verbs]


@pytest.mark.parametrize(("days", "level"), [(5, "warning"), (90, "ok")])
def test_a_certificate_that_ends_soon_is_a_warning(days, level, tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ends = datetime.now(UTC) + timedelta(days=days, hours=1)
    authority.issue_cert("localhost", not_after=ends).configure_cert(context)
    with ScriptedServer(tls=context) as server:
        options = {"host": "localhost", "port": server.port, "use_tls": True, "ssl_cafile": str(tmp_path / "ca.pem")}
        result = eager("--json", MAILERS={"relay": {"BACKEND": settings.SMTP_BACKEND, "OPTIONS": options}})
    assert result.exit_code == 0, result.output
    assert (level, ends.strftime("%Y-%m-%d")) in [
        (found, text.partition(" on ")[2][:10] or text[-10:]) for found, text in findings(result, "relay")
    ]


def test_a_certificate_that_nobody_vouches_for_is_an_error(relay):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with ScriptedServer(tls=context) as server:
        result = eager("--json", EMAIL_USE_TLS=True, **at(server))
    assert result.exit_code == 1
    assert any("certificate" in text for _, text in findings(result, "relay"))


def test_a_certificate_that_nothing_uses_is_a_warning_that_says_whether_it_can_be_read(relay):
    result = eager("--json", EMAIL_SSL_CERTFILE="/nonexistent.pem", **at(relay))
    assert result.exit_code == 0
    (text,) = [text for level, text in findings(result, "relay") if level == "warning"]
    assert text.startswith("EMAIL_SSL_CERTFILE is set and unused, since TLS is off; ")
    assert "'/nonexistent.pem', which cannot be read" in text


def test_a_certificate_or_key_that_cannot_be_read_is_an_error_that_names_its_setting(relay):
    files = {"EMAIL_SSL_CERTFILE": "/dev/null", "EMAIL_SSL_KEYFILE": "/nonexistent.key"}
    result = eager("--json", EMAIL_USE_TLS=True, **files, **at(relay))
    assert result.exit_code == 1
    ((level, text),) = findings(result, "relay")
    assert (level, text.partition(",")[0]) == ("error", "EMAIL_SSL_KEYFILE is '/nonexistent.key'")
    assert relay.sessions == []


def test_every_mailer_that_delivers_is_looked_at(relay, tmp_path):
    mailers = {
        "bulk": {"BACKEND": settings.SMTP_BACKEND, "OPTIONS": {"host": "127.0.0.1", "port": free_port()}},
        "odd": {"BACKEND": "nosuch.Backend"},
    }
    result = eager("--json", MAILERS=mailers, **at(relay))
    assert findings(result, "relay")[0][0] == "ok"
    assert findings(result, "relay bulk")[0][0] == "error"
    assert findings(result, "relay odd")[0][0] == "error"


def test_a_backend_that_is_no_smtp_is_built_and_not_opened():
    result = eager("--json", EMAIL_DELIVERY_BACKEND=settings.backend_path("console"))
    assert result.exit_code == 0
    assert any(level == "ok" and "console" in text for level, text in findings(result, "relay"))


def test_a_wrong_setting_is_an_error_in_the_sentence_of_the_settings(monkeypatch):
    monkeypatch.setenv("MAILWORKER_BROKR_URL", "x")
    settings.reset()
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 1
    assert "MAILWORKER_BROKER_URL" in result.output


def test_an_app_of_the_project_that_weakens_mail_is_named(tmp_path, monkeypatch):
    (tmp_path / "weak_project.py").write_text(
        "from celery import Celery\n"
        "app = Celery('weak', set_as_current=False)\n"
        "app.conf.update(accept_content=['pickle'], task_always_eager=True)\n"
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "weak_project", raising=False)
    result = eager(
        "--json", MAILWORKER_CELERY_APP="weak_project:app", EMAIL_DELIVERY_BACKEND=settings.backend_path("dummy")
    )
    assert result.exit_code == 1
    levels = {text.split(" is ")[0]: level for level, text in findings(result, "app")}
    assert levels["accept_content"] == "error"
    assert levels["task_always_eager"] == "warning"


@pytest.mark.parametrize(
    ("source", "said"), [("1/0", "ZeroDivisionError"), ("app = 1", "Celery app"), ("", "cannot be imported")]
)
def test_an_app_of_the_project_that_cannot_be_loaded_is_an_error(tmp_path, monkeypatch, source, said):
    name = f"broken_{abs(hash(source))}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.setattr(sys, "path", list(sys.path))
    result = eager("--json", MAILWORKER_CELERY_APP=f"{name}:app", EMAIL_DELIVERY_BACKEND=settings.backend_path("dummy"))
    assert result.exit_code == 1
    assert any(level == "error" and said in text for level, text in findings(result, "app"))


def test_a_default_mailer_that_sends_by_itself_is_looked_at_too():
    result = eager("--json", EMAIL_BACKEND="nosuch.Backend", EMAIL_DELIVERY_BACKEND=DUMMY)
    assert result.exit_code == 1
    (found,) = findings(result, "relay default")
    assert found[0] == "error"
    assert found[1].startswith("EMAIL_BACKEND is 'nosuch.Backend': no backend is there")


def test_the_options_of_a_mailer_that_queues_are_looked_at_too():
    queue = {"BACKEND": settings.QUEUE_BACKEND, "OPTIONS": {"mailer": "relay", "hots": "x"}}
    result = eager("--json", MAILERS={"letters": queue}, EMAIL_DELIVERY_BACKEND=DUMMY)
    assert result.exit_code == 1, result.output
    ((level, text),) = findings(result, "relay letters")
    assert (level, "hots" in text) == ("error", True)


def test_a_spool_that_this_version_refuses_is_an_error():
    result = eager("--json", MAILWORKER_SPOOL_URL="redis://127.0.0.1:1/0", EMAIL_DELIVERY_BACKEND=DUMMY)
    assert result.exit_code == 1
    assert ("error", "MAILWORKER_SPOOL_URL") in [
        (level, text.split()[0]) for level, text in findings(result, "settings")
    ]


def test_a_transport_whose_library_is_missing_is_a_finding(monkeypatch):
    from kombu import transport

    def symbol_by_name(_: str) -> None:
        raise ImportError("No module named 'boto3'", name="boto3")

    monkeypatch.setattr(transport, "symbol_by_name", symbol_by_name)
    monkeypatch.setattr(transport, "_transport_cache", {})
    result = check("--json", MAILWORKER_BROKER_URL="sqs://", EMAIL_DELIVERY_BACKEND=DUMMY)
    assert result.exit_code == 1
    ((level, text),) = findings(result, "broker")
    assert (level, "'boto3'" in text) == ("error", True)
    assert findings(result, "relay")[0][0] == "ok"
