from __future__ import annotations

import signal
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailworker import bulk, run_due, settings
from mailworker.bulk.sending import start
from mailworker.errors import (
    BulkRefused,
    ConfigurationError,
    EnqueueError,
    RowsError,
    SuppressionUnavailable,
    TemplateError,
)
from mailworker.mail.letter import Letter, read_row
from mailworker.queue.compose import tools
from mailworker.spool.bulk import Bulk, BulkGate
from mailworker.spool.record import State
from tests.bulk.conftest import KEY, rows, wanted
from tests.bulk.peak import PEAK
from tests.processes import PATIENCE, Process
from tests.proxy import Proxy

pytestmark = pytest.mark.integration

OTHER_KEY = "aKUT_1f0w5pM7RYUUCj9nCmGXyIWJHmXoPKuSWg_l1s="

BAD = [{"email": "nobody", "name": "N"}, {"email": "x@example.com"}]


def counts(filled):
    return {name: getattr(filled, name) for name in ("read", "new", "known", "duplicates", "suppressed", "bad")}


def none(**some):
    return {"read": 0, "new": 0, "known": 0, "duplicates": 0, "suppressed": 0, "bad": 0, **some}


def test_each_row_is_a_mail_in_the_order_of_the_list(place):
    filled = bulk.send("news-1", "news", (row for row in rows(1203)))
    assert counts(filled) == none(read=1203, new=1203)
    stands = place.bulk()
    assert (stands.gate, stands.rows, stands.read, stands.states) == (BulkGate.OPEN, 1203, 1203, {State.DUE: 1203})
    letter = place.spool.bulks.letter("news-1")
    assert letter is not None
    sealer = tools(settings.current()).sealer
    found = Letter.decode(letter, sealer)
    taken = [found.named(read_row(one.mail.payload, sealer)[1]) for one in place.claimed(1203)]
    assert taken == rows(1203)


