from __future__ import annotations

import json
import socket
import ssl
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from click.testing import CliRunner

from mailworker import AccessToken, settings
from mailworker.cli import main
from mailworker.cli.redis import About, Cargo
from mailworker.cli.redis import look as judged
from mailworker.queue import app as apps
from mailworker.testing import Script, ScriptedServer
from tests.processes import RABBITMQ_URL, RedisServer, free_port, missing, rabbitmq_is_there
from tests.tokens import Tokens

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


def user(rules: str) -> list[str]:
    """Return options of a Redis that give a user these rights."""
    return ["--user", *rules.split()]


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
    for part in ("settings", "spool", "broker", "relay"):
        assert f"ok      {part}: " in result.output
    assert relay.transactions == []


@pytest.mark.integration
def test_json_has_every_finding_and_every_setting_and_no_secret(redis, relay):
    relay.script(users={"me": "hidden1"})
    url = redis.url.replace("redis://", "redis://:hidden2@")
    result = check(
        "--json", MAILWORKER_BROKER_URL=url, EMAIL_HOST_USER="me", EMAIL_HOST_PASSWORD="hidden1", **at(relay)
    )
    shown = json.loads(result.output)
    assert shown["settings"]["EMAIL_HOST"]["value"] == relay.host
    assert "hidden" not in result.output
    assert {one["part"] for one in shown["findings"]} >= {"settings", "spool", "broker", "relay"}


@pytest.mark.integration
def test_verbose_lists_every_setting(redis, relay):
    result = check("-v", MAILWORKER_BROKER_URL=redis.url, **at(relay))
    for name in settings.Settings.model_fields:
        assert name in result.output


def real_redis(*options: str) -> RedisServer:
    server = RedisServer(*options)
    if not server.argv[0].endswith("redis-server"):
        server.close()
        missing("redis-server")
    return server


@pytest.mark.integration
@pytest.mark.parametrize(("part", "spool"), [("spool", None), ("broker", "")])
def test_a_redis_that_may_lose_mail_is_a_warning_for_each_reason_in_either_carrier(part, spool, relay):
    values = {} if spool is None else {"MAILWORKER_SPOOL_URL": spool}
    with real_redis("--maxmemory-policy", "allkeys-lru") as server:
        result = check("--json", MAILWORKER_BROKER_URL=server.url, **values, **at(relay))
    assert result.exit_code == 0, result.output
    warnings = [text for level, text in findings(result, part) if level == "warning"]
    assert any("allkeys-lru" in text for text in warnings)
    assert any("nothing on disk" in text for text in warnings)


@pytest.mark.integration
def test_a_redis_that_does_throw_mail_away_when_it_is_full_is_an_error(relay):
    with real_redis("--maxmemory-policy", "allkeys-lru", "--maxmemory", "100mb") as server:
        result = check("--json", MAILWORKER_BROKER_URL=server.url, **at(relay))
    assert result.exit_code == 1
    assert ("error", "its maxmemory-policy is allkeys-lru: it may throw queued mail away") in findings(result, "spool")


@pytest.mark.integration
@pytest.mark.parametrize(("fsync", "level"), [("always", "ok"), ("everysec", "notice"), ("no", "warning")])
def test_a_redis_that_keeps_mail_on_disk_says_how_soon_it_does(fsync, level, relay):
    with real_redis("--appendonly", "yes", "--appendfsync", fsync) as server:
        result = check("--json", MAILWORKER_BROKER_URL=server.url, **at(relay))
    assert result.exit_code == 0
    (found,) = [(level, text) for level, text in findings(result, "spool") if "on disk" in text]
    assert found[0] == level
    assert f"appendfsync {fsync}" in found[1]
    assert {level for level, _ in findings(result, "spool")} <= {level, "ok"}


@pytest.mark.integration
def test_a_redis_that_takes_snapshots_only_is_a_warning(relay):
    with real_redis("--save", "60 1") as server:
        result = check("--json", MAILWORKER_BROKER_URL=server.url, **at(relay))
    (text,) = [text for level, text in findings(result, "spool") if level == "warning"]
    assert "since the last" in text


@pytest.mark.integration
def test_broker_and_spool_in_one_redis_are_judged_once_by_whatever_name_they_go(redis, relay):
    url = redis.url.replace("127.0.0.1", "localhost").replace("/0", "/1")
    result = check("--json", MAILWORKER_BROKER_URL=url, MAILWORKER_SPOOL_URL=redis.url, **at(relay))
    assert any("on disk" in text for _, text in findings(result, "spool"))
    assert [level for level, _ in findings(result, "broker")] == ["ok", "ok"]
    assert findings(result, "broker")[1][1] == "it is the spool's Redis, looked over above"


