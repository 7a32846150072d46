"""The settings of the process: built once, for all threads, replaced and restored as one asks."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mailworker.errors import ConfigurationError
from mailworker.settings import Settings, configure, current, override, reset
from mailworker.settings import current as current_module_function
from mailworker.settings.current import _process


def test_settings_are_built_once(monkeypatch):
    first = current()
    monkeypatch.setenv("EMAIL_HOST", "later")
    assert current() is first
    reset()
    assert current().EMAIL_HOST == "later"


def test_many_threads_get_one_object_that_was_built_once(monkeypatch):
    count = 8
    builds: list[object] = []
    looked = threading.Semaphore(0)
    build, fresh = _process.build, _process.fresh

    def watched():
        looked.release()
        return fresh()

    def slow(*args):
        if not builds:
            for _ in range(count):  # until every thread has seen that nothing is built
                assert looked.acquire(timeout=10)
        builds.append(args)
        return build(*args)

    monkeypatch.setattr(_process, "fresh", watched)
    monkeypatch.setattr(_process, "build", slow)
    with ThreadPoolExecutor(count) as pool:
        found = [each.result(20) for each in [pool.submit(current) for _ in range(count)]]
    assert len({id(each) for each in found}) == 1
    assert len(builds) == 1


def test_configure_adds_to_what_was_configured_before():
    configure(EMAIL_HOST="a", EMAIL_PORT=1025)
    settings = configure(EMAIL_HOST="b")
    assert (settings.EMAIL_HOST, settings.EMAIL_PORT) == ("b", 1025)
    assert current() is settings


def test_configure_validates_at_once_and_changes_nothing_when_it_fails():
    before = configure(EMAIL_HOST="a")
    with pytest.raises(ConfigurationError, match="EMAIL_PORT"):
        configure(EMAIL_HOST="b", EMAIL_PORT=0)
    assert current() is before
    with override(EMAIL_USE_LOCALTIME=True) as settings:
        assert (settings.EMAIL_HOST, settings.EMAIL_PORT) == ("a", 25)


def test_a_wrong_setting_is_raised_by_each_look_until_it_is_mended(monkeypatch):
    monkeypatch.setenv("EMAIL_PORT", "x")
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            current()
    monkeypatch.setenv("EMAIL_PORT", "26")
    assert current().EMAIL_PORT == 26


def test_overrides_nest_and_end_each_for_itself():
    configure(EMAIL_HOST="configured")
    with override(EMAIL_HOST="outer", EMAIL_PORT=1):
        with override(EMAIL_HOST="inner") as settings:
            assert current() is settings
            assert (settings.EMAIL_HOST, settings.EMAIL_PORT) == ("inner", 1)
        assert current().EMAIL_HOST == "outer"
    assert (current().EMAIL_HOST, current().EMAIL_PORT) == ("configured", 25)


def test_an_override_ends_when_its_block_raises():
    with pytest.raises(ZeroDivisionError), override(EMAIL_HOST="x"):
        1 / 0  # noqa: B018
    assert current().EMAIL_HOST == "localhost"


def test_a_bad_override_changes_nothing():
    with pytest.raises(ConfigurationError, match=r"EMAIL_HOTS \(from override\(\)\)"), override(EMAIL_HOTS="x"):
        pytest.fail("was entered")
    assert current().EMAIL_HOST == "localhost"
    with override(EMAIL_PORT=26):
        assert current().EMAIL_PORT == 26


def test_overrides_may_end_in_another_order_than_they_began():
    first, second = override(EMAIL_HOST="first"), override(EMAIL_PORT=26)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert (current().EMAIL_HOST, current().EMAIL_PORT) == ("localhost", 26)
    second.__exit__(None, None, None)
    assert current().EMAIL_PORT == 25


def test_two_equal_overrides_end_one_by_one():
    first, second = override(EMAIL_HOST="same"), override(EMAIL_HOST="same")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert current().EMAIL_HOST == "same"
    second.__exit__(None, None, None)
    assert current().EMAIL_HOST == "localhost"


def test_an_override_decorates_a_function():
    @override(EMAIL_HOST="decorated")
    def look():
        return current().EMAIL_HOST

    assert [look(), look(), current().EMAIL_HOST] == ["decorated", "decorated", "localhost"]


def test_an_override_is_seen_by_other_threads():
    with ThreadPoolExecutor(1) as pool:
        with override(EMAIL_HOST="everywhere"):
            assert pool.submit(lambda: current().EMAIL_HOST).result(10) == "everywhere"
        assert pool.submit(lambda: current().EMAIL_HOST).result(10) == "localhost"


def test_configure_within_an_override_lasts_and_stays_behind_it():
    with override(EMAIL_HOST="override"):
        assert configure(EMAIL_HOST="configured").EMAIL_HOST == "override"
    assert current().EMAIL_HOST == "configured"


def test_reset_leaves_an_override_in_place():
    configure(EMAIL_PORT=26)
    with override(EMAIL_HOST="x"):
        reset()
        assert (current().EMAIL_HOST, current().EMAIL_PORT) == ("x", 25)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_can_look_although_a_thread_held_the_lock_at_the_fork():
    held, go = threading.Event(), threading.Event()

    def hold():
        with _process.lock:
            held.set()
            go.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    try:
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            with _process.lock:
                os._exit(0 if current().EMAIL_HOST == "localhost" else 1)
        _, status = os.waitpid(child, 0)
    finally:
        go.set()
        holder.join()
    assert os.waitstatus_to_exitcode(status) == 0


def test_threads_that_override_and_look_never_see_half_of_anything():
    stop = threading.Event()

    def look():
        seen = set()
        while not stop.is_set():
            settings = current()
            seen.add((settings.EMAIL_HOST, settings.EMAIL_PORT))
        return seen

    with ThreadPoolExecutor(3) as pool:
        looks = [pool.submit(look) for _ in range(3)]
        for _ in range(20):
            with override(EMAIL_HOST="x", EMAIL_PORT=26):
                current()
        stop.set()
        seen = set().union(*(each.result(10) for each in looks))
    assert seen <= {("localhost", 25), ("x", 26)}


def test_the_public_name_is_the_function():
    assert isinstance(current_module_function(), Settings)
