"""Why a broker, or the spool's Redis, did not do as told, and whether it can have done it all the same.

Judged by the names of the classes that kombu, amqp and redis-py raise, by the code at the head of a Redis's error reply and by
the system's error numbers: no client is imported here. The texts of others are never repeated: they may hold a URL with its
password, or pieces of a mail.
"""

from __future__ import annotations

import errno
import os
import re

from mailworker.deadline import left

_LOGIN = "it refuses user or password"
_MOVING = "its keys are on the way to another node"

#: Code of a Redis's error reply -> what it says of that Redis.
_CODES = {
    "ASK": _MOVING,
    "BUSY": "a script keeps it busy",
    "CLUSTERDOWN": "its cluster is down",
    "LOADING": "it is still loading its data",
    "MASTERDOWN": "it is a replica that has lost its primary",
    "MISCONF": "it takes no writes, because it cannot write to its disk",
    "MOVED": _MOVING,
    "NOAUTH": _LOGIN,
    "NOPERM": "its user may not do that",
    "NOREPLICAS": "it takes no writes, because too few of its replicas are there",
    "OOM": "it is out of memory",
    "READONLY": "it takes no writes",
    "TRYAGAIN": _MOVING,
    "WRONGPASS": _LOGIN,
}

#: redis-py's classes for error replies -> the code, which their text has lost.
_CLASSES = {
    "AskError": "ASK",
    "AuthenticationError": "WRONGPASS",
    "AuthenticationWrongNumberOfArgsError": "WRONGPASS",
    "BusyLoadingError": "LOADING",
    "ClusterCrossSlotError": "CROSSSLOT",
    "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN",
    "MovedError": "MOVED",
    "NoPermissionError": "NOPERM",
    "NoScriptError": "NOSCRIPT",
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
    "TryAgainError": "TRYAGAIN",
}

#: Class names of what the clients raise -> what that says of the server.
_REASONS = {
    "AccessRefused": _LOGIN,
    "ResponseError": "it refuses what the URL asks for, such as a database that it has not",
    "NotAllowed": "its virtual host is not there, or not for this user",
    "InvalidResponse": "it does not speak the protocol of the URL",
    "UnexpectedFrame": "it does not speak the protocol of the URL",
    "ExecAbortError": "it takes no writes, or is out of memory",
    "MessageNacked": "it has no room for the mail",
    "gaierror": "its host name is not known",
    "SSLCertVerificationError": "its certificate cannot be verified",
    "SSLError": "TLS with it fails",
}

#: What no reply stands behind but the server's own refusal, or nobody to whom a word could have been said.
_REFUSALS = frozenset({"ExecAbortError", "MessageNacked", "gaierror"})

#: Codes of replies that a Redis gives before it does anything. (BUSY is one for all commands, ours included.)
_NOT_BEGUN = frozenset(_CODES) | {"CROSSSLOT", "NOSCRIPT"}

#: System errors -> what they say of the server.
_SYSTEM = {
    errno.ECONNREFUSED: "connection refused",
    errno.ENETUNREACH: "its network cannot be reached",
    errno.EHOSTUNREACH: "its host cannot be reached",
    errno.ECONNRESET: "it closed the connection",
    errno.EPIPE: "it closed the connection",
}

#: What a Redis says as it closes a connection that is one too many; redis-py's class for it tells no more than that it is closed.
_FULL = "max number of clients reached"

#: A Redis before 7 wraps what a script's command was answered: "Error running script (...): @user_script:1: -OOM ...".
_IN_SCRIPT = re.compile(r"Error running script .* -([A-Z]+) ", re.DOTALL)


def reason(error: BaseException) -> str:
    """Say in a few words why the server did not do as told, without the texts of others.

    Args:
        error: what the client raised.
    """
    seen = causes(error)
    for one in seen:
        said = _CODES.get(code(one) or "") or _REASONS.get(type(one).__name__)
        if said:
            return said
    if left() <= 0 or any(isinstance(one, TimeoutError) or type(one).__name__ == "TimeoutError" for one in seen):
        return "it does not answer"
    for one in seen:
        if isinstance(one, OSError) and one.errno in _SYSTEM:
            return _SYSTEM[one.errno]
    closed = {"ConnectionError", "ConnectionForced", "RecoverableConnectionError"}
    if any(type(one).__name__ in closed or (type(one) is OSError and one.errno is None) for one in seen):
        is_full = any(_FULL in str(one) for one in seen)
        return "it has as many clients as it takes (its maxclients)" if is_full else "it closed the connection"
    for one in seen:
        if isinstance(one, OSError) and one.errno:
            return os.strerror(one.errno).lower()
    # The outermost that is not kombu's wrapper: what is further in is a detail of somebody's parser.
    named = [type(one).__name__ for one in seen if type(one).__name__ != "OperationalError"]
    return f"no answer that makes sense came from it: {named[0] if named else type(error).__name__}"


def is_refusal(error: BaseException) -> bool:
    """Tell whether what failed has certainly not been done: nobody was there, or it was refused before it began.

    Args:
        error: what a client raised for one command, on whatever lies behind; of several commands, others may be done.
    """
    return any(
        type(one).__name__ in _REFUSALS
        or (isinstance(one, OSError) and one.errno == errno.ECONNREFUSED)
        or is_refused_reply(one)
        for one in causes(error)
    )


def is_refused_reply(error: BaseException) -> bool:
    """Tell whether an error is itself the reply of a Redis that refused a command before it began.

    What lies behind it does not count: a script is sent again with its text after NOSCRIPT, and that may be lost.

    Args:
        error: what redis-py raised or returned.
    """
    word = code(error)
    # A permission that a script met without: what it did before stands.
    return word in _NOT_BEGUN and not (word == "NOPERM" and "script" in str(error))


def code(error: BaseException) -> str | None:
    """Return the code of the error reply of a Redis, such as "OOM"; None if it is no such reply, or has none.

    Args:
        error: what redis-py raised or returned.
    """
    name = type(error).__name__
    if name != "ResponseError":
        return _CLASSES.get(name)
    text = str(error)
    inside = _IN_SCRIPT.match(text)
    word = inside.group(1) if inside else text.partition(" ")[0]
    return word if re.fullmatch("[A-Z]{3,}", word) else None


def causes(error: BaseException) -> list[BaseException]:
    """Return an exception and what it came from, outermost first."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
    return seen
