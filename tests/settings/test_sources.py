"""Which source wins, which names are refused, and whose names are left alone."""

from __future__ import annotations

import os
import threading

import pytest

from mailworker.settings import Settings, configure, override


def test_python_goes_before_the_environment_and_that_before_dotenv_and_that_before_defaults(monkeypatch, dotenv):
    assert Settings().EMAIL_HOST == "localhost"
    assert Settings().origin("EMAIL_HOST") == "default"
    dotenv("EMAIL_HOST=from-dotenv")
    assert Settings().EMAIL_HOST == "from-dotenv"
    assert Settings().origin("EMAIL_HOST") == ".env"
    monkeypatch.setenv("EMAIL_HOST", "from-environment")
    assert Settings().EMAIL_HOST == "from-environment"
    assert Settings().origin("EMAIL_HOST") == "the environment"
    assert configure(EMAIL_HOST="from-python").EMAIL_HOST == "from-python"
    assert configure().origin("EMAIL_HOST") == "configure()"
    with override(EMAIL_HOST="from-test") as settings:
        assert settings.EMAIL_HOST == "from-test"
        assert settings.origin("EMAIL_HOST") == "override()"


def test_only_dotenv_of_the_working_directory_is_read(monkeypatch, dotenv, tmp_path):
    dotenv("EMAIL_HOST=from-dotenv")
    below = tmp_path / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert Settings().EMAIL_HOST == "localhost"


@pytest.mark.parametrize("mark", ["pyvenv.cfg", "conda-meta"])
def test_a_virtual_environment_named_dotenv_is_no_dotenv(tmp_path, mark):
    (tmp_path / ".env").mkdir()
    (tmp_path / ".env" / mark).mkdir()
    assert Settings().EMAIL_HOST == "localhost"


def test_any_other_folder_named_dotenv_is_refused(tmp_path, refusal):
    (tmp_path / ".env").mkdir()
    assert refusal().startswith(".env in the working directory is a folder, expected a file with lines NAME=VALUE:")


def test_dotenv_may_be_a_pipe_that_is_written_once(tmp_path):
    os.mkfifo(tmp_path / ".env")
    writer = threading.Thread(target=(tmp_path / ".env").write_text, args=["EMAIL_HOST=from-pipe\n"])
    writer.start()
    assert Settings().EMAIL_HOST == "from-pipe"
    writer.join()


def test_names_in_dotenv_are_filled_in_and_a_byte_order_mark_is_none_of_its_text(monkeypatch, tmp_path):
    monkeypatch.setenv("ZONE", "example.com")
    (tmp_path / ".env").write_text("EMAIL_HOST=relay.${ZONE}\n", encoding="utf-8-sig")
    assert Settings().EMAIL_HOST == "relay.example.com"


def test_a_dotenv_that_is_no_text_is_refused_in_one_sentence(tmp_path, refusal):
    (tmp_path / ".env").write_bytes(b"EMAIL_HOST=\xff\xfe")
    assert refusal() == ".env in the working directory cannot be read: it is not UTF-8; mend it or move it away."


def test_a_line_of_dotenv_that_is_none_is_named(dotenv, refusal):
    dotenv("EMAIL_PORT=26", "", "", 'EMAIL_HOST="unclosed')
    assert refusal() == (
        ".env in the working directory cannot be read in line 4: expected NAME=VALUE, and quotes in pairs."
    )


def test_quotes_comments_and_export_in_dotenv_are_understood(dotenv):
    dotenv("# mail", "export EMAIL_HOST='relay.example.com' # ours", 'EMAIL_SUBJECT_PREFIX="[x] "', "EMAIL_PORT")
    assert (Settings().EMAIL_HOST, Settings().EMAIL_SUBJECT_PREFIX, Settings().EMAIL_PORT) == (
        "relay.example.com",
        "[x] ",
        25,
    )


def test_other_programs_names_are_left_alone_in_the_environment_and_in_dotenv(monkeypatch, dotenv):
    dotenv("DATABASE_URL=postgres://x", "EMAIL_HOSTT=typo", "SECRET_KEY=x", "mailworker_lower=x", "MAILWORKERS=3")
    monkeypatch.setenv("EMAIL_SOMETHING", "x")
    assert Settings().EMAIL_HOST == "localhost"


@pytest.mark.parametrize("where", ["environment", "dotenv"])
def test_an_unknown_name_of_ours_is_refused_with_the_nearest_right_one(monkeypatch, dotenv, refusal, where):
    if where == "environment":
        monkeypatch.setenv("MAILWORKER_BROKER_ULR", "redis://h")
        source = "the environment"
    else:
        dotenv("MAILWORKER_BROKER_ULR=redis://h")
        source = ".env"
    assert refusal() == (
        f"MAILWORKER_BROKER_ULR (from {source}) is no setting of mailworker: did you mean MAILWORKER_BROKER_URL?"
    )


def test_an_unknown_name_that_is_like_none_of_ours_leads_to_the_readme(monkeypatch, refusal):
    monkeypatch.setenv("MAILWORKER_QQQQ", "x")
    assert "MAILWORKER_QQQQ (from the environment) is no setting of mailworker: take it out" in refusal()


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [("EMAIL_HOTS", "EMAIL_HOST"), ("mailworker_lease", "MAILWORKER_LEASE"), ("BROKER_URL", "MAILWORKER_BROKER_URL")],
)
def test_python_may_name_settings_only(refusal, name, suggestion):
    assert (
        refusal(**{name: "x"}) == f"{name} (from configure()) is no setting of mailworker: did you mean {suggestion}?"
    )