def test_bad_rows_are_told_by_their_line_and_the_others_go(place, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("email,name\nann@example.com,Ann\nnobody,N\nbob@example.com\n\ncy@example.com,Cy\n")
    filled = bulk.send("news-1", "news", path)
    assert counts(filled) == none(read=4, new=2, bad=2)
    assert [bad.line for bad in filled.bad_rows] == [3, 4]
    assert "nobody" not in str(filled.bad_rows)
    assert place.bulk().bad == 2


def test_who_is_listed_twice_gets_one_mail(place):
    listed = [*rows(700), {"email": "USER5@Example2.com", "name": "again"}, *rows(3)]
    assert counts(bulk.send("news-1", "news", listed)) == none(read=704, new=700, duplicates=4)
    assert place.bulk().rows == 700


@pytest.mark.parametrize("name", ["\N{GRINNING FACE}" * 200, 'a/b:c{d}"e\\f%s', "[*]?", "ünï©ødé"])
def test_a_bulk_may_have_any_name_that_can_be_printed(place, name):
    assert counts(bulk.send(name, "news", [*rows(10), *rows(2)])) == none(read=12, new=10, duplicates=2)
    assert [one.plan.name for one in bulk.list()] == [name]
    assert bulk.pause(name, "a look").gate is BulkGate.PAUSED
    assert bulk.resume(name).gate is BulkGate.OPEN
    place.settle(4)
    assert Counter(line.state for line in bulk.report(name)) == {"sent": 4, "due": 6}
    assert bulk.cancel(name).states == {State.SENT: 4, State.CANCELLED: 6}


def test_the_same_call_again_adds_only_what_is_missing(place):
    bulk.send("news-1", "news", rows(600))
    place.settle(10)
    known: list[Bulk] = []
    filled = start(wanted(rows(1100)), on_known=known.append)
    assert counts(filled) == none(read=1100, new=500, known=600)
    assert known[0].rows == 600
    assert place.bulk().states == {State.DUE: 1090, State.SENT: 10}


def test_a_bulk_keeps_the_plan_that_it_was_begun_with(place):
    bulk.send("news-1", "news", rows(2), rate="5/s", at=datetime.now(UTC) + timedelta(hours=1))
    due_at = place.bulk().plan.due_at
    bulk.send("news-1", "news", rows(3), rate="9/s", delay=5)
    assert (place.bulk().plan.timetable.rate, place.bulk().plan.due_at) == (5.0, due_at)


def test_suppressed_recipients_are_in_the_report_and_get_nothing(place, tmp_path):
    path = tmp_path / "gone.txt"
    path.write_text("user1@example1.com\n")
    with settings.override(MAILWORKER_SUPPRESSION=str(path)):
        filled = bulk.send("news-1", "news", rows(5), suppress=["example0.com"])
    assert counts(filled) == none(read=5, new=2, suppressed=3)
    assert place.bulk().states == {State.DUE: 2, State.DROPPED: 3}
    assert {line.recipient: line.reason for line in bulk.report("news-1") if line.state == "dropped"} == {
        f"user{n}@example{n % 3}.com": "suppressed" for n in (0, 1, 3)
    }


def test_who_is_suppressed_when_a_bulk_is_filled_further_gets_nothing_of_what_is_queued(place):
    bulk.send("news-1", "news", rows(6))
    place.settle(2)
    assert counts(bulk.send("news-1", "news", rows(7), suppress=["example0.com"])) == none(
        read=7, known=6, suppressed=1
    )
    assert place.bulk().states == {State.SENT: 2, State.DUE: 3, State.DROPPED: 2}


def test_the_list_of_the_bulk_is_named_for_the_worker(place, tmp_path):
    path = tmp_path / "gone.txt"
    path.write_text("user1@example1.com\n")
    bulk.send("news-1", "news", rows(5), suppress=path)
    assert f'"suppress": "{path}"' in place.bulk().plan.note
    with pytest.raises(SuppressionUnavailable):
        bulk.send("news-2", "news", rows(5), suppress=tmp_path / "none.txt")
    assert place.spool.bulks.get("news-2") is None


def test_strict_ends_at_the_first_bad_row_with_the_gate_closed(place):
    with pytest.raises(RowsError, match=r"line 601: email: it is no address"):
        bulk.send("news-1", "news", [*rows(600), *BAD, *rows(5, 600)], strict=True)
    stands = place.bulk()
    assert (stands.gate, stands.rows) == (BulkGate.FILLING, 500)
    assert not place.claimed(10)
    # Mended, it goes on.
    assert counts(bulk.send("news-1", "news", rows(605), strict=True)) == none(read=605, new=105, known=500)
    assert place.claimed(10)


def test_nothing_goes_before_the_last_row_unless_it_is_asked_for(place):
    def looking(wait):
        for row in rows(1500):
            yield row
            if row["name"] == "User 1400":
                # Two batches are in by now.
                seen[wait] = len(place.claimed(5))

    seen: dict[bool, int] = {}
    bulk.send("news-1", "news", looking(True))
    bulk.cancel("news-1")
    bulk.send("news-2", "news", looking(False), wait=False)
    assert seen == {True: 0, False: 5}


def test_a_list_that_breaks_in_the_middle_leaves_the_gate_closed_and_is_gone_on_with(place):
    def broken():
        yield from rows(1200)
        raise RuntimeError("the database is away")

    with pytest.raises(RuntimeError, match="the database is away"):
        bulk.send("news-1", "news", broken())
    assert place.bulk().gate is BulkGate.FILLING
    assert not place.claimed(1)
    assert counts(bulk.send("news-1", "news", rows(1300))) == none(read=1300, new=300, known=1000)
    assert place.bulk().gate is BulkGate.OPEN


def test_a_list_that_breaks_before_its_first_row_leaves_nothing(place):
    with pytest.raises(RowsError):
        bulk.send("news-1", "news", BAD, strict=True)
    # With another letter even.
    assert counts(bulk.send("news-1", "other", rows(1))) == none(read=1, new=1)


def test_an_empty_list_ends_at_once(place):
    assert counts(bulk.send("news-1", "news", [])) == none()
    stands = place.bulk()
    assert (stands.gate, stands.left, stands.rows) == (BulkGate.OPEN, 0, 0)


def test_a_bulk_that_is_known_with_another_letter_is_refused_and_its_gate_stays_open(place):
    bulk.send("news-1", "news", rows(3))
    others: list[dict[str, Any]] = [{"template": "other"}, {"from_email": "other@example.com"}, {"to": "name"}]
    for options in others:
        with pytest.raises(BulkRefused, match="its mails say something else"):
            bulk.send(**{"name": "news-1", "template": "news", "rows": rows(3), **options})
    with pytest.raises(BulkRefused, match="goes by the lane 'bulk', not 'high'"):
        bulk.send("news-1", "news", rows(3), lane="high")
    assert place.bulk().gate is BulkGate.OPEN
    assert len(place.claimed(5)) == 3


def test_a_cancelled_bulk_takes_no_rows(place):
    bulk.send("news-1", "news", rows(3))
    bulk.cancel("news-1")
    with pytest.raises(BulkRefused, match="is cancelled, and takes no rows any more"):
        bulk.send("news-1", "news", rows(4))


def test_a_bulk_that_is_cancelled_while_it_is_filled_is_told(place):
    def cancelling():
        # The first five hundred are in by now, the next ones perhaps.
        yield from rows(1100)
        bulk.cancel("news-1")
        yield from rows(1500, 1100)

    with pytest.raises(BulkRefused, match="the bulk 'news-1' takes no more rows: the bulk 'news-1' is cancelled"):
        bulk.send("news-1", "news", cancelling())
    assert set(place.bulk().states) == {State.CANCELLED}


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (
            "mail,name\n",
            {},
            "there is no column 'email' with the recipient: the list has mail, name; name the right one",
        ),
        ("email,nam\n", {}, "there is no column 'name', which the template 'news' needs: the list has email, nam"),
        (
            "E-Mail,name\n",
            {"to": "name", "headers": {"X-Mail": "{{ E_Mail }}"}},
            "the list has E-Mail, name; rename 'E-Mail' to 'E_Mail', since the name of a variable has neither spaces nor signs",
        ),
    ],
)
def test_a_list_without_a_column_that_each_mail_needs_is_one_error(place, tmp_path, content, options, said):
    (tmp_path / "list.csv").write_text(content)
    with pytest.raises(RowsError) as error:
        bulk.send("news-1", "news", tmp_path / "list.csv", **options)
    assert said in str(error.value)
    assert place.spool.bulks.get("news-1") is None