@pytest.mark.integration
def test_a_broker_beside_the_spool_carries_wake_ups_and_may_lose_them(redis, relay):
    with real_redis("--maxmemory-policy", "allkeys-lru", "--maxmemory", "100mb") as broker:
        values = {"MAILWORKER_BROKER_URL": broker.url, "MAILWORKER_SPOOL_URL": redis.url}
        result = check("--json", **values, **at(relay))
    assert result.exit_code == 0, result.output
    assert [level for level, _ in findings(result, "broker")] == ["ok", "ok"]
    assert findings(result, "broker")[1][1].startswith("carries wake-ups only")


@pytest.mark.integration
def test_a_user_who_may_not_ask_the_server_how_it_is_set_up_is_told_and_no_failure(relay):
    with real_redis(
        *user("app on >hidden ~* &* +@all -config -info"), *user("default on nopass ~* &* +@all")
    ) as server:
        url = server.url.replace("://", "://app:hidden@")
        result = check("--json", MAILWORKER_BROKER_URL=url, **at(relay))
    assert result.exit_code == 0, result.output
    assert ("ok", "writes, and runs scripts") in findings(result, "spool")
    assert any(level == "notice" and "may not run INFO" in text for level, text in findings(result, "spool"))
    assert {level for level, _ in findings(result, "broker")} == {"ok"}
    assert "hidden" not in result.output


@pytest.mark.integration
def test_a_user_who_may_not_ask_for_settings_gets_the_rest(relay):
    with real_redis(*user("app on >hidden ~* &* +@all -config"), *user("default on nopass ~* &* +@all")) as server:
        url = server.url.replace("://", "://app:hidden@")
        result = check("--json", MAILWORKER_BROKER_URL=url, **at(relay))
    assert result.exit_code == 0, result.output
    assert any(level == "notice" and "CONFIG GET" in text for level, text in findings(result, "spool"))


@pytest.mark.integration
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (user("default on nopass ~* &* +@all -eval"), "its user may not do that"),
        (["--maxmemory", "1"], "it is out of memory"),
    ],
)
def test_a_redis_that_runs_no_script_that_writes_is_an_error(options, said, relay):
    with real_redis(*options) as server:
        values = {"MAILWORKER_SPOOL_URL": server.url, "MAILWORKER_BROKER_URL": server.url}
        result = check("--json", **values, **at(relay))
    assert result.exit_code == 1
    assert ("error", f"it runs no script that writes: {said}") in findings(result, "spool")


@pytest.mark.integration
def test_looking_leaves_nothing_in_the_spool(relay):
    import redis as client

    with real_redis() as server:
        check(MAILWORKER_SPOOL_URL=server.url, MAILWORKER_BROKER_URL=f"amqp://127.0.0.1:{free_port()}//", **at(relay))
        with client.Redis.from_url(server.url) as one:
            assert one.keys() == []
            assert one.info("commandstats")["cmdstat_set"]["calls"] == 1


@pytest.mark.integration
def test_a_replica_is_an_error_and_as_many_as_are_asked_for_have_to_be_connected(relay):
    with (
        real_redis("--repl-diskless-sync-delay", "0") as primary,
        real_redis("--replicaof", "127.0.0.1", str(primary.port)) as replica,
    ):
        replica.wait_for("MASTER <-> REPLICA sync: Finished")
        named = check("--json", MAILWORKER_BROKER_URL=replica.url, **at(relay))
        enough = check("--json", MAILWORKER_BROKER_URL=primary.url, MAILWORKER_WAIT_REPLICAS=1, **at(relay))
        too_few = check("--json", MAILWORKER_BROKER_URL=primary.url, MAILWORKER_WAIT_REPLICAS=2, **at(relay))
    assert named.exit_code == 1
    assert ("error", "it is a replica, which takes no writes") in findings(named, "spool")
    assert enough.exit_code == 0, enough.output
    asked = "MAILWORKER_WAIT_REPLICAS asks for"
    assert ("ok", f"1 connected replica(s), {asked} 1") in findings(enough, "spool")
    assert ("error", f"1 connected replica(s), {asked} 2: it would accept no mail") in findings(too_few, "spool")


@pytest.mark.integration
def test_a_spool_in_a_cluster_is_looked_over_and_said_to_be_there(relay):
    import redis as client

    with real_redis("--cluster-enabled", "yes", "--cluster-port", str(free_port())) as node:
        with client.Redis.from_url(node.url) as one:
            one.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        node.wait_for("Cluster state changed: ok")
        broker = f"amqp://127.0.0.1:{free_port()}//"
        result = check("--json", MAILWORKER_SPOOL_URL=node.url, MAILWORKER_BROKER_URL=broker, **at(relay))
    assert ", one node of a cluster, " in findings(result, "spool")[0][1]
    assert ("ok", "writes, and runs scripts") in findings(result, "spool")


