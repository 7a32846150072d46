"""Handing mail over from an event loop: the same promises as from a thread, and a loop that is never held up."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from email.mime.image import MIMEImage
from itertools import count, pairwise
from typing import Any, TypeVar

import pytest
import redis
from celery import Celery

import mailworker
from mailworker import EmailMessage, EmailMultiAlternatives, EnqueueError, State, settings
from mailworker.contrib.starlette import lifespan
from mailworker.errors import BadHeaderError, ConfigurationError, UnserializableMessage
from mailworker.lane import LANES
from mailworker.mail.backends.console import EmailBackend as ConsoleBackend
from mailworker.mail.backends.locmem import EmailBackend as LocmemBackend
from mailworker.mail.codec import Codec
from mailworker.queue import app as apps
from mailworker.queue import dispatch, loops, spools
from mailworker.queue.waker import Waker, waker
from mailworker.queue.weight import is_heavy
from mailworker.spool.redis import RedisSpool
from tests.loop import Blocking, cancelled_at
from tests.processes import Process, RedisServer, free_port
from tests.queue.wakeups import taken, woken
from tests.spool.servers import until

pytestmark = pytest.mark.integration

T = TypeVar("T")

KEYS = ["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis(port=server.port) as client:
        client.flushall()
        yield client


@pytest.fixture
def app(server: RedisServer, client: redis.Redis) -> Iterator[Celery]:
    apps.uninstall()
    app = mailworker.install(Celery("proj", broker="memory://", set_as_current=False))
    woken()
    with settings.override(MAILWORKER_SPOOL_URL=server.url, MAILWORKER_ENQUEUE_TIMEOUT=1):
        yield app
        assert waker.flush(30)
        spools.close(app)
    woken()
    dispatch.close(app)
    apps.uninstall()


def spool(app: Celery) -> RedisSpool:
    found = spools.for_workers(app, settings.current())
    assert found is not None
    return found


def message(subject: str = "s", **more: Any) -> EmailMessage:
    return EmailMessage(subject, "b", "from@example.com", ["to@example.com"], **more)


def on_loop(scene: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return asyncio.run(scene())


def waiting(app: Celery) -> list[str]:
    return [one.mail.id for one in spool(app).claim(LANES, 1000, 60).leased]


class TestWhatIsQueued:
    def test_is_due_in_the_spool_and_one_wake_up_is_on_its_way_for_many(self, app: Celery) -> None:
        async def scene() -> list[str]:
            ids = await mailworker.aenqueue([message() for _ in range(250)])
            assert await mailworker.asend_mail("s", "b", None, ["to@example.com"], lane="high") == 1
            return ids

        ids = on_loop(scene)
        assert len(set(ids)) == 250
        assert {status.state for mail_id in ids if (status := mailworker.status(mail_id))} == {State.DUE}
        assert waker.flush(30)
        assert woken() == ["high", "normal"]

    def test_is_the_message_with_its_options(self, app: Celery) -> None:
        letter = EmailMultiAlternatives("Ein Brief", "b", None, ["a@example.com"], alternatives=[("<p>b", "text/html")])
        on_loop(lambda: letter.asend(lane="bulk", group="letters"))
        (leased,) = spool(app).claim(LANES, 10, 60).leased
        assert (leased.mail.id, leased.mail.lane, leased.mail.group) == (letter.mail_id, "bulk", "letters")
        assert Codec().decode(leased.mail.payload).subject == "Ein Brief"

    def test_waits_as_long_as_it_was_told(self, app: Celery) -> None:
        (mail_id,) = on_loop(lambda: mailworker.aenqueue(message(), delay=60))
        status = mailworker.status(mail_id)
        assert status is not None
        assert status.next_attempt_at == pytest.approx(spool(app).now() + 60, abs=5)
        assert waker.flush(30)
        assert woken() == []

    def test_comes_from_any_kind_of_iterable(self, app: Celery) -> None:
        async def arriving() -> AsyncIterator[EmailMessage]:
            for number in range(3):
                await asyncio.sleep(0)
                yield message(f"s{number}")

        async def scene() -> list[list[str]]:
            kinds: list[Any] = [message(), [message()], (message() for _ in range(2)), arriving()]
            return [await mailworker.aenqueue(kind) for kind in kinds]

        assert [len(ids) for ids in on_loop(scene)] == [1, 1, 2, 3]

    def test_is_one_mail_for_one_key_whoever_queues_it(self, app: Celery) -> None:
        async def scene() -> set[str]:
            calls = [mailworker.aenqueue(message(f"{n}"), key="order 7") for n in range(20)]
            return {mail_id for ids in await asyncio.gather(*calls) for mail_id in ids}

        (mail_id,) = on_loop(scene)
        assert mailworker.enqueue(message(), key="order 7") == [mail_id]
        assert waiting(app) == [mail_id]

    def test_keeps_a_large_attachment_once(self, app: Celery, client: redis.Redis) -> None:
        content = os.urandom(3_000_000)
        messages = [message(attachments=[(f"{n}.bin", content, "application/x-a")]) for n in range(4)]
        on_loop(lambda: mailworker.aenqueue(messages))
        (key,) = client.keys("{mailworker}:content:*")
        assert client.hget(key, "mails") == b"4"
        assert client.hget(key, "bytes") == content

    def test_is_the_same_bytes_as_its_twin_queues(self, app: Celery) -> None:
        headers = {"Message-ID": "<a@example.com>", "Date": "Thu, 26 Nov 2026 16:00:00 +0000"}
        rows = [("s", "b", "a@example.com", ["b@example.com"])]

        async def scene() -> None:
            await message(headers=headers).asend()
            assert await mailworker.asend_mass_mail(rows * 3) == 3

        on_loop(scene)
        message(headers=headers).send()
        mails = [one.mail for one in spool(app).claim(LANES, 10, 60).leased]
        assert len(mails) == 5
        assert mails[0].payload == mails[-1].payload

    def test_goes_to_admins_and_managers(self, app: Celery) -> None:
        async def scene() -> None:
            await mailworker.amail_admins("s", "b", html_message="<p>b")
            await mailworker.amail_managers("s", "b")

        with settings.override(ADMINS=["ann@example.com"], MANAGERS=[]):
            on_loop(scene)
        (leased,) = spool(app).claim(LANES, 10, 60).leased
        assert Codec().decode(leased.mail.payload).to == ["ann@example.com"]

    def test_needs_recipients(self, app: Celery) -> None:
        nobody = EmailMessage("s", "b")
        assert on_loop(nobody.asend) == 0
        assert on_loop(lambda: mailworker.aenqueue([nobody])) == []

    def test_counts_for_its_relay_login_only_with_keys(self, app: Celery) -> None:
        def send() -> Coroutine[Any, Any, int]:
            return mailworker.asend_mail("s", "b", None, ["a@example.com"], auth_user="ann", auth_password="pw")

        with pytest.raises(ConfigurationError, match="only encrypted"):
            on_loop(send)
        with settings.override(MAILWORKER_ENCRYPTION_KEYS=KEYS):
            assert on_loop(send) == 1


class TestWhatIsAsked:
    def test_is_answered_as_in_a_thread(self, app: Celery) -> None:
        async def scene() -> None:
            (mail_id,) = await mailworker.aenqueue(message(), group="g", delay=5)
            found = await mailworker.astatus(mail_id)
            assert found == mailworker.status(mail_id)
            assert found is not None
            assert found.state is State.DUE
            assert await mailworker.astatus_of_group("g") == {State.DUE: 1}
            assert await mailworker.acancel(mail_id) is True
            assert await mailworker.acancel(mail_id) is False
            assert await mailworker.areplay(mail_id) is False
            assert await mailworker.astatus("0" * 32) is None
            await mailworker.acancel_group("g")

        on_loop(scene)

    def test_of_a_mail_whose_record_was_damaged_ends_with_a_dead_letter(
        self, app: Celery, client: redis.Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        ids = mailworker.enqueue([message(), message()])
        for mail_id in ids:
            client.set(f"{{mailworker}}:m:{mail_id}", b"nonsense")

        async def scene() -> None:
            found = await mailworker.astatus(ids[0])
            assert found is not None
            assert found.state is State.DEAD
            assert await mailworker.acancel(ids[1]) is False

        on_loop(scene)
        assert "its record cannot be read" in caplog.text

    def test_is_an_error_where_the_spool_is_away(self, app: Celery) -> None:
        with (
            settings.override(MAILWORKER_SPOOL_URL=f"redis://:hidden@127.0.0.1:{free_port()}/0"),
            pytest.raises(EnqueueError, match=r"cannot be asked \(connection refused\)") as caught,
        ):
            on_loop(lambda: mailworker.astatus("0" * 32))
        assert "hidden" not in str(caught.value)

    @pytest.mark.parametrize("ask", [mailworker.astatus, mailworker.acancel])
    def test_needs_an_id(self, ask: Any) -> None:
        with pytest.raises(TypeError, match=rf"^{ask.__name__}\(\) got \['1'\]: expected a mail's id"):
            on_loop(lambda: ask(["1"]))


class TestBadInput:
    def test_what_is_wrong_is_told_as_in_a_thread(self, app: Celery) -> None:
        wrong: list[tuple[type[Exception], str, Callable[[], Coroutine[Any, Any, Any]]]] = [
            (BadHeaderError, "subject holds", lambda: mailworker.asend_mail("a\nb", "b", None, ["a@example.com"])),
            (BadHeaderError, "subject holds", lambda: mailworker.aenqueue(message("a\nb"))),
            (TypeError, r"asend_mail\(\) got dealy", lambda: mailworker.asend_mail("s", "b", None, [], dealy=1)),  # type: ignore[call-arg]
            (ValueError, "one key is one mail", lambda: mailworker.aenqueue([message(), message()], key="k")),
            (TypeError, "expected one of them", lambda: message(connection=LocmemBackend()).asend(using="relay")),
            (ConfigurationError, "nosuch", lambda: message().asend(using="nosuch")),
            (UnserializableMessage, "object of type int", lambda: mailworker.aenqueue([1])),  # type: ignore[list-item]
            (ConfigurationError, "needs a queue", lambda: message(connection=ConsoleBackend()).asend(lane="high")),
        ]
        for error, text, make in wrong:
            with pytest.raises(error, match=text):
                on_loop(make)
        assert waiting(app) == []

    @pytest.mark.parametrize(
        "call",
        [
            lambda: message().asend(),
            lambda: message(connection=LocmemBackend()).asend(),
            lambda: mailworker.asend_mail("s", "b", None, ["a@example.com"]),
            lambda: mailworker.asend_mass_mail([("s", "b", None, ["a@example.com"])] * 50),
            lambda: mailworker.aenqueue(message()),
            lambda: mailworker.astatus("0" * 32),
            lambda: mailworker.acancel("0" * 32),
            lambda: mailworker.areplay("0" * 32),
            lambda: mailworker.astatus_of_group("g"),
            lambda: mailworker.acancel_group("g"),
            lambda: anext(lifespan.__wrapped__()),  # type: ignore[attr-defined]  # as a server of trio's enters it
        ],
    )
    def test_where_no_loop_of_asyncio_runs_one_sentence_says_what_to_do(self, app: Celery, call: Any) -> None:
        with pytest.raises(RuntimeError, match=r"^no event loop of asyncio runs here.*trio\.to_thread\.run_sync"):
            # As another library's loop would run it.
            call().__await__().send(None)

    @pytest.mark.parametrize("wrong", [3, None])
    @pytest.mark.parametrize("is_eager", [True, False])
    def test_what_cannot_be_iterated_is_told_as_in_a_thread(self, app: Celery, wrong: Any, is_eager: bool) -> None:
        with settings.override(MAILWORKER_TASK_ALWAYS_EAGER=is_eager):
            with pytest.raises(TypeError) as twin:
                mailworker.enqueue(wrong)
            with pytest.raises(TypeError, match=f"^{twin.value}$"):
                on_loop(lambda: mailworker.aenqueue(wrong))

    def test_a_spool_that_refuses_has_nothing_and_silence_is_kept_where_it_was_asked_for(
        self, app: Celery, caplog: pytest.LogCaptureFixture
    ) -> None:
        with settings.override(MAILWORKER_SPOOL_URL=f"redis://:hidden@127.0.0.1:{free_port()}/0"):
            with pytest.raises(EnqueueError, match=r"connection refused.*MAILWORKER_SPOOL_URL") as caught:
                on_loop(message().asend)
            assert (caught.value.accepted, caught.value.unknown) == ((), ())
            assert "hidden" not in str(caught.value)
            assert on_loop(lambda: message().asend(fail_silently=True)) == 0
        assert "did not take the mail" in caplog.text

    def test_a_mail_whose_answer_was_lost_is_unknown_and_the_same_object_sent_again_is_the_same_mail(
        self, app: Celery
    ) -> None:
        one, heavy = message(), message(attachments=[("a", os.urandom(100_000), "application/x-a")])

        async def scene(pid: int) -> None:
            # A connection for each: who has to open one finds nobody, and has certainly sent nothing.
            await asyncio.gather(mailworker.aenqueue(message()), mailworker.aenqueue(message()))
            os.kill(pid, signal.SIGSTOP)
            lost = await asyncio.gather(one.asend(), heavy.asend(), return_exceptions=True)
            os.kill(pid, signal.SIGCONT)
            for error, sent in zip(lost, (one, heavy), strict=True):
                assert isinstance(error, EnqueueError)
                (mail_id,) = error.unknown
                assert error.accepted == ()
                assert await sent.asend() == 1
                assert sent.mail_id == mail_id

        with RedisServer() as other, settings.override(MAILWORKER_SPOOL_URL=other.url):
            asyncio.run(scene(other.pid))
            assert len(waiting(app)) == 4
            spools.close(app)

    def test_a_long_call_that_fails_in_the_middle_says_what_the_spool_has(
        self, app: Celery, client: redis.Redis
    ) -> None:
        def messages() -> Iterator[EmailMessage]:
            for number in range(1500):
                if number == 1200:
                    client.config_set("maxmemory-policy", "noeviction")
                    client.config_set("maxmemory", 1)
                yield message()

        with pytest.raises(EnqueueError) as caught:
            on_loop(lambda: mailworker.aenqueue(messages()))
        client.config_set("maxmemory", 0)
        assert len(caught.value.accepted) == 1000
        assert len(spool(app).ids(State.DUE)) == 1000

    def test_a_call_that_is_cancelled_at_any_await_leaves_a_mail_or_none_and_no_broken_connection(
        self, app: Celery
    ) -> None:
        async def scene(*, heavy: bool, is_open: bool) -> int:
            waiting(app)
            for place in count():
                if not is_open:
                    loops.close()
                # Content that the spool has not: it is brought by a second step.
                one = message(attachments=[("a", os.urandom(100_000), "application/x-a")] if heavy else ())
                task = asyncio.ensure_future(cancelled_at(place, one.asend()))
                await asyncio.wait([task])
                before = waiting(app)
                assert before == ([one.mail_id] if before else [])
                # Nothing of it is in anybody's way, and sent again it is the same mail.
                ids = await asyncio.gather(*(mailworker.aenqueue(message()) for _ in range(4)))
                if not task.cancelled():
                    assert before == [one.mail_id]
                    return place
                assert await one.asend() == 1
                assert {*before, *waiting(app)} == {one.mail_id, *(mail_id for (mail_id,) in ids)}
            raise AssertionError("a call ends")

        assert asyncio.run(scene(heavy=False, is_open=True)) >= 1
        assert asyncio.run(scene(heavy=False, is_open=False)) >= 3
        assert asyncio.run(scene(heavy=True, is_open=True)) >= 3

    def test_workers_are_woken_for_a_mail_whose_sender_was_cancelled(self, app: Celery, client: redis.Redis) -> None:
        async def scene() -> int:
            await mailworker.aenqueue(message(), delay=60)
            left = 0
            for place in count():
                client.delete("{mailworker}:wake:normal")
                assert await asyncio.to_thread(waker.flush, 30)
                woken()
                task = asyncio.ensure_future(cancelled_at(place, message().asend()))
                await asyncio.wait([task])
                if not task.cancelled():
                    return left
                if waiting(app):
                    left += 1
                    assert await asyncio.to_thread(waker.flush, 30)
                    assert woken() == ["normal"]
            raise AssertionError("a call ends")

        assert on_loop(scene) >= 1

    def test_one_of_our_own_log_records_makes_no_mail(self, app: Celery) -> None:
        from mailworker import log

        sent: list[Any] = []

        async def scene() -> None:
            loop = asyncio.get_running_loop()

            class Mailing(logging.Handler):
                def emit(self, record: logging.LogRecord) -> None:
                    sent.append(loop.create_task(mailworker.aenqueue(message("a record"))))

            handler = Mailing()
            logger = log.get("mailworker.test")
            logger.logger.addHandler(handler)
            logger.warning("no mail of this")
            logger.logger.removeHandler(handler)
            assert await sent[0] == []

        on_loop(scene)
        assert waiting(app) == []


class TestTheLoop:
    def test_is_never_held_up_by_two_hundred_at_once(self, app: Celery, server: RedisServer) -> None:
        # A broker on the wire, too: in kombu's memory one nobody waits.
        own = mailworker.install(Celery("proj", broker=server.url, set_as_current=False))

        async def request(number: int) -> None:
            one = message(f"s{number}")
            if number % 20 == 0:
                one.attach("a.bin", os.urandom(100_000), "application/x-a")
            await one.asend()
            assert one.mail_id is not None
            assert await mailworker.astatus(one.mail_id) is not None
            await mailworker.asend_mail("s", "b", None, ["a@example.com"], html_message="<p>b")
            if number % 3 == 0:
                assert await mailworker.acancel(one.mail_id)

        async def scene() -> list[str]:
            with Blocking() as blocking:
                await asyncio.gather(*(request(number) for number in range(200)))
            return blocking.calls

        assert on_loop(scene) == []
        # The look-out sees what it is for: the twin, in the loop.
        spools.close(own)

        async def wrong() -> list[str]:
            with Blocking() as blocking:
                message().send()
            return blocking.calls

        assert {"socket.connect", "socket.sendall", "socket.recv"} <= set(on_loop(wrong))
        assert waker.flush(30)
        spools.close(own)
        dispatch.close(own)

    def test_prepares_once_for_all_that_wait_for_it(self, app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
        prepare = loops._prepare
        prepared: list[int] = []

        def noted() -> None:
            prepared.append(1)
            prepare()

        async def scene() -> None:
            first = asyncio.ensure_future(message().asend())
            await asyncio.sleep(0)
            # Whoever was first may not wait for the end.
            first.cancel()
            await asyncio.gather(*(message().asend() for _ in range(50)))
            assert not loops._preparing

        monkeypatch.setattr(loops, "_prepare", noted)
        monkeypatch.setattr(loops, "_prepared", None)
        on_loop(scene)
        assert len(prepared) <= 2
        assert len(spool(app).ids(State.DUE)) in (50, 51)

    def test_composes_one_message_a_round_when_many_come_at_once(self) -> None:
        composed: list[int] = []
        rounds: list[int] = []

        async def scene() -> None:
            turns, loop = loops.Turns(), asyncio.get_running_loop()
            ended = False

            def tick() -> None:
                rounds.append(len(composed))
                if not ended:
                    loop.call_soon(tick)

            tick()
            await asyncio.gather(*(turns.here(lambda n=n: composed.append(n)) for n in range(50)))  # type: ignore[misc]
            ended = True
            await asyncio.sleep(0)

        on_loop(scene)
        assert composed == list(range(50))
        assert max(later - earlier for earlier, later in pairwise(rounds)) == 1

    def test_composes_heavy_messages_in_a_thread(self) -> None:
        class Own(EmailMessage):
            def message(self) -> Any:
                return super().message()

        light = [
            message(),
            EmailMessage("s", "b" * 60_000, None, ["a@example.com"] * 99),
            message(attachments=[("a.txt", "text", "text/plain")]),
        ]
        heavy = []
        light[0].metadata = {"order": 7, "tags": ["a", "b"]}  # type: ignore[attr-defined]
        for name, value in (
            ("merge_data", {f"{n}@example.com": {"name": "Ann", "n": n} for n in range(60)}),
            ("metadata", {str(n): n for n in range(101)}),
            ("template_id", "x" * 70_000),
        ):
            one = message()
            setattr(one, name, value)
            heavy.append(one)
        heavy += [
            message(attachments=[("a.txt", "x", "text/plain")] * 101),
            EmailMessage("s", "b" * 70_000, None, ["a@example.com"]),
            EmailMultiAlternatives("s", "b", alternatives=[("<p>" * 30_000, "text/html")]),
            message(attachments=[("a", b"1" * 70_000, "application/x-a")]),
            message(attachments=[MIMEImage(b"\xff\xd8", "jpeg")]),
            EmailMessage("s", "b", None, ["a@example.com"] * 101),
            Own("s", "b"),
        ]
        assert [is_heavy(one) for one in light] == [False] * 3
        assert [is_heavy(one) for one in heavy] == [True] * 10

    def test_has_connections_of_its_own_which_end_with_it(self, app: Celery, client: redis.Redis) -> None:
        def connected() -> set[str]:
            return {one["id"] for one in client.client_list() if one["name"] == "mailworker"}

        seen: list[set[str]] = []

        async def scene() -> None:
            await asyncio.gather(*(message().asend() for _ in range(10)))
            seen.append(connected())

        for _ in range(3):
            on_loop(scene)
        threads = [threading.Thread(target=on_loop, args=(scene,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(seen)
        assert not seen[0] & seen[1]
        spools.close(app)
        while connected():
            client.ping()
        assert [loop for loop in loops._here if not loop.is_closed()] == []

    # Python says of what such a loop leaves that nobody has closed it.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.filterwarnings("error")
    def test_that_was_closed_without_a_word_is_forgotten_when_another_asks(
        self, app: Celery, client: redis.Redis
    ) -> None:
        def connected() -> set[str]:
            return {one["id"] for one in client.client_list() if one["name"] == "mailworker"}

        loop = asyncio.new_event_loop()
        loop.run_until_complete(message().asend())
        loop.close()
        left = connected()
        assert left

        gc.disable()
        try:
            on_loop(message().asend)
            # Not when somebody collects garbage, but now.
            until(lambda: not connected() & left)
        finally:
            gc.enable()
        assert loop not in loops._here
        # Nobody is warned of what was not closed.
        gc.collect()

    def test_gets_a_new_spool_when_the_settings_change(self, app: Celery) -> None:
        async def scene() -> list[Any]:
            found = [(await loops.here(*await loops.prepared())).spool]
            with settings.override(MAILWORKER_NAMESPACE="other"):
                found.append((await loops.here(*await loops.prepared())).spool)
                await message().asend()
            with settings.override(MAILWORKER_SPOOL_URL=""):
                found.append((await loops.here(*await loops.prepared())).spool)
            loops.close()
            return found

        first, second, third = on_loop(scene)
        assert first is not None
        assert second is not None
        assert first is not second
        assert third is None


FORKS = """
import asyncio, os, sys
import mailworker
from mailworker import EmailMessage
from mailworker.queue.waker import waker

