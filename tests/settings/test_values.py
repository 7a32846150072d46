"""What each setting accepts, and the sentence for what it does not."""

from __future__ import annotations

import base64
import codecs
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from mailworker.errors import ConfigurationError
from mailworker.settings import QUEUE_BACKEND, SMTP_BACKEND, Contact, Settings
from mailworker.settings.model import RULES
from mailworker.settings.number import Schedule, Seconds, Whole
from mailworker.settings.rule import BadValue, mask_addresses

DEFAULTS: dict[str, Any] = {
    "EMAIL_BACKEND": QUEUE_BACKEND,
    "EMAIL_DELIVERY_BACKEND": SMTP_BACKEND,
    "EMAIL_URL": None,
    "EMAIL_HOST": "localhost",
    "EMAIL_PORT": 25,
    "EMAIL_HOST_USER": "",
    "EMAIL_HOST_PASSWORD": SecretStr(""),
    "MAILWORKER_OAUTH_TOKEN": None,
    "EMAIL_USE_TLS": False,
    "EMAIL_USE_SSL": False,
    "EMAIL_SSL_CERTFILE": None,
    "EMAIL_SSL_KEYFILE": None,
    "EMAIL_TIMEOUT": 60,
    "EMAIL_FILE_PATH": None,
    "EMAIL_USE_LOCALTIME": False,
    "EMAIL_SUBJECT_PREFIX": "[mailworker] ",
    "DEFAULT_FROM_EMAIL": "webmaster@localhost",
    "SERVER_EMAIL": "root@localhost",
    "DEFAULT_CHARSET": "utf-8",
    "ADMINS": (),
    "MANAGERS": (),
    "MAILERS": {},
    "MAILWORKER_TEMPLATES": ("templates",),
    "MAILWORKER_TEMPLATE_ENGINE": None,
    "MAILWORKER_TEMPLATE_SETUP": None,
    "MAILWORKER_INLINE_CSS": False,
    "MAILWORKER_SUPPRESSION": None,
    "MAILWORKER_BROKER_URL": SecretStr("redis://127.0.0.1:6379/0"),
    "MAILWORKER_SPOOL_URL": None,
    "MAILWORKER_WAIT_REPLICAS": 0,
    "MAILWORKER_NAMESPACE": "mailworker",
    "MAILWORKER_CELERY_APP": None,
    "MAILWORKER_TASK_ALWAYS_EAGER": False,
    "MAILWORKER_ENQUEUE_TIMEOUT": 2,
    "MAILWORKER_ON_COMMIT": True,
    "MAILWORKER_ON_COMMIT_USING": "default",
    "MAILWORKER_ON_COMMIT_FAILURE": "log",
    "MAILWORKER_ENCRYPTION_KEYS": (),
    "MAILWORKER_MAX_MESSAGE_SIZE": 25 * 1024 * 1024,
    "MAILWORKER_UNSUBSCRIBE_URL": None,
    "MAILWORKER_UNSUBSCRIBE_KEYS": (),
    "MAILWORKER_RETENTION": 7 * 24 * 3600,
    "MAILWORKER_BATCH_SIZE": 50,
    "MAILWORKER_LEASE": 60,
    "MAILWORKER_RETRY_SCHEDULE": (60, 300, 900, 1800, 3600, 7200),
    "MAILWORKER_RETRY_JITTER": 0.2,
    "MAILWORKER_GIVE_UP_AFTER": 86400,
    "MAILWORKER_MAX_ATTEMPTS": None,
    "MAILWORKER_IN_DOUBT_RESENDS": 1,
    "MAILWORKER_RELAY_BACKOFF": (5, 15, 30, 60, 120, 300),
    "MAILWORKER_TRANSACTION_TIMEOUT": 300,
    "MAILWORKER_FINAL_REPLY_TIMEOUT": 600,
    "MAILWORKER_IDLE_TIMEOUT": 9,
}

KEYS = [base64.urlsafe_b64encode(bytes([byte]) * 32).decode() for byte in (0x2A, 0xFB)]