@pytest.mark.parametrize(
    ("info", "level"),
    [
        ({"redis_version": "6.0.16"}, "error"),
        ({"redis_version": "6.2.0"}, None),
        ({"redis_version": "5.0.14"}, "error"),
        ({"redis_version": "7.2.4", "valkey_version": "8.0.1"}, None),
        ({"redis_version": "unstable"}, None),
    ],
)
def test_a_redis_that_is_too_old_for_the_spool_is_an_error_there_and_a_warning_under_tasks(info, level):
    def levels(cargo: Cargo) -> list[str]:
        return [one.level.value for one in judged("x", About(info), cargo) if "old" in one.text]

    assert levels(Cargo.SPOOL) == ([] if level is None else [level])
    assert levels(Cargo.TASKS) == ([] if level is None else ["warning"])
    assert levels(Cargo.WAKE_UPS) == []


def test_a_policy_that_throws_away_what_expires_is_told_as_harmless():
    about = About({"maxmemory_policy": "volatile-lru", "maxmemory": 1}, {})
    (found,) = judged("spool", about, Cargo.SPOOL)
    assert found.level == "notice"


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
    relay.behaviour = script
    result = eager(EMAIL_HOST_USER="me", EMAIL_HOST_PASSWORD="wrong", **at(relay))
    assert result.exit_code == 1
    assert "ERROR   relay: " in result.output
    assert "-> " in result.output
    assert said in result.output


def test_a_relay_that_is_not_there_is_an_error():
    result = eager("--json", EMAIL_HOST="127.0.0.1", EMAIL_PORT=free_port())
    assert result.exit_code == 1
    assert findings(result, "relay")[0][0] == "error"


def with_token(relay: ScriptedServer, function: object) -> dict[str, object]:
    return {"EMAIL_HOST_USER": "me@example.com", "MAILWORKER_OAUTH_TOKEN": function, **at(relay)}


def test_a_token_logs_in_and_is_said_to_be_good_for_so_long(relay):
    relay.script(tokens={"me@example.com": "hidden"}, mechanisms=["XOAUTH2"])

    def function():
        return AccessToken("hidden", time.time() + 3599)

    result = eager("--json", **with_token(relay, function))
    assert result.exit_code == 0, result.output
    (found, ends) = findings(result, "relay")
    assert found[0] == "ok"
    assert f", logged in with a token of {__name__}:test_a_token" in found[1]
    assert ends == ("ok", "its token ends in 60 min; workers ask for another one before that")
    assert relay.sessions[0].user == "me@example.com"
    assert "hidden" not in result.output


@pytest.mark.parametrize("left", [-3600, 20])
def test_a_token_that_is_over_as_it_comes_is_a_warning(relay, left):
    relay.script(tokens={"me@example.com": "hidden"}, mechanisms=["XOAUTH2"])
    result = eager("--json", **with_token(relay, lambda: AccessToken("hidden", time.time() + left)))
    assert [level for level, _ in findings(result, "relay")] == ["ok", "warning"]
    assert "log in, for each mail" in result.output


def test_notifications_that_the_relay_does_not_offer_are_a_warning(relay):
    options = {"host": relay.host, "port": relay.port, "dsn_notify": "FAILURE"}
    for offered, levels in ((True, ["ok"]), (False, ["ok", "warning"])):
        relay.script(dsn=offered)
        result = eager("--json", MAILERS={"relay": {"BACKEND": settings.SMTP_BACKEND, "OPTIONS": options}})
        assert [level for level, _ in findings(result, "relay")] == levels
    assert "does not offer DSN" in result.output


def test_what_to_do_names_the_options_of_a_mailer_of_mailers(relay):
    relay.script(greeting="554 no")
    options = {"host": relay.host, "port": relay.port}
    result = eager(MAILERS={"relay": {"BACKEND": settings.SMTP_BACKEND, "OPTIONS": options}})
    assert "or check port (the options are in MAILERS['relay'])" in " ".join(result.output.split())
    assert "EMAIL_PORT" not in result.output