def message():
    return EmailMessage("s", "b", "a@example.com", ["b@example.com"])

async def twice():
    return await mailworker.aenqueue(message()) + await mailworker.aenqueue(message())

async def parent():
    ids = await twice()
    pid = os.fork()
    if not pid:
        # Out of the parent's loop: a child has one of its own.
        asyncio._set_running_loop(None)
        try:
            child = asyncio.run(twice())
            print("child", len(set(child)), waker.flush(10), flush=True)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    ids += await twice()
    print("parent", len(set(ids)), flush=True)

asyncio.run(parent())
"""


def test_a_forked_child_has_loops_and_a_waker_of_its_own(app: Celery, server: RedisServer, client: redis.Redis) -> None:
    env = {"MAILWORKER_BROKER_URL": server.url}
    with Process([sys.executable, "-W", "error", "-c", FORKS], env) as process:
        assert process.wait() == 0, process.output
        assert process.output.splitlines() == ["child 2 True", "parent 4"]
    assert len(waiting(app)) == 6


def test_a_wake_up_that_was_asked_for_is_made_although_loop_and_process_end(
    app: Celery, server: RedisServer, client: redis.Redis
) -> None:
    code = "import asyncio, mailworker; asyncio.run(mailworker.asend_mail('s', 'b', None, ['a@example.com']))"
    with Process([sys.executable, "-W", "error", "-c", code], {"MAILWORKER_BROKER_URL": server.url}) as process:
        assert process.wait() == 0, process.output
        assert process.output == ""
    assert client.llen("mailworker.normal") == 1


def test_wake_ups_of_many_callers_are_one_and_one_that_fails_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Celery("proj", broker=f"redis://127.0.0.1:{free_port()}/0", set_as_current=False)
    apps.uninstall()
    mailworker.install(app)
    own = Waker()
    conf = settings.current()
    with own._changed:
        # While nobody can be woken, all of these are asked for.
        asking = [threading.Thread(target=own.ask, args=(app, conf, {lane})) for lane in LANES * 5]
        for one in asking:
            one.start()
    for one in asking:
        one.join()
    assert own.flush(30)
    apps.uninstall()
    failed = [record for record in caplog.records if "could be woken" in record.message]
    assert [record.message.partition("(")[2] for record in failed] == ["connection refused): workers look each second"]


class TestWithoutASpool:
    def test_mail_goes_into_tasks_and_what_needs_a_spool_is_refused(self, app: Celery) -> None:
        async def scene() -> None:
            assert await message().asend() == 1
            with pytest.raises(ConfigurationError, match="key= needs the spool"):
                await mailworker.aenqueue(message(), key="k")
            with pytest.raises(ConfigurationError, match="which know no mail by its id"):
                await mailworker.astatus("0" * 32)

        with settings.override(MAILWORKER_SPOOL_URL=""):
            on_loop(scene)
        assert len(taken("mailworker.deliver")) == 1

    def test_eager_mode_and_other_backends_send_in_a_thread_with_the_callers_context(self, app: Celery) -> None:
        var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="")
        seen: list[tuple[str, bool]] = []

        class Noting(LocmemBackend):
            def send_messages(self, email_messages: Sequence[Any], journal: Any = None, **more: Any) -> int:
                seen.append((var.get(), threading.current_thread() is threading.main_thread()))
                return super().send_messages(email_messages, journal, **more)

        async def scene() -> None:
            var.set("request 7")
            assert await message(connection=Noting()).asend() == 1
            with settings.override(MAILWORKER_TASK_ALWAYS_EAGER=True, EMAIL_DELIVERY_BACKEND=path):
                assert await message().asend() == 1
                (mail_id,) = await mailworker.aenqueue([message()])
                found = await mailworker.astatus(mail_id)
                assert found is not None
                assert found.state is State.SENT

        path = "mailworker.mail.backends.locmem.EmailBackend"
        mailworker.outbox.clear()
        on_loop(scene)
        assert len(mailworker.outbox) == 3
        mailworker.outbox.clear()
        assert seen == [("request 7", False)]