@pytest.mark.parametrize(
    "name",
    [
        "MAILWORKER_PORT",
        "MAILWORKER_PORT_8000_TCP",
        "MAILWORKER_PORT_8000_TCP_ADDR",
        "MAILWORKER_PORT_8000_TCP_PROTO",
        "MAILWORKER_SERVICE_HOST",
        "MAILWORKER_SERVICE_PORT",
        "MAILWORKER_SERVICE_PORT_HTTP",
        "MAILWORKER_REDIS_SERVICE_HOST",
        "MAILWORKER_REDIS_SERVICE_PORT_REDIS",
        "MAILWORKER_REDIS_PORT",
        "MAILWORKER_REDIS_PORT_6379_TCP_ADDR",
    ],
)
def test_what_kubernetes_injects_for_a_service_of_our_name_is_left_alone(monkeypatch, name):
    monkeypatch.setenv("MAILWORKER_REDIS_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv(name, "tcp://10.0.0.1:8000")
    assert Settings().EMAIL_HOST == "localhost"


def test_the_names_of_kubernetes_hide_no_typing_error(monkeypatch, refusal):
    monkeypatch.setenv("MAILWORKER_SERVICES", "x")
    monkeypatch.setenv("MAILWORKER_LEASE_SERVICE", "x")
    monkeypatch.setenv("MAILWORKER_BROKER_PORT", "x")  # Kubernetes sets it together with MAILWORKER_BROKER_SERVICE_HOST
    assert refusal().startswith("3 settings are wrong")


@pytest.mark.parametrize(
    "name", ["EMAIL_PORT", "EMAIL_HOST", "EMAIL_URL", "MAILWORKER_BROKER_URL", "MAILERS", "EMAIL_USE_TLS"]
)
def test_an_empty_variable_counts_as_unset_where_empty_means_nothing(monkeypatch, dotenv, name):
    monkeypatch.setenv(name, "")
    dotenv(f"{name}=")
    assert Settings().origin(name) == "default"


def test_an_empty_variable_is_a_value_where_empty_means_something(monkeypatch, dotenv):
    dotenv("EMAIL_HOST_USER=jane", "ADMINS=a@example.com", "EMAIL_SUBJECT_PREFIX=x", "MAILWORKER_SPOOL_URL=redis://h")
    for name in ("EMAIL_HOST_USER", "ADMINS", "EMAIL_SUBJECT_PREFIX", "MAILWORKER_SPOOL_URL"):
        monkeypatch.setenv(name, "")
    settings = Settings()
    assert (settings.EMAIL_HOST_USER, settings.ADMINS, settings.EMAIL_SUBJECT_PREFIX, settings.spool_url()) == (
        "",
        (),
        "",
        None,
    )


def test_redis_url_stands_in_for_the_broker_and_is_not_taken_for_a_setting(monkeypatch, dotenv):
    dotenv("REDIS_URL=redis://from-dotenv:6379/1")
    assert Settings().broker_url() == "redis://from-dotenv:6379/1"
    assert Settings().origin("MAILWORKER_BROKER_URL") == "REDIS_URL in .env"
    monkeypatch.setenv("REDIS_URL", "redis://from-environment:6379/1")
    assert Settings().broker_url() == "redis://from-environment:6379/1"
    assert not Settings().is_set("MAILWORKER_BROKER_URL")
    dotenv("MAILWORKER_BROKER_URL=amqp://rabbit//")
    assert Settings().broker_url() == "amqp://rabbit//"
    assert Settings().is_set("MAILWORKER_BROKER_URL")


def test_a_bad_redis_url_is_named_in_the_sentence(monkeypatch, refusal):
    monkeypatch.setenv("REDIS_URL", "redis://h/zero")
    assert refusal() == (
        "MAILWORKER_BROKER_URL (from REDIS_URL in the environment) must end in a database number: write "
        "redis://host:6379/0, and percent-encode :, /, ?, # and @ in the user name and password (%3A, %2F, %3F, %23, %40)."
    )


def test_djangos_default_backend_in_the_environment_leaves_the_queue_in_place(monkeypatch):
    monkeypatch.setenv("EMAIL_BACKEND", "django.core.mail.backends.smtp.EmailBackend")
    assert Settings().mailer("default").is_queue
    assert not Settings(EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend").mailer("default").is_queue


def test_a_dict_is_taken_whole_from_one_source_and_never_mixed(monkeypatch):
    monkeypatch.setenv("MAILERS", '{"a": {"OPTIONS": {"host": "env", "port": 26}}, "b": {}}')
    settings = Settings(MAILERS={"a": {"OPTIONS": {"host": "python"}}})
    assert dict(settings.mailer("a").options) == {"host": "python"}
    assert "b" not in settings.mailers


def test_a_default_is_not_set_and_a_name_in_a_source_is():
    settings = Settings(EMAIL_HOST="localhost")
    assert settings.is_set("EMAIL_HOST")
    assert not settings.is_set("EMAIL_PORT")
    assert settings.is_relay_set
    assert not Settings().is_relay_set