def test_a_token_that_does_not_say_when_it_ends_is_a_notice(relay):
    relay.script(tokens={"me@example.com": "hidden"}, mechanisms=["XOAUTH2"])
    result = eager("--json", **with_token(relay, lambda: "hidden"))
    assert result.exit_code == 0, result.output
    assert [level for level, _ in findings(result, "relay")] == ["ok", "notice"]


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (Tokens("hidden1", "hidden2"), ["scope https://mail.example.com/", "-> check EMAIL_HOST_USER, the scope"]),
        (Tokens(LookupError("hidden")), ["raised LookupError", "-> call the function by hand"]),
        (Tokens(b"hidden"), ["returned a value of type bytes", "-> correct the function"]),
        ("nosuch_project.oauth:token", ["there is no module 'nosuch_project'", "-> correct this setting"]),
    ],
)
def test_a_token_that_does_not_log_in_is_an_error_with_what_to_do(relay, token, said):
    relay.script(tokens={"me@example.com": "another"}, mechanisms=["XOAUTH2"])
    result = eager(**with_token(relay, token))
    assert result.exit_code == 1
    assert "ERROR   relay: " in result.output
    assert [words for words in said if words not in result.output] == []
    assert "hidden" not in result.output


def test_a_temporary_refusal_of_a_token_is_the_relay_s_and_not_the_function_s(relay):
    relay.script(tokens={"me@example.com": "t"}, mechanisms=["XOAUTH2"], auth="454 4.7.0 later")
    result = eager(**with_token(relay, lambda: "t"))
    assert result.exit_code == 1
    assert "-> try again later" in result.output


def test_a_token_that_no_mailer_takes_is_a_warning(relay):
    mailers = {"relay": {"OPTIONS": {"host": relay.host, "port": relay.port}}}
    result = eager("--json", MAILERS=mailers, EMAIL_HOST_USER="me", MAILWORKER_OAUTH_TOKEN="shop.oauth:token")
    assert any(level == "warning" and "no mailer takes it" in text for level, text in findings(result, "relay"))


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


def test_a_list_of_those_who_want_no_bulk_mail_is_looked_at_where_there_is_one(tmp_path):
    dummy = {"EMAIL_DELIVERY_BACKEND": DUMMY, "MAILWORKER_BROKER_URL": "redis://127.0.0.1:1/0"}
    assert findings(check("--json", **dummy), "suppression") == []
    path = tmp_path / "gone.txt"
    result = check("--json", MAILWORKER_SUPPRESSION=str(path), **dummy)
    assert findings(result, "suppression") == [
        ("error", f"the suppression list {path} cannot be read (No such file or directory)")
    ]
    path.write_text("ann@example.com\n")
    result = check("--json", MAILWORKER_SUPPRESSION=str(path), **dummy)
    assert findings(result, "suppression") == [("ok", f"{path} tells who gets no bulk mail")]


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


def test_a_spool_that_refuses_is_an_error_that_does_not_show_its_password(relay):
    url = f"redis://:hidden@127.0.0.1:{free_port()}/0"
    result = check("--json", MAILWORKER_SPOOL_URL=url, MAILWORKER_BROKER_URL=url, **at(relay))
    assert result.exit_code == 1
    ((level, text),) = findings(result, "spool")
    assert (level, "connection refused" in text) == ("error", True)
    assert "hidden" not in result.output
    assert findings(result, "relay")[0][0] == "ok"


def test_limits_without_a_spool_are_an_error_that_names_the_mailer():
    mailers = {"news": {"BACKEND": DUMMY, "OPTIONS": {"rate": "14/s"}}}
    url = f"redis://127.0.0.1:{free_port()}/0"
    result = check("--json", MAILERS=mailers, MAILWORKER_SPOOL_URL="", MAILWORKER_BROKER_URL=url)
    assert result.exit_code == 1
    ((level, text),) = findings(result, "spool")
    assert (level, text.partition(" has ")[0]) == ("error", "MAILERS['news']")


@pytest.mark.integration
def test_where_there_is_no_spool_it_says_what_is_missing_without_it(redis, relay):
    result = check("--json", MAILWORKER_SPOOL_URL="", MAILWORKER_BROKER_URL=redis.url, **at(relay))
    assert result.exit_code == 0
    assert [level for level, _ in findings(result, "spool")] == ["notice"]


def test_what_the_projects_app_sets_in_code_is_what_is_looked_over(tmp_path, monkeypatch, relay):
    (tmp_path / "code_project.py").write_text(
        "import mailworker\nfrom celery import Celery\n"
        "app = Celery('code', set_as_current=False)\n"
        f"mailworker.configure(MAILWORKER_NAMESPACE='in-code', EMAIL_HOST={relay.host!r}, EMAIL_PORT={relay.port})\n"
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "code_project", raising=False)
    try:
        result = eager("--json", MAILWORKER_CELERY_APP="code_project:app")
    finally:
        settings.reset()
    shown = json.loads(result.output)
    assert shown["settings"]["MAILWORKER_NAMESPACE"]["value"] == "in-code"
    assert findings(result, "settings")[0][1].endswith("namespace in-code")
    assert findings(result, "relay")[0][0] == "ok", "the relay of the environment is not there"


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