def test_with_nothing_set_every_setting_has_its_documented_default():
    settings = Settings()
    assert {name: getattr(settings, name) for name in Settings.model_fields} == DEFAULTS


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("EMAIL_BACKEND", "proj.mail.Backend", "proj.mail.Backend"),
        ("EMAIL_DELIVERY_BACKEND", "anymail.backends.mailgun.EmailBackend", "anymail.backends.mailgun.EmailBackend"),
        ("EMAIL_HOST", "smtp.example.com", "smtp.example.com"),
        ("EMAIL_HOST", "::1", "::1"),
        ("EMAIL_HOST", "[2001:db8::25]", "2001:db8::25"),
        ("EMAIL_PORT", " 587 ", 587),
        ("EMAIL_HOST_USER", "jané", "jané"),
        ("EMAIL_HOST_PASSWORD", "p w,=", SecretStr("p w,=")),
        ("EMAIL_USE_TLS", "True", True),
        ("EMAIL_USE_TLS", "on", True),
        ("EMAIL_USE_TLS", "0", False),
        ("EMAIL_USE_SSL", "yes", True),
        ("EMAIL_SSL_CERTFILE", "/c.pem", Path("/c.pem")),
        ("EMAIL_TIMEOUT", "2.5", 2.5),
        ("EMAIL_FILE_PATH", "mails", Path("mails")),
        ("EMAIL_USE_LOCALTIME", "t", True),
        ("EMAIL_SUBJECT_PREFIX", "[shop] ", "[shop] "),
        ("EMAIL_SUBJECT_PREFIX", "", ""),
        ("DEFAULT_FROM_EMAIL", "Shop <shop@example.com>", "Shop <shop@example.com>"),
        ("DEFAULT_CHARSET", "iso-8859-1", "iso-8859-1"),
        ("ADMINS", "a@example.com", (Contact("", "a@example.com"),)),
        (
            "ADMINS",
            'Jane <jane@example.com>, "Doe, Joe" <joe@example.com>,x@y',
            (Contact("Jane", "jane@example.com"), Contact("Doe, Joe", "joe@example.com"), Contact("", "x@y")),
        ),
        ("ADMINS", '"Q \\"D\\" R" <q@x>, ,"o.p"@y,', (Contact('Q "D" R', "q@x"), Contact("", '"o.p"@y'))),
        ("ADMINS", "a@[IPv6:::1], <b@x>", (Contact("", "a@[IPv6:::1]"), Contact("", "b@x"))),
        ("MANAGERS", "", ()),
        ("MAILWORKER_NAMESPACE", "shop-1.eu_x", "shop-1.eu_x"),
        ("MAILWORKER_CELERY_APP", "proj.celery:app", "proj.celery:app"),
        ("MAILWORKER_TASK_ALWAYS_EAGER", "1", True),
        ("MAILWORKER_ENQUEUE_TIMEOUT", "0.5", 0.5),
        ("MAILWORKER_ON_COMMIT", "off", False),
        ("MAILWORKER_ON_COMMIT_USING", "mail", "mail"),
        ("MAILWORKER_ON_COMMIT_FAILURE", "Raise", "raise"),
        ("MAILWORKER_ENCRYPTION_KEYS", ", ".join(KEYS), tuple(map(SecretStr, KEYS))),
        ("MAILWORKER_RETRY_SCHEDULE", "1, 2.5,3", (1.0, 2.5, 3.0)),
        ("MAILWORKER_RETRY_SCHEDULE", "60", (60.0,)),
        ("MAILWORKER_RETRY_JITTER", "0", 0.0),
        ("MAILWORKER_MAX_ATTEMPTS", "3", 3),
        ("MAILWORKER_WAIT_REPLICAS", "2", 2),
        ("MAILWORKER_SPOOL_URL", "", SecretStr("")),
        ("MAILWORKER_SPOOL_URL", "unix:///run/redis.sock", SecretStr("unix:///run/redis.sock")),
    ],
)
def test_text_from_the_environment_becomes_the_typed_value(monkeypatch, name, text, value):
    monkeypatch.setenv(name, text)
    assert getattr(Settings(), name) == value


