"""MAILWORKER_UNSUBSCRIBE_URL and MAILWORKER_UNSUBSCRIBE_KEYS."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from mailworker.errors import ConfigurationError
from mailworker.settings import Settings

KEYS = ["0123456789abcdef", "fedcba9876543210"]


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/unsubscribe/{token}",
        "https://example.com:8443/?who={token}&why=mail",
        "http://localhost:8000/{token}",
        "http://127.0.0.1/{token}",
        "http://[::1]:8000/{token}",
    ],
)
def test_a_link_is_an_https_url_with_one_place_for_the_token(url):
    settings = Settings(MAILWORKER_UNSUBSCRIBE_URL=url, MAILWORKER_UNSUBSCRIBE_KEYS=",".join(KEYS))
    assert url == settings.MAILWORKER_UNSUBSCRIBE_URL
    assert tuple(map(SecretStr, KEYS)) == settings.MAILWORKER_UNSUBSCRIBE_KEYS


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/{token}",
        "http://localhost.example.com/{token}",
        "https://example.com/",
        "https://example.com/{token}/{token}",
        "https://{token}.example.com/",
        "https://example.com/#{token}",
        "https:///{token}",
        "https://example.com:port/{token}",
        "https://[example.com/{token}",
        "https://example.com/> {token}",
        "https://b\u00fccher.example/{token}",
        "mailto:{token}@example.com",
        7,
    ],
)
def test_everything_else_is_refused(url):
    with pytest.raises(ConfigurationError, match=r"must be an https: URL with \{token\} once in its path or query"):
        Settings(MAILWORKER_UNSUBSCRIBE_URL=url, MAILWORKER_UNSUBSCRIBE_KEYS=KEYS)


def test_one_without_the_other_is_told_in_one_sentence():
    with pytest.raises(ConfigurationError) as caught:
        Settings(MAILWORKER_UNSUBSCRIBE_URL="https://example.com/{token}")
    assert str(caught.value) == (
        "MAILWORKER_UNSUBSCRIBE_URL (from configure()) is set, but MAILWORKER_UNSUBSCRIBE_KEYS is not: links by which "
        "recipients unsubscribe need both, so set both or none."
    )
    with pytest.raises(
        ConfigurationError, match=r"^MAILWORKER_UNSUBSCRIBE_KEYS .* but MAILWORKER_UNSUBSCRIBE_URL is not"
    ):
        Settings(MAILWORKER_UNSUBSCRIBE_KEYS=KEYS)


def test_keys_are_told_by_their_places():
    with pytest.raises(ConfigurationError) as caught:
        Settings(
            MAILWORKER_UNSUBSCRIBE_URL="https://example.com/{token}",
            MAILWORKER_UNSUBSCRIBE_KEYS=["hunter2", KEYS[0], 7],
        )
    assert "keys at place 1 and 3" in str(caught.value)
    assert "hunter2" not in str(caught.value)
