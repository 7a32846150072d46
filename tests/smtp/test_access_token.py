"""What a token function may return."""

from __future__ import annotations

import inspect
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.smtp.access_token import MAX_LENGTH, AccessToken, BadToken, checked

NOW = 1_795_000_000.0
SECRET = "ya29.S3cret-Token_x/y+z=="


def test_text_is_a_token_without_an_end():
    assert checked(SECRET, NOW) == AccessToken(SECRET, None)


@pytest.mark.parametrize("expires_at", [None, NOW, NOW - 3600, 1_800_000_000.5])
def test_a_token_may_say_when_it_ends_also_if_that_is_over(expires_at):
    assert checked(AccessToken(SECRET, expires_at), NOW) == AccessToken(SECRET, expires_at)


async def from_a_coroutine():
    return SECRET


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, ["None", "expected the token as str"]),
        (SECRET.encode(), ["type bytes", "AccessToken(token, expires_at)"]),
        ((SECRET, 1_800_000_000), ["type tuple", "AccessToken(token, expires_at)"]),
        ({"access_token": SECRET}, ["type dict"]),
        (AccessToken, ["type type"]),
        ("", ["an empty token"]),
        (f"Bearer {SECRET}", ['"Bearer"', "token alone"]),
        (f"{SECRET}\x01", ["control character"]),
        (f"{SECRET}\x01auth=Bearer other\x01\x01", ["control character"]),
        (f"{SECRET}\r\nMAIL FROM:<eve@example.com>", ["control character"]),
        (f"{SECRET}\n", ["control character"]),
        (f"{SECRET}\0", ["control character"]),
        (f"{SECRET} x", ["a space"]),
        (f"{SECRET}ä", ["beyond ASCII"]),
        (f"{SECRET}\x7f", ["control character"]),
        (SECRET * 400, [f"{len(SECRET) * 400} characters", str(MAX_LENGTH)]),
        (AccessToken(SECRET.encode()), ["a token of type bytes"]),  # type: ignore[arg-type]  # what nobody has typed
        (AccessToken(SECRET, True), ["expires_at of type bool"]),
        (AccessToken(SECRET, "soon"), ["expires_at of type str"]),  # type: ignore[arg-type]  # the same
        (AccessToken(SECRET, float("nan")), ["no time in seconds"]),
        (AccessToken(SECRET, float("inf")), ["no time in seconds"]),
        (AccessToken(SECRET, 1_800_000_000_000), ["milliseconds?"]),
        (AccessToken(SECRET, 3599), ["ended long ago", "3599", "time.time() + expires_in"]),
        (AccessToken(SECRET, -1.5), ["ended long ago"]),
        (AccessToken(SECRET, NOW - 90_000), ["ended long ago"]),
    ],
)
def test_what_is_no_token_is_told_without_repeating_it(given, words):
    with pytest.raises(BadToken) as caught:
        checked(given, NOW)
    assert all(word in str(caught.value) for word in words)
    assert "S3cret" not in "".join(traceback.format_exception(caught.value))


def test_a_coroutine_is_told_and_closed():
    coroutine = from_a_coroutine()
    with pytest.raises(BadToken, match="without async"):
        checked(coroutine, NOW)
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


@given(st.text(min_size=1, max_size=40))
def test_what_is_taken_has_no_place_where_it_could_end(text):
    try:
        token = checked(text, NOW).token
    except BadToken:
        assert any(not "\x21" <= char <= "\x7e" for char in text)
    else:
        assert token == text
        assert all("\x21" <= char <= "\x7e" for char in text)


def test_the_repr_shows_no_token():
    assert repr(AccessToken("S3cret", 7.5)) == "AccessToken(expires_at=7.5)"