@pytest.mark.parametrize(
    ("name", "given_value", "value"),
    [
        ("EMAIL_TIMEOUT", timedelta(minutes=1, milliseconds=500), 60.5),
        ("EMAIL_TIMEOUT", 7, 7.0),
        ("MAILWORKER_RETENTION", timedelta(days=30), 30 * 86400.0),
        ("MAILWORKER_GIVE_UP_AFTER", timedelta(hours=2), 7200.0),
        ("MAILWORKER_RETRY_SCHEDULE", [timedelta(minutes=1), 90, "120"], (60.0, 90.0, 120.0)),
        ("MAILWORKER_RELAY_BACKOFF", timedelta(seconds=3), (3.0,)),
        ("MAILWORKER_RELAY_BACKOFF", 4, (4.0,)),
        ("ADMINS", [("Jane", "jane@example.com"), "joe@example.com", ["Max", "m@x"]], "Jane joe Max"),
        ("ADMINS", ["Jane <jane@example.com>"], "Jane"),
        ("EMAIL_FILE_PATH", Path("/x"), Path("/x")),
        ("MAILWORKER_SUPPRESSION", Path("/x"), "/x"),
        ("MAILWORKER_SUPPRESSION", str.isupper, str.isupper),
        ("EMAIL_HOST_PASSWORD", SecretStr("pw"), SecretStr("pw")),
        ("MAILWORKER_ENCRYPTION_KEYS", [KEYS[0].encode(), SecretStr(KEYS[1])], tuple(map(SecretStr, KEYS))),
        ("MAILWORKER_MAX_ATTEMPTS", None, None),
    ],
)
def test_values_from_python_may_be_python_objects(name, given_value, value):
    found = getattr(Settings(**{name: given_value}), name)
    if name == "ADMINS":
        found = " ".join(person.name or person.address.partition("@")[0] for person in found)
    assert found == value


