"""Why a server did not do as told, and whether it can have done it all the same."""

from __future__ import annotations

import errno
import socket

import pytest
import redis.exceptions
from redis._parsers.base import BaseParser

from mailworker import deadline
from mailworker.refusal import code, is_refusal, reason

SCRIPT = "ERR Error running script (call to f_6c): @user_script:1: @user_script: 1: "


@pytest.mark.parametrize(
    ("reply", "told", "said"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", "OOM", "it is out of memory"),
        (SCRIPT + "-OOM command not allowed when used memory > 'maxmemory'.", "OOM", "it is out of memory"),
        ("READONLY You can't write against a read only replica.", "READONLY", "it takes no writes"),
        ("MISCONF Redis is configured to save RDB snapshots", "MISCONF", "cannot write to its disk"),
        ("NOREPLICAS Not enough good replicas to write.", "NOREPLICAS", "too few of its replicas"),
        ("LOADING Redis is loading the dataset in memory", "LOADING", "it is still loading its data"),
        ("CLUSTERDOWN Hash slot not served", "CLUSTERDOWN", "its cluster is down"),
        ("MASTERDOWN Link with MASTER is down", "MASTERDOWN", "lost its primary"),
        ("MOVED 3999 127.0.0.1:6381", "MOVED", "on the way to another node"),
        ("ASK 3999 127.0.0.1:6381", "ASK", "on the way to another node"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", "TRYAGAIN", "on the way to another node"),
        ("BUSY Redis is busy running a script.", "BUSY", "a script keeps it busy"),
        ("NOPERM this user has no permissions to run the 'evalsha' command", "NOPERM", "its user may not do that"),
        ("WRONGPASS invalid username-password pair or user is disabled.", "WRONGPASS", "it refuses user or password"),
        ("NOAUTH Authentication required.", "WRONGPASS", "it refuses user or password"),
    ],
)
def test_a_refusal_of_redis_has_its_reason_and_left_nothing_done(reply: str, told: str, said: str) -> None:
    error = BaseParser.parse_error(reply)
    assert code(error) == told
    assert said in reason(error)
    assert is_refusal(error)


@pytest.mark.parametrize(
    "reply",
    [
        "ERR something went wrong",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        SCRIPT + "Script attempted to access nonexistent global variable 'x'",
        "NOPERM ACL failure in script: User jane has no permissions to run the 'set' command",
    ],
)
def test_an_error_that_may_come_in_the_middle_of_a_script_is_no_refusal(reply: str) -> None:
    assert not is_refusal(BaseParser.parse_error(reply))


def test_a_text_of_the_server_is_never_repeated() -> None:
    error = BaseParser.parse_error("ERR unknown command 'X', with args beginning with: 'jane@example.com'")
    assert "jane" not in reason(error)
    assert code(error) is None


def test_where_nobody_was_there_nothing_was_done() -> None:
    assert is_refusal(ConnectionRefusedError(errno.ECONNREFUSED, "refused"))
    assert is_refusal(socket.gaierror(-2, "Name or service not known"))
    assert not is_refusal(ConnectionResetError(errno.ECONNRESET, "reset"))
    assert not is_refusal(TimeoutError())


def test_what_lies_behind_a_clients_own_error_is_told() -> None:
    error = redis.exceptions.ConnectionError("Error 111 connecting to secret.example.com:6379")
    error.__context__ = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    assert reason(error) == "connection refused"
    assert is_refusal(error)


def test_a_redis_that_takes_no_more_clients_is_no_closed_connection_like_others() -> None:
    error = redis.exceptions.ConnectionError("max number of clients reached")
    assert reason(error) == "it has as many clients as it takes (its maxclients)"
    assert reason(redis.exceptions.ConnectionError("Connection closed by server.")) == "it closed the connection"


def test_a_deadline_that_is_over_is_silence_whatever_broke_by_it() -> None:
    with deadline.within(0):
        assert reason(ConnectionResetError(errno.ECONNRESET, "reset")) == "it does not answer"
    assert reason(ConnectionResetError(errno.ECONNRESET, "reset")) == "it closed the connection"
