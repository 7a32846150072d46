"""The rows for `mailworker check` and the README's table."""

from __future__ import annotations

import re

from mailworker.settings import Settings, describe, markdown_table
from mailworker.settings.model import RULES


def test_there_is_a_row_for_each_setting_with_its_value_its_source_and_a_sentence(monkeypatch):
    monkeypatch.setenv("EMAIL_URL", "smtp://jane:hunter2@host:587/?tls=1")
    rows = {row.name: row for row in describe(Settings(MAILWORKER_RETRY_SCHEDULE=[1, 2.5], EMAIL_SUBJECT_PREFIX="x "))}
    assert list(rows) == list(Settings.model_fields)
    shown = {name: (row.value, row.source) for name, row in rows.items()}
    assert shown["EMAIL_URL"] == ("smtp://jane:**********@host:587/?tls=1", "the environment")
    assert shown["EMAIL_HOST"] == ("host", "EMAIL_URL in the environment")
    assert shown["EMAIL_HOST_PASSWORD"] == ("**********", "EMAIL_URL in the environment")
    assert shown["EMAIL_USE_TLS"] == ("true", "EMAIL_URL in the environment")
    assert shown["EMAIL_SUBJECT_PREFIX"] == ('"x "', "configure()")
    assert shown["EMAIL_TIMEOUT"] == ("60 s", "default")
    assert shown["MAILWORKER_RETRY_SCHEDULE"] == ("1,2.5 s", "configure()")
    assert shown["MAILWORKER_MAX_ATTEMPTS"] == ("not set", "default")
    assert shown["MAILWORKER_RETRY_JITTER"] == ("0.2", "default")


def test_every_kind_of_value_is_shown():
    rows = {
        row.name: row.value
        for row in describe(
            Settings(
                ADMINS=["Jané <jane@example.com>", "joe@example.com"],
                MAILWORKER_ENCRYPTION_KEYS=["A" * 43 + "="] * 2,
                MAILWORKER_SPOOL_URL="",
                MAILERS={"bulk": {}},
                EMAIL_SSL_CERTFILE="/c.pem",
            )
        )
    }
    assert rows["ADMINS"] == '"Jané" <jane@example.com>, joe@example.com'
    assert rows["MAILWORKER_ENCRYPTION_KEYS"] == "**********,**********"
    assert rows["MAILWORKER_SPOOL_URL"] == "empty"
    assert rows["MAILERS"] == "bulk: mailworker.mail.backends.smtp.EmailBackend"
    assert rows["EMAIL_SSL_CERTFILE"] == "/c.pem"
    assert rows["MANAGERS"] == rows["EMAIL_HOST_PASSWORD"] == "not set"


def test_each_description_is_one_sentence_that_fits_into_a_table():
    for name, info in Settings.model_fields.items():
        assert re.fullmatch(r"[A-Z](?:[^|\n.]|\.(?! |$)|`[^`|]*`)*\.", info.description or ""), name


def test_the_readme_table_has_a_line_for_each_setting_and_depends_on_no_source(monkeypatch):
    table = markdown_table()
    monkeypatch.setenv("EMAIL_HOST", "elsewhere")
    assert markdown_table() == table
    lines = table.rstrip("\n").split("\n")
    assert [line.split("`")[1] for line in lines[2:]] == list(RULES)
    assert all(line.count("|") == 4 for line in lines)
    assert "| `EMAIL_HOST` | `localhost` | Host name or IP address of the relay. |" in lines


def test_defaults_that_are_told_in_words_name_the_value():
    lines = {line.split("`")[1]: line for line in markdown_table().split("\n")[2:] if line}
    for name in ("MAILWORKER_MAX_MESSAGE_SIZE", "MAILWORKER_RETENTION", "MAILWORKER_GIVE_UP_AFTER"):
        assert f"`{RULES[name].show(Settings.model_fields[name].default)}`" in lines[name]
    assert Settings().broker_url() in lines["MAILWORKER_BROKER_URL"]