BAD = [
    ("EMAIL_BACKEND", "queue", "is 'queue', but must be the dotted path of a backend class"),
    ("EMAIL_BACKEND", "a..b", "is 'a..b', but must be the dotted path"),
    ("EMAIL_BACKEND", "mailworker.mail.backends.smpt.EmailBackend", f"does not have: did you mean {SMTP_BACKEND}?"),
    ("EMAIL_BACKEND", "mailworker.mail.backends.locmem", "which mailworker does not have: did you mean"),
    (
        "EMAIL_DELIVERY_BACKEND",
        QUEUE_BACKEND,
        f"is the queue itself, but must be what the worker delivers with: write {SMTP_BACKEND}",
    ),
    (
        "EMAIL_HOST",
        "smtp.example.com:587",
        "is 'smtp.example.com:587', but must be a host name or IP address alone; the port goes into EMAIL_PORT",
    ),
    ("EMAIL_HOST", "smtp://example.com", "must be a host name or IP address alone"),
    ("EMAIL_HOST", "a b", "must be a host name"),
    ("EMAIL_HOST", "x" * 254, "must be a host name"),
    ("EMAIL_PORT", "smtp", "is 'smtp', but must be a port number from 1 to 65535: write for instance EMAIL_PORT=587."),
    ("EMAIL_PORT", "65536", "is '65536', but must be a port number from 1 to 65535"),
    ("EMAIL_PORT", "0", "must be a port number"),
    ("EMAIL_PORT", "25.0", "must be a port number"),
    ("EMAIL_HOST_USER", "jane\n", "must be text on one line"),
    (
        "EMAIL_HOST_PASSWORD",
        "s3cret\n",
        "has a value that is not shown here, but must be text on one line (look for a line break at its end)",
    ),
    ("MAILWORKER_OAUTH_TOKEN", "token", "has a value that is not shown here, but must be the path of a function"),
    ("EMAIL_USE_TLS", "maybe", "is 'maybe', but must be true or false: write for instance EMAIL_USE_TLS=true."),
    ("EMAIL_TIMEOUT", "soon", "must be a number of seconds from 0.01 to 3600"),
    ("EMAIL_TIMEOUT", "0", "is '0', but must be a number of seconds"),
    ("EMAIL_TIMEOUT", "nan", "must be a number of seconds"),
    ("EMAIL_TIMEOUT", "inf", "must be a number of seconds"),
    ("EMAIL_USE_LOCALTIME", "2", "must be true or false"),
    ("EMAIL_SUBJECT_PREFIX", "a\r\nBcc: x", "must be text on one line"),
    ("DEFAULT_FROM_EMAIL", "webmaster", "is 'webmaster', but must be one address"),
    ("DEFAULT_FROM_EMAIL", "a@example.com, b@example.com", "must be one address"),
    ("SERVER_EMAIL", "a@example.com\nBcc: b@example.com", "must be one address"),
    ("DEFAULT_CHARSET", "utf-9", "is 'utf-9', but must be the name of a text encoding that Python knows"),
    ("DEFAULT_CHARSET", "base64", "must be the name of a text encoding"),
    ("ADMINS", "Jane", "is 'Jane', but must be addresses separated by commas"),
    ("ADMINS", "Doe, Jane <jane@example.com>", "must be addresses separated by commas"),
    ("ADMINS", "a@example.com b@example.com", "must be addresses"),
    ("ADMINS", "a@b@example.com", "must be addresses"),
    ("ADMINS", "Jane <jane@example.com", "must be addresses"),
    ("ADMINS", "Jane <jane@example.com> x", "must be addresses"),
    ("MANAGERS", "a@example.com\r\nb@example.com", "must be addresses"),
    ("MANAGERS", "a@example.com,\nb@example.com", "must be addresses"),
    ("MAILWORKER_NAMESPACE", "my{shop}", "is 'my{shop}', but must be 1 to 64 letters, digits, dots"),
    ("MAILWORKER_NAMESPACE", "-x", "must be 1 to 64 letters"),
    (
        "MAILWORKER_CELERY_APP",
        "proj.celery",
        "is 'proj.celery', but must be a module and the app in it, with a colon between them: write for instance MAILWORKER_CELERY_APP=proj.celery:app.",
    ),
    ("MAILWORKER_CELERY_APP", "proj.celery:", "must be a module and the app"),
    ("MAILWORKER_TASK_ALWAYS_EAGER", "sometimes", "must be true or false"),
    ("MAILWORKER_ENQUEUE_TIMEOUT", "-1", "must be a number of seconds from 0.01 to 60"),
    ("MAILWORKER_ON_COMMIT", "later", "must be true or false"),
    ("MAILWORKER_ON_COMMIT_USING", "two\nlines", "must be text on one line"),
    ("MAILWORKER_ON_COMMIT_FAILURE", "ignore", "must be 'log' or 'raise'"),
    (
        "MAILWORKER_ENCRYPTION_KEYS",
        f"{KEYS[0]},abc",
        "has a key at place 2 that Fernet does not take: each must be 32 bytes",
    ),
    ("MAILWORKER_ENCRYPTION_KEYS", f"abc,{KEYS[0]},{KEYS[1][:-4]}", "has keys at place 1 and 3 that Fernet"),
    ("MAILWORKER_ENCRYPTION_KEYS", f"{KEYS[0]}!", "has a key at place 1"),
    ("MAILWORKER_UNSUBSCRIBE_URL", "http://example.com/{token}", "but must be an https: URL with {token} once"),
    (
        "MAILWORKER_UNSUBSCRIBE_KEYS",
        f"{KEYS[0]},short",
        "has a key at place 2 that is no text of 16 characters or more",
    ),
    ("MAILWORKER_MAX_MESSAGE_SIZE", "25MB", "is '25MB', but must be a number of bytes from 1024 to 1073741824"),
    ("MAILWORKER_MAX_MESSAGE_SIZE", "25", "must be a number of bytes"),
    ("MAILWORKER_RETENTION", "0", "must be a number of seconds from 1 to"),
    ("MAILWORKER_BATCH_SIZE", "0", "is '0', but must be a whole number from 1 to 1000"),
    ("MAILWORKER_LEASE", "0.5", "must be a number of seconds from 1 to 86400"),
    (
        "MAILWORKER_RETRY_SCHEDULE",
        "60,soon",
        "is '60,soon', but must be one or more numbers of seconds from 0.1 to 2592000, separated by commas",
    ),
    ("MAILWORKER_RETRY_SCHEDULE", "60,-1", "must be one or more numbers of seconds"),
    ("MAILWORKER_RETRY_SCHEDULE", ",", "must be one or more numbers of seconds"),
    ("MAILWORKER_RETRY_JITTER", "1.5", "is '1.5', but must be a number from 0 to 1"),
    ("MAILWORKER_GIVE_UP_AFTER", "never", "must be a number of seconds"),
    ("MAILWORKER_MAX_ATTEMPTS", "0", "must be a whole number from 1 to 1000"),
    ("MAILWORKER_IN_DOUBT_RESENDS", "-1", "must be a whole number from 0 to 100"),
    ("MAILWORKER_RELAY_BACKOFF", "x", "must be one or more numbers of seconds"),
    ("MAILWORKER_TRANSACTION_TIMEOUT", "0", "must be a number of seconds"),
    ("MAILWORKER_FINAL_REPLY_TIMEOUT", "9999", "must be a number of seconds from 0.1 to 3600"),
    ("MAILWORKER_IDLE_TIMEOUT", "0", "must be a number of seconds"),
    ("EMAIL_URL", "smpt://host", "begins with 'smpt', but must name a way to deliver: did you mean smtp?"),
    ("MAILWORKER_BROKER_URL", "rediss:/x", "has a value that is not shown here, but must be a broker URL such as"),
    (
        "MAILWORKER_SPOOL_URL",
        "amqp://localhost",
        "begins with an unknown scheme, but must name a Redis; empty means no spool",
    ),
    ("MAILWORKER_WAIT_REPLICAS", "101", "is '101', but must be a whole number from 0 to 100"),
    ("MAILWORKER_TEMPLATES", ",", "must be folders separated by commas, each a path, or package:folder"),
    ("MAILWORKER_TEMPLATE_ENGINE", "jinja", "is 'jinja', but must be jinja2 or django"),
    ("MAILWORKER_TEMPLATE_SETUP", "shop.mail", "is 'shop.mail', but must be a module and the function in it"),
    ("MAILWORKER_INLINE_CSS", "perhaps", "is 'perhaps', but must be"),
    ("MAILERS", "{", "is no JSON (Expecting property name enclosed in double quotes in column 2 of line 1)."),
]