def test_what_cannot_be_started_leaves_nothing(place, tmp_path):
    for error, call in (
        (TemplateError, lambda: bulk.send("news-1", "nosuch", rows(1))),
        (RowsError, lambda: bulk.send("news-1", "news", tmp_path / "none.csv")),
        (TypeError, lambda: bulk.send("news-1", "news", 5)),  # type: ignore[arg-type]
        (ConfigurationError, lambda: bulk.send("news-1", "news", rows(1), using="nobody")),
        (ValueError, lambda: bulk.send("news-1", "news", rows(1), strict=True, wait=False)),
        (BulkRefused, lambda: bulk.send("news-1", "news", rows(1), at=datetime(2020, 1, 1, tzinfo=UTC))),
    ):
        with pytest.raises(error):
            call()
    assert place.spool.bulks.get("news-1") is None


def test_progress_is_told_as_it_goes_on(place):
    told = []
    bulk.send("news-1", "news", rows(1600), on_progress=lambda progress: told.append((progress.new, progress.share)))
    assert told[0][0] == 500
    assert told[-1] == (1600, 1.0)
    assert told == sorted(told)


def test_rows_and_letter_are_sealed_where_there_are_keys(place, redis):
    with settings.override(MAILWORKER_ENCRYPTION_KEYS=[KEY]):
        bulk.send("news-1", "news", [{"email": "ann@secret.example", "name": "Hildegard"}])
        assert [line.recipient for line in bulk.report("news-1")] == ["ann@secret.example"]
    import redis as client

    with client.Redis.from_url(redis.url) as raw:
        kept = b"".join(
            bytes(value)
            for key in raw.scan_iter()
            if place.env["MAILWORKER_NAMESPACE"].encode() in key
            for value in [raw.dump(key) or b""]
        )
    for secret in (b"Hildegard", b"secret.example", b"there is news"):
        assert secret not in kept


@pytest.mark.parametrize(
    ("then", "now"),
    [((), (KEY,)), ((KEY,), ()), ((KEY,), (OTHER_KEY,)), ((KEY,), (KEY, OTHER_KEY))],
    ids=["set", "taken away", "replaced", "put last"],
)
def test_with_keys_by_which_its_recipients_are_not_known_again_a_bulk_is_not_filled(place, then, now):
    with settings.override(MAILWORKER_ENCRYPTION_KEYS=then):
        bulk.send("news-1", "news", rows(3))
    with settings.override(MAILWORKER_ENCRYPTION_KEYS=now), pytest.raises(BulkRefused, match="ENCRYPTION_KEYS"):
        bulk.send("news-1", "news", rows(4))
    assert (place.bulk().rows, place.bulk().gate) == (3, BulkGate.OPEN)


def test_a_new_key_that_is_put_first_leaves_a_bulk_as_it_is(place):
    with settings.override(MAILWORKER_ENCRYPTION_KEYS=[KEY]):
        bulk.send("news-1", "news", rows(3))
    with settings.override(MAILWORKER_ENCRYPTION_KEYS=[OTHER_KEY, KEY]):
        assert counts(bulk.send("news-1", "news", rows(4))) == none(read=4, new=1, known=3)
        assert [line.recipient for line in bulk.report("news-1")] == [row["email"] for row in rows(4)]


