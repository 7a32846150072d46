from __future__ import annotations

import pytest

from mailworker.errors import ConfigurationError
from mailworker.smtp.options import SessionOptions


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"use_tls": True, "use_ssl": True}, ["EMAIL_USE_TLS", "EMAIL_USE_SSL"]),
        ({"host": ""}, ["EMAIL_HOST", "''"]),
        ({"host": "a\r\nb"}, ["EMAIL_HOST", r"'a\r\nb'"]),
        ({"port": 0}, ["EMAIL_PORT", "0", "65535"]),
        ({"port": "25"}, ["EMAIL_PORT", "'25'"]),
        ({"port": True}, ["EMAIL_PORT", "True"]),
        ({"timeout": 0}, ["timeout is 0", "above 0"]),
        ({"timeout": None}, ["timeout is None"]),
        ({"timeout": float("inf")}, ["timeout is inf"]),
        ({"opening_timeout": 0}, ["opening_timeout is 0", "above 0"]),
        ({"opening_timeout": "60"}, ["opening_timeout is '60'"]),
        ({"final_reply_timeout": -1}, ["final_reply_timeout is -1"]),
        ({"max_messages": 0}, ["max_messages is 0"]),
        ({"local_hostname": "a b"}, ["local_hostname is 'a b'"]),
        ({"local_hostname": "bücher.example"}, ["local_hostname is 'bücher.example'"]),
        ({"username": "a\udcff"}, ["EMAIL_HOST_USER", "no text"]),
        ({"password": "a\udcff"}, ["EMAIL_HOST_PASSWORD", "no text"]),
        ({"ssl_keyfile": "key.pem"}, ["EMAIL_SSL_CERTFILE"]),
        ({"dsn_notify": "sucess"}, ["dsn_notify has 'sucess'", "SUCCESS, FAILURE, DELAY, NEVER"]),
        ({"dsn_notify": ["SUCCESS", 1]}, ["dsn_notify has 1", "SUCCESS"]),
        ({"dsn_notify": "NEVER,SUCCESS"}, ["dsn_notify is NEVER, SUCCESS", "goes with no other"]),
        ({"dsn_notify": {"SUCCESS": True}}, ["dsn_notify is {'SUCCESS': True}", "expected some of"]),
        ({"dsn_notify": 3}, ["dsn_notify is 3"]),
        ({"dsn_notify": "SUCCESS\r\nRCPT TO:<x@x.org>"}, [r"'SUCCESS\r\nRCPT TO:<x@x.org>'"]),
        ({"dsn_return": "HEADERS"}, ["dsn_return is 'HEADERS'", "expected FULL or HDRS"]),
        ({"dsn_return": True}, ["dsn_return is True"]),
    ],
)
def test_a_wrong_option_is_named_with_what_it_got(options, words):
    with pytest.raises(ConfigurationError) as caught:
        SessionOptions(**options)
    assert all(word in str(caught.value) for word in words)
    assert "\n" not in str(caught.value)


def test_the_repr_shows_neither_user_nor_password():
    shown = repr(SessionOptions(username="ann@example.com", password="s3cret"))
    assert "s3cret" not in shown
    assert "ann" not in shown


def test_the_time_to_open_a_session_follows_that_of_a_step_unless_it_is_given():
    assert SessionOptions(timeout=7).time_to_open == 21
    assert SessionOptions(timeout=7, opening_timeout=8.5).time_to_open == 8.5


def test_an_ipv6_address_stands_in_brackets():
    assert SessionOptions(host="::1", port=2525).where == "[::1]:2525"


@pytest.mark.parametrize(
    ("asked", "notify"),
    [
        ((), ()),
        ("", ()),
        ("NEVER", ("NEVER",)),
        ("success, Failure,,SUCCESS", ("SUCCESS", "FAILURE")),
        (["DELAY", " failure "], ("DELAY", "FAILURE")),
    ],
)
def test_notifications_are_asked_for_as_a_text_or_a_list(asked, notify):
    assert SessionOptions(dsn_notify=asked).dsn_notify == notify


def test_what_comes_back_is_asked_for_in_any_letter_case():
    assert SessionOptions(dsn_return="hdrs").dsn_return == "HDRS"
    assert SessionOptions(dsn_return="").dsn_return == ""