@pytest.mark.parametrize(("name", "text", "sentence"), BAD)
def test_a_bad_value_is_refused_in_one_sentence_that_names_it_and_its_source(
    monkeypatch, refusal, name, text, sentence
):
    monkeypatch.setenv(name, text)
    said = refusal()
    assert said.startswith(f"{name} (from the environment) ")
    assert sentence in said
    assert said.count("\n") == 0
    assert said.endswith((".", "?"))


def test_every_setting_that_can_be_wrong_has_a_bad_value_in_these_tests():
    paths = {"EMAIL_SSL_CERTFILE", "EMAIL_SSL_KEYFILE", "EMAIL_FILE_PATH", "EMAIL_USE_SSL", "MAILWORKER_SUPPRESSION"}
    assert {name for name, *_ in BAD} | paths == set(RULES)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("EMAIL_PORT", True, "is True, but must be a port number"),
        ("EMAIL_PORT", 25.0, "is 25.0, but must be a port number"),
        ("EMAIL_TIMEOUT", True, "is True, but must be a number of seconds"),
        ("EMAIL_TIMEOUT", None, "is None, but must be a number of seconds"),
        ("EMAIL_TIMEOUT", 10**400, "must be a number of seconds"),
        (
            "EMAIL_TIMEOUT",
            timedelta(days=1),
            "must be a number of seconds from 0.01 to 3600 (in Python also a timedelta)",
        ),
        ("EMAIL_USE_TLS", 2, "is 2, but must be true or false"),
        ("EMAIL_USE_SSL", None, "is None, but must be true or false"),
        ("EMAIL_HOST", "", "is '', but must be a host name"),
        ("EMAIL_HOST", b"localhost", "is 9 bytes, but must be a host name"),
        ("EMAIL_FILE_PATH", "", "is '', but must be the path of a folder"),
        ("EMAIL_FILE_PATH", 3, "is 3, but must be the path of a folder"),
        ("MAILWORKER_SUPPRESSION", 3, "is 3, but must be the path of a file, or a module and the function in it"),
        ("EMAIL_SSL_CERTFILE", b"/x", "must be the path of a certificate"),
        ("EMAIL_SSL_KEYFILE", "a\0b", "must be the path of a private key"),
        ("EMAIL_HOST_PASSWORD", None, "has a value that is not shown here, but must be text"),
        ("EMAIL_HOST_PASSWORD", 1234, "has a value that is not shown here, but must be text"),
        ("DEFAULT_CHARSET", None, "is None, but must be the name of a text encoding"),
        ("ADMINS", {"a@example.com": "x"}, "must be addresses separated by commas"),
        ("ADMINS", [("Jane", "jane")], "has ('Jane', 'jane') at place 0, but each entry must be an address or a pair"),
        ("ADMINS", ["a@b", ("x", "y", "z")], "has ('x', 'y', 'z') at place 1, but each entry"),
        ("ADMINS", [3], "has 3 at place 0"),
        ("ADMINS", [("Jane\nBcc: x", "jane@example.com")], "at place 0, but each entry"),
        ("MAILWORKER_RETRY_SCHEDULE", [], "is [], but must be one or more numbers of seconds"),
        ("MAILWORKER_RETRY_SCHEDULE", True, "is True, but must be one or more numbers"),
        ("MAILWORKER_RETRY_SCHEDULE", {"a": 1}, "must be one or more numbers"),
        ("MAILWORKER_ENCRYPTION_KEYS", [7], "has a key at place 1"),
        ("MAILWORKER_ENCRYPTION_KEYS", 7, "has a value that is not shown here, but must be Fernet keys"),
        ("MAILWORKER_BROKER_URL", None, "has a value that is not shown here, but must be a broker URL"),
        (
            "MAILERS",
            [1],
            'has a value that is not shown here, but must be a dict of mailers, alias -> {"BACKEND": path',
        ),
    ],
)
def test_a_bad_value_from_python_is_refused_in_one_sentence(refusal, name, value, sentence):
    said = refusal(**{name: value})
    assert said.startswith(f"{name} (from configure()) ")
    assert sentence in said