def test_without_a_spool_there_are_no_bulks(templates):
    with (
        settings.override(
            MAILWORKER_SPOOL_URL="",
            MAILWORKER_BROKER_URL="redis://127.0.0.1:1/0",
            MAILWORKER_TEMPLATES=[templates],
            EMAIL_BACKEND=settings.QUEUE_BACKEND,
        ),
        pytest.raises(ConfigurationError, match="a bulk needs the spool, and mail travels in Celery tasks here"),
    ):
        bulk.send("news-1", "news", rows(1))


def test_in_eager_mode_the_mails_are_sent_in_this_process(in_process):
    filled = bulk.send("news-1", "news", rows(3))
    assert counts(filled) == none(read=3, new=3)
    assert [(message.to, message.subject) for message in in_process] == [
        ([f"user{n}@example{n}.com"], f"News for User {n}") for n in range(3)
    ]
    assert bulk.show("news-1").states == {State.SENT: 3}
    assert counts(bulk.send("news-1", "news", rows(4))) == none(read=4, new=1, known=3)
    assert len(in_process) == 4


def test_in_eager_mode_a_rate_holds_nothing_back_and_hours_do(in_process):
    bulk.send("news-1", "news", rows(30), rate="2/s")
    assert len(in_process) == 30
    assert bulk.retime("news-1", rate="1/h").plan.timetable.rate == pytest.approx(1 / 3600)
    bulk.send("news-1", "news", rows(40))
    assert len(in_process) == 40
    opens = datetime.now(UTC) + timedelta(hours=2)
    closes = opens + timedelta(hours=1)
    bulk.send("news-2", "news", rows(5), between=f"{opens:%H:%M}-{closes:%H:%M} UTC", rate="1/s")
    assert len(in_process) == 40
    run_due(after=timedelta(hours=2.5))
    assert len(in_process) == 45


def test_in_eager_mode_a_bulk_for_later_waits_for_run_due(in_process):
    at = datetime.now(UTC) + timedelta(hours=1)
    bulk.send("news-1", "news", rows(2), at=at)
    assert not in_process
    assert run_due(at + timedelta(seconds=1)) == 2
    assert len(in_process) == 2


def test_run_due_sends_what_would_have_gone_in_hours_that_lie_between(in_process):
    soon = datetime.now(UTC) + timedelta(hours=2)
    for name, days in (("now", 0), ("later", 2)):
        bulk.send(
            name,
            "news",
            rows(2),
            at=soon + timedelta(days=days),
            between=f"{soon:%H:%M}-{soon + timedelta(hours=1):%H:%M} UTC",
        )
    assert run_due(soon - timedelta(hours=1)) == 0
    assert run_due(soon + timedelta(hours=5)) == 2
    assert bulk.show("now").ended_at == pytest.approx(soon.timestamp(), abs=60)
    assert bulk.show("later").states == {State.DUE: 2}
    assert run_due(after=timedelta(days=2)) == 2


class Clock:
    """Time that passes only in waits; what a test wants done in one is done then."""

    def __init__(self, *steps):
        self.steps = list(steps)
        self.now = 0.0
        self.waits = []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.waits.append(seconds)
        self.now += seconds
        if self.steps:
            self.steps.pop(0)()


def test_a_spool_that_is_away_for_a_while_is_waited_for_and_each_row_is_counted_once(place, redis, monkeypatch):
    clock = Clock(lambda: None, lambda: redis.signal(signal.SIGCONT))
    monkeypatch.setattr("mailworker.bulk.filling.time", clock)

    def stalling():
        yield from rows(1200)
        # Now the second batch is on its way, or its answer is.
        redis.signal(signal.SIGSTOP)
        yield from rows(800, 1200)

    with settings.override(MAILWORKER_ENQUEUE_TIMEOUT=0.3):
        filled = bulk.send("news-1", "news", stalling())
    assert counts(filled) == none(read=2000, new=2000)
    assert (place.bulk().rows, place.bulk().gate) == (2000, BulkGate.OPEN)
    assert clock.waits[:2] == [0.1, 0.2]


