"""When a token function is called, and what those who wait for it get."""

from __future__ import annotations

import functools
import gc
import os
import subprocess
import sys
import threading
import time
import traceback
import weakref
from contextvars import ContextVar
from dataclasses import dataclass

import pytest

from mailworker.errors import MailerUnavailable, Trouble
from mailworker.smtp import token_source
from mailworker.smtp.access_token import AccessToken
from mailworker.smtp.token_source import GIVEN_UP_AFTER, MARGIN, name_of, of
from tests.processes import ROOT
from tests.smtpd import Clock
from tests.tokens import Tokens

SECRET = "S3cret"


def fails(source, **arguments):
    with pytest.raises(MailerUnavailable) as caught:
        source.token(**{"within": 10.0} | arguments)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert SECRET not in shown
    return caught.value


# How long a token is kept.


def test_a_token_without_an_end_is_kept_until_it_is_refused():
    tokens = Tokens("one", "two")
    source = of(tokens)
    assert [source.token(10), source.token(10), of(tokens).token(10)] == ["one"] * 3
    assert source.token(10, instead_of="one") == "two"
    assert source.token(10) == "two"
    assert tokens.calls == 2


def test_a_token_is_asked_for_again_shortly_before_its_end():
    clock = Clock()
    tokens = Tokens(AccessToken("one", clock.now + 3600), AccessToken("two", clock.now + 7200))
    source = of(tokens, now=clock)
    clock.now += 3600 - MARGIN - 1
    assert source.token(10) == "one"
    assert source.expires_at == 1000 + 3600
    clock.now += 2
    assert source.token(10) == "two"
    assert tokens.calls == 2


def test_a_token_that_ends_at_once_is_used_once():
    clock = Clock()
    tokens = Tokens(AccessToken("one", clock.now + MARGIN / 2), AccessToken("two", clock.now - 1), "three")
    source = of(tokens, now=clock)
    assert [source.token(10) for _ in range(4)] == ["one", "two", "three", "three"]


def test_one_that_was_refused_is_given_to_nobody_else_and_the_next_one_to_all():
    tokens = Tokens("one", "two", "three")
    source = of(tokens)
    source.token(10)
    assert [source.token(10, instead_of="one") for _ in range(16)] == ["two"] * 16
    assert tokens.calls == 2
    source.drop("one")
    assert source.token(10) == "two"
    source.drop("two")
    assert source.token(10) == "three"


# What fails.


@pytest.mark.parametrize(
    "error", [RuntimeError(SECRET), KeyError(SECRET), SystemExit(SECRET), KeyboardInterrupt(SECRET)]
)
def test_a_function_that_raises_is_named_with_the_class_of_what_it_raised(error):
    tokens = Tokens(error, "fine")
    source = of(tokens)
    failure = fails(source)
    assert failure.trouble is Trouble.AUTH_TEMPORARY
    assert str(failure) == f"the token function tests.tokens:Tokens raised {type(error).__name__}"
    assert failure.__cause__ is failure.__context__ is None
    assert source.token(10) == "fine"


@pytest.mark.parametrize("value", [None, SECRET.encode(), f"{SECRET}\r\n", f"Bearer {SECRET}", {"token": SECRET}, ""])
def test_what_is_no_token_is_a_trouble_that_a_person_has_to_mend(value):
    source = of(Tokens(value, "fine"))
    failure = fails(source)
    assert failure.trouble is Trouble.CONFIGURATION
    assert "the token function tests.tokens:Tokens returned " in str(failure)
    assert source.token(10) == "fine"


def test_a_function_that_hangs_holds_its_callers_for_so_long_and_its_token_is_kept_when_it_comes():
    go_on, returned = threading.Event(), threading.Event()
    calls = []

    def hangs():
        calls.append(1)
        assert go_on.wait(30)
        return SECRET

    source = of(hangs)
    for _ in range(3):
        failure = fails(source, within=0.05)
        assert failure.trouble is Trouble.AUTH_TEMPORARY
        assert "has not returned within 0.05 s" in str(failure)
    call = source._call
    assert call is not None
    go_on.set()
    assert call.over.wait(30)
    returned.set()
    assert source.token(0.05) == SECRET
    assert len(calls) == 1