def test_all_problems_are_listed_together_and_nothing_of_pydantic_shows(monkeypatch, refusal):
    monkeypatch.setenv("EMAIL_PORT", "x")
    monkeypatch.setenv("MAILWORKER_LEASE", "y")
    monkeypatch.setenv("MAILWORKER_LAESE", "60")
    monkeypatch.setenv("EMAIL_USE_TLS", "1")
    said = refusal(EMAIL_USE_SSL=True)
    first, *lines = said.split("\n")
    assert first == "4 settings are wrong:"
    assert [line.split()[1] for line in lines] == [
        "MAILWORKER_LAESE",
        "EMAIL_PORT",
        "MAILWORKER_LEASE",
        "EMAIL_USE_TLS",
    ]
    assert "pydantic" not in said
    assert "validation" not in said


def test_what_is_raised_is_a_configuration_error_without_an_exception_behind_it():
    with pytest.raises(ConfigurationError) as caught:
        Settings(EMAIL_PORT="x")
    assert isinstance(caught.value, ValueError)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_both_kinds_of_tls_are_refused_with_the_sources_of_both(monkeypatch, refusal):
    monkeypatch.setenv("EMAIL_USE_TLS", "true")
    assert refusal(EMAIL_USE_SSL=True) == (
        "EMAIL_USE_TLS (from the environment) and EMAIL_USE_SSL (from configure()) are both true, but only one of them can "
        "be: keep EMAIL_USE_TLS for STARTTLS (mostly port 587) or EMAIL_USE_SSL for TLS from the first byte (mostly port "
        "465)."
    )


def test_a_key_without_a_certificate_is_refused(refusal):
    assert "EMAIL_SSL_CERTFILE is not" in refusal(EMAIL_SSL_KEYFILE="/k.pem")
    assert Path("/k.pem") == Settings(EMAIL_SSL_KEYFILE="/k.pem", EMAIL_SSL_CERTFILE="/c.pem").EMAIL_SSL_KEYFILE