def test_a_gate_whose_opening_was_not_confirmed_is_opened_and_its_list_counted_once(place, redis, monkeypatch):
    # The server knows the scripts, so that it does at once what it is told.
    bulk.send("news-0", "news", rows(1))
    with Proxy(redis.port) as proxy:
        clock = Clock(lambda: proxy.lag(0))
        monkeypatch.setattr("mailworker.bulk.sending.time", clock)
        through = f"redis://127.0.0.1:{proxy.port}/0"
        with settings.override(MAILWORKER_BROKER_URL=through, MAILWORKER_ENQUEUE_TIMEOUT=0.3):
            bulk.send("news-1", "news", rows(20), on_progress=lambda progress: proxy.lag(1.0))
    assert clock.waits == [0.1]
    assert (place.bulk().read, place.bulk().gate) == (20, BulkGate.OPEN)


def test_a_spool_that_stays_away_ends_it_after_a_minute_and_the_call_again_goes_on(place, redis, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("mailworker.bulk.filling.time", clock)

    def dying():
        yield from rows(700)
        redis.signal(signal.SIGSTOP)
        yield from rows(800, 700)

    try:
        with settings.override(MAILWORKER_ENQUEUE_TIMEOUT=0.05), pytest.raises(EnqueueError) as error:
            bulk.send("news-1", "news", dying())
    finally:
        redis.signal(signal.SIGCONT)
    assert "has not answered for a minute" in str(error.value)
    assert "behind its closed gate: start it again as it was, and it goes on from there" in str(error.value)
    assert sum(clock.waits) == pytest.approx(60)
    assert max(clock.waits) == 5.0
    assert place.bulk().gate is BulkGate.FILLING
    filled = bulk.send("news-1", "news", rows(1500))
    assert filled.new + filled.known == 1500
    assert place.bulk().rows == 1500


PRODUCER = """
import sys
from mailworker import bulk
def rows():
    for n in range(5000):
        yield {"email": f"user{n}@example.com", "name": f"User {n}"}
        if n == 3200:
            print("in the middle", flush=True)
            sys.stdin.read() if sys.argv[1] == "stop" else None
            import time; time.sleep(3600) if sys.argv[1] == "stop" else None
bulk.send("news-1", "news", rows())
print("done", flush=True)
"""


def test_a_producer_that_is_killed_in_the_middle_is_gone_on_with_by_the_same_call(place):
    with Process([sys.executable, "-c", PRODUCER, "stop"], place.env) as producer:
        producer.wait_for("in the middle")
        producer.signal(signal.SIGKILL)
        producer.wait()
    stands = place.bulk()
    assert (stands.gate, stands.rows) == (BulkGate.FILLING, 3000)
    assert not place.claimed(1)
    with Process([sys.executable, "-c", PRODUCER, "go"], place.env) as producer:
        producer.wait_for("done")
    stands = place.bulk()
    assert (stands.gate, stands.rows, stands.states) == (BulkGate.OPEN, 5000, {State.DUE: 5000})
    taken = [one.mail.id for _ in range(10) for one in place.claimed(1000)]
    assert len(taken) == len(set(taken)) == 5000


def test_two_processes_that_fill_one_bulk_at_a_time_make_one_mail_of_each_row(place):
    with (
        Process([sys.executable, "-c", PRODUCER, "go"], place.env) as one,
        Process([sys.executable, "-c", PRODUCER, "go"], place.env) as other,
    ):
        one.wait_for("done")
        other.wait_for("done")
    assert place.bulk().rows == 5000
    assert place.bulk().gate is BulkGate.OPEN
    taken = [one.mail.id for _ in range(10) for one in place.claimed(1000)]
    assert len(taken) == len(set(taken)) == 5000


def test_two_threads_do_not_fill_one_bulk_at_a_time(place):
    def twice():
        with ThreadPoolExecutor(1) as other:
            refused.append(other.submit(bulk.send, "news-1", "news", rows(3)).exception(PATIENCE))
        yield from rows(3)

    refused: list[BaseException | None] = []
    assert bulk.send("news-1", "news", twice()).new == 3
    assert "is being filled just now, by another thread of this process" in str(refused[0])
    assert bulk.send("news-1", "news", rows(3)).known == 3


def test_a_long_list_is_queued_in_little_memory(place):
    program = (
        PEAK + "from mailworker import bulk\n"
        "rows = ({'email': f'user{n}@example.com', 'name': f'User {n}'} for n in range(100_000))\n"
        "filled = bulk.send('news-1', 'news', rows)\n"
        "assert filled.new == 100_000\n"
        "print('MB', peak(), flush=True)\n"
    )
    with Process([sys.executable, "-c", program], place.env) as producer:
        producer.wait_for("MB")
        assert producer.wait() == 0
        assert int(producer.output.split()[-1]) < 150