def test_a_call_that_never_returns_is_given_up_and_what_it_says_too_late_is_not_kept():
    clock, go_on = Clock(), threading.Event()
    calls = []

    def hangs_at_first():
        calls.append(1)
        if len(calls) > 1:
            return "second"
        assert go_on.wait(30)
        return "first"

    source = of(hangs_at_first, clock=clock)
    fails(source, within=0.01)
    first = source._call
    assert first is not None
    clock.now += GIVEN_UP_AFTER - 1
    fails(source, within=0.01)
    clock.now += 1
    assert source.token(10) == "second"
    go_on.set()
    assert first.over.wait(30)
    assert source.token(10) == "second"
    assert len(calls) == 2


def test_where_no_thread_can_be_started_it_is_told_and_tried_again(monkeypatch):
    class NoThread(threading.Thread):
        def start(self):
            raise RuntimeError("can't start new thread")

    source = of(Tokens("fine"))
    with monkeypatch.context() as patch:
        patch.setattr(threading, "Thread", NoThread)
        failure = fails(source)
    assert failure.trouble is Trouble.AUTH_TEMPORARY
    assert source.token(10) == "fine"


# Threads and processes.


@pytest.mark.parametrize("outcome", ["token", "failure"])
def test_sixteen_threads_get_what_one_call_gives(outcome):
    calls, got, failed = [], [], []
    all_wait = threading.Event()

    def function():
        calls.append(1)
        assert all_wait.wait(30)
        if outcome == "failure":
            raise LookupError
        return "one"

    def ask():
        try:
            got.append(of(function).token(30))
        except MailerUnavailable as error:
            failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    # Nobody tells from outside that a thread waits; all but the first wait for the same event.
    source = of(function)
    while source._call is None or len(source._call.over._cond._waiters) < 16:  # type: ignore[attr-defined]
        time.sleep(0.001)
    all_wait.set()
    for thread in threads:
        thread.join(30)
    assert len(calls) == 1
    if outcome == "token":
        assert got == ["one"] * 16
    else:
        assert len(failed) == len(set(map(id, failed))) == 16


def test_the_caller_s_context_is_the_function_s():
    context: ContextVar[str] = ContextVar("context", default="none")
    context.set("mine")
    assert of(context.get).token(10) == "mine"


FORKED = """
import os, sys, threading
from mailworker.smtp.token_source import of

parent, asked, never = os.getpid(), threading.Event(), threading.Event()

def function():
    if os.getpid() != parent:
        return "child"
    asked.set()
    never.wait()

def kept():
    return f"of-{os.getpid() == parent}"

assert of(kept).token(10) == "of-True"
threading.Thread(target=lambda: of(function).token(60), daemon=True).start()
assert asked.wait(10)
source = of(function)
source._lock.acquire()
child = os.fork()
if child == 0:
    ok = of(function).token(10) == "child" and of(kept).token(10) == "of-True"
    os._exit(0 if ok else 1)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_waits_for_no_call_and_no_lock_of_its_parent_and_keeps_its_token():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], cwd=ROOT, timeout=60)
    assert done.returncode == 0


# Who is who.


@dataclass
class Unhashable:
    token: str

    def __call__(self):
        return self.token

    def method(self):
        return f"{self.token} by method".replace(" ", "-")


def test_equal_objects_are_two_and_a_method_is_one_however_often_it_is_bound():
    one, other = Unhashable("x"), Unhashable("x")
    assert of(one) is of(one)
    assert of(one) is not of(other)
    assert of(one.method) is of(one.method)
    assert of(one.method) is not of(other.method)
    assert of(one.method).token(10) == "x-by-method"


def test_functions_that_are_made_anew_each_time_do_not_fill_the_memory():
    first = Unhashable("x")
    ref = weakref.ref(first)
    of(first)
    assert of(first) is of(first)
    del first
    for _ in range(token_source.KEPT):
        of(Unhashable("y"))
    gc.collect()
    assert ref() is None
    assert len(token_source._sources) == token_source.KEPT


def test_a_name_shows_where_a_function_is_and_not_what_it_holds():
    assert name_of(os.path.join) == "posixpath:join"
    assert name_of(Unhashable(SECRET)) == f"{__name__}:Unhashable"
    assert name_of(Unhashable(SECRET).method) == f"{__name__}:Unhashable.method"
    assert name_of(functools.partial(len, SECRET)) == "functools:partial"