def test_a_backend_that_writes_files_needs_a_folder(refusal):
    files = "mailworker.mail.backends.filebased.EmailBackend"
    assert "EMAIL_FILE_PATH is not set, but EMAIL_BACKEND (from configure()) writes files" in refusal(
        EMAIL_BACKEND=files
    )
    assert "but EMAIL_DELIVERY_BACKEND" in refusal(EMAIL_DELIVERY_BACKEND=files)
    assert Path("/x") == Settings(EMAIL_DELIVERY_BACKEND=files, EMAIL_FILE_PATH="/x").EMAIL_FILE_PATH


def test_a_contradiction_is_not_reported_of_a_setting_that_is_wrong_anyway(refusal):
    said = refusal(EMAIL_SSL_KEYFILE="/k.pem", EMAIL_SSL_CERTFILE=3)
    assert said.startswith("EMAIL_SSL_CERTFILE (from configure()) is 3")


def test_the_command_that_the_sentence_names_makes_a_key_that_is_taken():
    key = Fernet.generate_key().decode()
    assert (SecretStr(key),) == Settings(MAILWORKER_ENCRYPTION_KEYS=key).MAILWORKER_ENCRYPTION_KEYS


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError):
        Settings().EMAIL_PORT = 26  # type: ignore[misc]  # that is the point


def test_a_setting_takes_its_own_value_again():
    first = Settings(
        ADMINS="Jané <jane@example.com>",
        MAILWORKER_ENCRYPTION_KEYS=",".join(KEYS),
        MAILERS={"x": {"OPTIONS": {"host": "h"}}},
        EMAIL_URL="smtp://u:p@host",
    )
    again = Settings(**{name: getattr(first, name) for name in Settings.model_fields})
    assert all(getattr(again, name) == getattr(first, name) for name in Settings.model_fields)


@given(st.floats() | st.integers() | st.text() | st.timedeltas() | st.none() | st.binary())
def test_a_duration_is_within_its_bounds_or_refused(value):
    for rule in (Seconds(1, 10, "5"), Schedule(1, 10, "5")):
        try:
            found = rule.parse(value)
        except BadValue:
            continue
        assert all(1 <= each <= 10 for each in (found if isinstance(found, tuple) else (found,)))


@given(st.integers() | st.text() | st.floats())
def test_a_whole_number_is_within_its_bounds_or_refused(value):
    try:
        found = Whole(1, 10, "5").parse(value)
    except BadValue:
        return
    assert found in range(1, 11)


@given(st.text(max_size=30))
def test_a_charset_that_is_taken_encodes_text(name):
    try:
        taken = RULES["DEFAULT_CHARSET"].parse(name)
    except BadValue:
        return
    assert isinstance("".encode(taken), bytes)
    assert codecs.lookup(taken)


@given(
    st.lists(
        st.tuples(st.text(st.characters(min_codepoint=32, exclude_characters="\x7f")), st.just("a@example.com")),
        max_size=3,
    )
)
def test_people_that_are_shown_are_read_again_as_the_same_people(people):
    rule = RULES["ADMINS"]
    people = tuple(Contact(name.strip(), address) for name, address in people)
    assert rule.parse(people) == people
    assert rule.parse(", ".join(map(str, people))) == people


@given(st.text(alphabet='ab@<>," \\;\r\n[]()', max_size=25))
def test_any_text_is_people_with_an_address_each_or_refused(text):
    for name in ("ADMINS", "DEFAULT_FROM_EMAIL"):
        try:
            found = RULES[name].parse(text)
        except BadValue:
            continue
        for person in found if name == "ADMINS" else []:
            assert person.address.count("@") == 1
            assert not set(person.address + person.name) & set("\r\n")


def test_a_masked_text_keeps_no_local_part():
    assert mask_addresses("'jane@example.com'") == "'j…@example.com'"
    assert mask_addresses("Jane <jane@example.com>, bob@x") == "Jane <j…@example.com>, b…@x"
