"""EMAIL_URL, the broker's and the spool's URL, and that no URL gives a password away."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.transport import TRANSPORT_ALIASES
from kombu.utils.url import parse_url
from pydantic import SecretStr

from mailworker.settings import SMTP_BACKEND, Settings, backend_path, override, safe_url
from mailworker.settings.rule import BadValue
from mailworker.settings.url import BROKER_SCHEMES, parse_email_url

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "host", "port", "starttls", "implicit"),
    [
        ("smtp://relay.example.com", "relay.example.com", 25, False, False),
        ("smtp://relay.example.com/", "relay.example.com", 25, False, False),
        ("smtp://relay.example.com:2525", "relay.example.com", 2525, False, False),
        ("SMTP://Relay.Example.com?TLS=1", "relay.example.com", 587, True, False),
        ("smtp://relay.example.com:587/?tls=true", "relay.example.com", 587, True, False),
        ("smtp://relay.example.com:2525/?tls=0", "relay.example.com", 2525, False, False),
        ("smtp+tls://relay.example.com", "relay.example.com", 587, True, False),
        ("smtps://relay.example.com", "relay.example.com", 465, False, True),
        ("smtps://relay.example.com:4650", "relay.example.com", 4650, False, True),
        ("smtp://relay.example.com?ssl=1", "relay.example.com", 465, False, True),
        ("smtp://[::1]:1025", "::1", 1025, False, False),
    ],
)
def test_the_url_of_a_server_says_all_about_host_port_and_tls(url, host, port, starttls, implicit):
    settings = Settings(EMAIL_URL=url)
    assert (host, port) == (settings.EMAIL_HOST, settings.EMAIL_PORT)
    assert (starttls, implicit) == (settings.EMAIL_USE_TLS, settings.EMAIL_USE_SSL)
    assert settings.mailer("relay").backend == SMTP_BACKEND
    assert settings.mailer("default").is_queue


def test_user_and_password_are_percent_decoded_and_parameters_read():
    url = "smtp://jane%40example.com:p%3A%2F%3F%23%40w%25+@h/?timeout=5&certfile=/c%20c.pem&keyfile=/k.pem"
    settings = Settings(EMAIL_URL=url)
    assert settings.EMAIL_HOST_USER == "jane@example.com"
    assert settings.EMAIL_HOST_PASSWORD.get_secret_value() == "p:/?#@w%+"
    assert settings.EMAIL_TIMEOUT == 5
    assert (Path("/c c.pem"), Path("/k.pem")) == (settings.EMAIL_SSL_CERTFILE, settings.EMAIL_SSL_KEYFILE)
    assert settings.origin("EMAIL_HOST_USER") == "EMAIL_URL in configure()"


@pytest.mark.parametrize("name", ["console", "locmem", "dummy"])
def test_a_local_url_names_what_the_worker_delivers_with_and_leaves_the_queue_in_front(name):
    for url in (f"{name}:", f"{name}://", f"{name}:///"):
        settings = Settings(EMAIL_URL=url)
        assert settings.mailer("relay").backend == backend_path(name)
        assert settings.mailer("default").is_queue


@pytest.mark.parametrize(
    ("url", "path"), [("file:///var/mail%20out", "/var/mail out"), ("file:/x", "/x"), ("file:mails", "mails")]
)
def test_a_file_url_names_the_file_backend_and_its_folder(url, path):
    settings = Settings(EMAIL_URL=url)
    assert settings.mailer("relay").backend == backend_path("filebased")
    assert Path(path) == settings.EMAIL_FILE_PATH


def test_an_explicit_name_beside_the_url_wins(monkeypatch, dotenv):
    monkeypatch.setenv("EMAIL_URL", "smtp://u:p@relay.example.com:587/?tls=1")
    monkeypatch.setenv("EMAIL_HOST_PASSWORD", "explicit")
    monkeypatch.setenv("EMAIL_PORT", "2525")
    dotenv("EMAIL_HOST=lower", "EMAIL_TIMEOUT=7")
    settings = Settings()
    assert (settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_HOST_USER) == ("relay.example.com", 2525, "u")
    assert settings.EMAIL_HOST_PASSWORD.get_secret_value() == "explicit"
    assert settings.EMAIL_TIMEOUT == 7


def test_a_url_of_an_earlier_source_goes_before_names_of_a_later_one(monkeypatch):
    for name, value in {"EMAIL_HOST": "prod", "EMAIL_PORT": "587", "EMAIL_USE_TLS": "1"}.items():
        monkeypatch.setenv(name, value)
    with override(EMAIL_URL="smtp://127.0.0.1:1025") as settings:
        assert (settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS) == ("127.0.0.1", 1025, False)
        with override(EMAIL_HOST="inner") as inner:
            assert (inner.EMAIL_HOST, inner.EMAIL_PORT) == ("inner", 1025)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (
            "relay.example.com",
            "begins with an unknown scheme, but must name a way to deliver: known are console, dummy, file",
        ),
        ("imap://relay.example.com", "begins with an unknown scheme"),
        ("smtp:", "cannot be read as smtp://user:password@host:port"),
        ("smtp://", "cannot be read as smtp://user:password@host:port"),
        (f"smtp://u:{SECRET}/x@relay.example.com", "has a host or port that cannot be read: percent-encode"),
        (f"smtp://u:{SECRET}?x@relay.example.com", "percent-encode"),
        (f"smtp://u:{SECRET}#x@relay.example.com", "percent-encode"),
        (
            f"smtp://u:12?{SECRET}@relay.example.com",
            "has an unknown parameter behind its question mark: known are tls, ssl",
        ),
        (f"smtp://u:12/{SECRET}@relay.example.com", "percent-encode"),
        (f"smtp://u:12#{SECRET}@relay.example.com", "percent-encode"),
        (f"smtp://u:{SECRET}@relay.example.com:x", "has a host or port that cannot be read"),
        (f"smtp://u:{SECRET}@relay.example.com:0", "has the port 0"),
        (f"smtp://u:{SECRET}@relay.example.com:70000", "has a host or port that cannot be read"),
        (f"smtp://u:{SECRET}@[relay", "has a host or port that cannot be read"),
        (f"smtp://u:{SECRET}@[::1]x", "has a host or port that cannot be read"),
        (f"smtp://u:{SECRET}@a,b", "has no proper host name"),
        (f"smtp://u:{SECRET}@relay.example.com/path", "cannot be read as"),
        (
            f"smtp://u:{SECRET}@relay.example.com?tsl=1",
            "has an unknown parameter behind its question mark: known are tls",
        ),
        (
            f"smtp://u:{SECRET}@relay.example.com?tls=2",
            "has a parameter tls that is neither true nor false: write tls=1",
        ),
        (f"smtp://u:{SECRET}@relay.example.com?tls=1&tls=0", "has the parameter tls twice"),
        (f"smtps://u:{SECRET}@relay.example.com:587", "write smtp://...:587/?tls=1"),
        (f"smtp://u:{SECRET} x@relay.example.com", "has a value that is not shown here, but must be a URL such as"),
        ("file:", "needs a path behind file: with three slashes: write file:///var/mail/out"),
        ("file:///", "needs a path behind file:"),
        ("file://mails/x", "needs a path behind file:"),
        ("file:///x?y", "takes nothing behind file: but a path"),
        ("console://x", "takes nothing behind console: write console:"),
        ("dummy:x", "takes nothing behind dummy"),
        ("locmem:?x=1", "takes nothing behind locmem"),
    ],
)
def test_a_bad_relay_url_is_refused_without_repeating_it(refusal, url, sentence):
    said = refusal(EMAIL_URL=url)
    assert said.startswith("EMAIL_URL (from configure()) ")
    assert sentence in said
    assert SECRET not in said


def test_a_bad_parameter_of_the_url_is_reported_as_from_the_url(refusal):
    said = refusal(EMAIL_URL="smtp://h?timeout=soon")
    assert said.startswith("EMAIL_TIMEOUT (from EMAIL_URL in configure()) is 'soon', but must be a number of seconds")


def test_both_kinds_of_tls_in_one_url_are_refused(refusal):
    assert "are both true" in refusal(EMAIL_URL="smtps://h?tls=1")


def test_every_transport_of_kombu_is_known():
    assert {scheme.lower() for scheme in TRANSPORT_ALIASES} == BROKER_SCHEMES


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://localhost",
        "redis://:p%2Fw@h:6379/3",
        "rediss://u:p@h:6380/0?ssl_cert_reqs=required",
        "redis+socket:///run/redis.sock?virtual_host=1",
        "sentinel://a:26379;sentinel://b:26379/0",
        "amqp://guest:guest@127.0.0.1:5672//",
        "amqps://u:p@h/vhost",
        "amqp://u:p@a//;amqp://u:p@b//",
        "memory://",
        "filesystem://",
        "SQS://key:secret@",
        "sqla+postgresql://u:p@h/db",
        "azurestoragequeues://:a/b@c@account",
    ],
)
def test_any_url_that_kombu_speaks_is_a_broker(url):
    settings = Settings(MAILWORKER_BROKER_URL=url)
    assert settings.broker_url() == url
    assert isinstance(settings.MAILWORKER_BROKER_URL, SecretStr)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (f"redis://:{SECRET}/x@h:6379/0", "has a host or port that cannot be read: percent-encode"),
        (f"redis://:12/{SECRET}@h:6379/0", "cannot be read as redis://user:password@host:port/...: percent-encode"),
        (f"amqp://u:12#{SECRET}@h", "cannot be read as amqp://"),
        (f"amqp://u:12?{SECRET}@h", "cannot be read as amqp://"),
        (f"redis://:{SECRET}@h:port/0", "has a host or port that cannot be read"),
        (f"redis://:{SECRET}@h/zero", "must end in a database number: write redis://host:6379/0"),
        (
            f"reddis://:{SECRET}@h/0",
            "begins with 'reddis', but must name a broker that Celery speaks: did you mean redis?",
        ),
        (f"{SECRET}://h", "begins with an unknown scheme, but must name a broker that Celery speaks: known are amqp"),
        ("proj.transport.Transport://host", "begins with an unknown scheme, but must name a broker"),
        (f"h:6379/{SECRET}", "has a value that is not shown here, but must be a broker URL such as redis://"),
        (f"redis://:{SECRET}@h/0\n", "has a value that is not shown here, but must be a broker URL"),
        (f"amqp://u:{SECRET}@a//;http://u:{SECRET}@b//", "begins with an unknown scheme"),
        ("", "has a value that is not shown here"),
    ],
)
def test_a_bad_broker_url_is_refused_with_its_password_hidden(refusal, url, sentence):
    said = refusal(MAILWORKER_BROKER_URL=url)
    assert said.startswith("MAILWORKER_BROKER_URL (from configure()) ")
    assert sentence in said
    assert SECRET not in said


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        (f"redis://:{SECRET}@h:6379/0", "redis://:**********@h:6379/0"),
        (f"redis://{SECRET}@h:6379/0", "redis://**********@h:6379/0"),
        (f"amqp://u:a@{SECRET}@h:5672//", "amqp://u:**********@h:5672//"),
        (f"amqp://u:{SECRET}@a//;amqp://u:{SECRET}@b//", "amqp://u:**********@a//;amqp://u:**********@b//"),
        (f"amqp://u:x;{SECRET}@h//", "amqp://u:**********@h//"),
        (f"rediss://h?password={SECRET}&ssl_cert_reqs=none", "rediss://h?password=**********&ssl_cert_reqs=none"),
        (f"rediss://h?ssl_password={SECRET}&ssl_keyfile=/k", "rediss://h?ssl_password=**********&ssl_keyfile=/k"),
        (f"sentinel://a:1,b:2/x?sentinel_password={SECRET}", "sentinel://a:1,b:2/x?sentinel_password=**********"),
        (f"redis://u:a,{SECRET}@a:1,b:2/0", "redis://u:**********@a:1,b:2/0"),
        (f"redis://:a/{SECRET}@h", "redis://**********"),
        (f"redis://:1/{SECRET}@h", "redis://**********"),
        (f"redis://:1#{SECRET}@h", "redis://**********"),
        (f"redis://:1#{SECRET}", "redis://**********"),
        (f"redis://:1?{SECRET}@h", "redis://**********"),
        (f"u:{SECRET}@h", "**********"),
        (f"azurestoragequeues://:1/{SECRET}@account", "azurestoragequeues://**********"),
        ("sqla+sqlite:///celery.db", "sqla+sqlite:///celery.db"),
        ("console:", "console:"),
        ("file:///var/mail", "file:///var/mail"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_its_password(url, shown):
    assert safe_url(url) == shown
    assert SECRET not in safe_url(url)


@given(
    user=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=5),
    before=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=5),
    after=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=5),
)
def test_no_password_shows_however_badly_it_is_encoded(user, before, after):
    url = f"redis://{user}:{before}{SECRET}{after}@host:6379/0"
    assert SECRET not in safe_url(url)
    said = ""
    try:
        parse_email_url(url.replace("redis", "smtp"))
    except BadValue as problem:
        said = str(problem)
    assert SECRET not in said


@given(user=st.text(min_size=1, max_size=8), password=st.text(min_size=1, max_size=8))
def test_what_is_percent_encoded_comes_out_as_it_went_in(user, password):
    names = parse_email_url(f"smtp://{quote(user, safe='')}:{quote(password, safe='')}@host:587")
    assert names["EMAIL_HOST_USER"] == user
    assert names["EMAIL_HOST_PASSWORD"].get_secret_value() == password


def test_kombu_reads_the_accepted_server_urls_as_they_were_meant():
    read = parse_url(Settings(MAILWORKER_BROKER_URL="redis://u:p%2F%40w@h:6380/3").broker_url())
    assert (read["hostname"], read["port"], read["userid"], read["password"], read["virtual_host"]) == (
        "h",
        6380,
        "u",
        "p/@w",
        "3",
    )
