"""Links by which a recipient gets no more mail: who made a token, and what becomes of one that was changed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker import settings
from mailworker.errors import BadToken, ConfigurationError
from mailworker.mail.unsubscribe import Unsubscribe, is_one_click, token, verify

OLD, NEW, FOREIGN = "old key 89abcdef", "new key 89abcdef", "foreign key 89ab"
URL = "https://example.com/{token}"


def keys(*found: str) -> Any:
    return settings.override(MAILWORKER_UNSUBSCRIBE_URL=URL, MAILWORKER_UNSUBSCRIBE_KEYS=list(found))


@given(address=st.text(max_size=300), bulk=st.text(max_size=300))
def test_a_token_says_what_was_signed_and_stands_in_a_url_as_it_is(address: str, bulk: str) -> None:
    with keys(NEW):
        made = token(address, bulk)
        assert verify(made) == Unsubscribe(address, bulk)
    assert set(made) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_a_token_that_was_changed_anywhere_or_cut_is_refused() -> None:
    with keys(NEW):
        made = token("ann@example.com", "march")
        wrong = [
            made[:at] + other + made[at + 1 :] for at in range(len(made)) for other in "Aa0_-.=!" if made[at] != other
        ]
        # The last character of base64 has bits that say nothing: each of its 64 neighbours.
        wrong += [
            made[:-1] + other
            for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
            if other != made[-1]
        ]
        wrong += [made[:at] for at in range(len(made))] + [made[at:] for at in range(1, len(made))]
        wrong += [made + more for more in ("=", "A", ".", " ", "\n", "!")] + [
            f" {made}",
            made.upper(),
            "",
            ".",
            "ä",
            "a.b",
            "x" * 10**6,
        ]
        for each in wrong:
            with pytest.raises(BadToken) as caught:
                verify(each)
            assert not each.strip(" .=!") or len(each) < 4 or each not in str(caught.value)
        for nothing in (None, 7, made.encode(), ["a"]):
            with pytest.raises(BadToken):
                verify(nothing)  # type: ignore[arg-type]


def test_a_token_of_another_key_is_refused_and_one_of_an_old_key_while_that_is_listed() -> None:
    with keys(FOREIGN):
        foreign = token("ann@example.com")
    with keys(OLD):
        old = token("ann@example.com")
    with keys(NEW, OLD):
        assert verify(old) == ("ann@example.com", "")
        new = token("ann@example.com")
        with pytest.raises(BadToken, match="MAILWORKER_UNSUBSCRIBE_KEYS"):
            verify(foreign)
    with keys(NEW):
        assert verify(new) == ("ann@example.com", "")
        with pytest.raises(BadToken):
            verify(old)


def test_what_the_same_key_signs_elsewhere_is_no_token() -> None:
    from itsdangerous import URLSafeSerializer

    with keys(NEW), pytest.raises(BadToken):
        verify(str(URLSafeSerializer(NEW).dumps(["ann@example.com", ""])))


def test_without_a_key_there_is_no_token() -> None:
    for ask in (token, verify):
        with pytest.raises(ConfigurationError, match="MAILWORKER_UNSUBSCRIBE_KEYS is empty"):
            ask("ann@example.com")


def test_one_click_is_told_by_the_body_of_the_request() -> None:
    assert is_one_click({"List-Unsubscribe": "One-Click"})
    assert is_one_click({"List-Unsubscribe": ["One-Click"]})
    assert not is_one_click({})
    assert not is_one_click({"List-Unsubscribe": "no"})
