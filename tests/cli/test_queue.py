from __future__ import annotations

import json
import signal

import pytest

from mailworker import bulk, settings
from mailworker.cli.queue import limits_shown, picture
from mailworker.lane import LANES, Lane
from mailworker.settings import MailerLimits
from mailworker.spool.base import MailerState, SpoolStats
from mailworker.spool.bulk import Plan
from mailworker.spool.record import State
from tests.cli.conftest import on_terminal, run

pytestmark = pytest.mark.integration


def test_what_waits_is_counted_by_mailer_lane_and_state(spooled):
    spooled.given_up()
    for _ in range(2):
        spooled.queued(lane="bulk", delay=60)
    spooled.queued(using="news")
    result = run("queue")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    assert ["normal", "dead", "1", "#" * 15] in lines
    assert ["bulk", "due", "2", "#" * 30, "2", "of", "them", "later"] in lines
    assert lines[-1] == ["normal", "due", "1", "#" * 15]
    assert "the oldest that is due has waited 0 s" in result.output
    shown = json.loads(run("queue", "--json").output)
    assert shown["later"] == {"relay": {"bulk": 2}}
    assert shown["counts"] == {"relay": {"normal": {"dead": 1}, "bulk": {"due": 2}}, "news": {"normal": {"due": 1}}}


def test_each_mailers_gate_and_limits_are_shown_also_of_one_that_has_no_mail(spooled):
    spooled.spool.pause("relay", "the provider is down")
    spooled.spool.trip("news", [240], "connection refused")
    output = run("queue").output
    assert "relay: paused by a person: the provider is down\n" in output
    (news,) = [line for line in output.splitlines() if line.startswith("news: ")]
    assert news.startswith("news: paused by its breaker (trouble) until ")
    assert news.endswith(", in 4 min: connection refused")
    assert "  at most 14/s in bursts of 20; 2 sessions; example.net: 30/min, 2 at a time\n" in output
    shown = json.loads(run("queue", "--json").output)
    assert shown["mailers"]["relay"]["paused_by_person"] is True
    assert shown["mailers"]["relay"]["reason"] == "the provider is down"
    assert shown["mailers"]["news"]["failures"] == 1
    assert shown["mailers"]["news"]["limits"]["domain_rate"] == {"example.net": 0.5}
    assert shown["mailers"]["news"]["limits"]["sessions"] == 2


def test_how_many_sessions_are_in_use_is_shown_and_that_a_mail_waits_for_one(spooled):
    ids = [spooled.queued(using="news") for _ in range(3)]
    for taken, slot in enumerate(("one", "two")):
        assert f"news: open, {taken} of 2 sessions in use\n" in run("queue").output
        assert "held up" not in run("status", ids[-1]).output
        assert len(spooled.spool.claim(LANES, 1, 60, "news", slot).leased) == 1
    assert "news: open, 2 of 2 sessions in use\n" in run("queue").output
    assert json.loads(run("queue", "--json").output)["mailers"]["news"]["sessions"] == 2
    (waiting,) = [one for one in ids if f"{one}: due" in run("status", one).output]
    assert "its mailer is open, 2 of 2 sessions in use" in run("status", waiting).output


def test_a_mailer_that_nobody_paused_is_open_and_an_empty_queue_says_so(spooled):
    output = run("queue").output
    assert "nothing is due now" in output
    assert "relay: open\n" in output
    assert json.loads(run("queue", "--json").output)["counts"] == {}


def test_mails_of_a_mailer_that_is_not_in_the_settings_any_more_are_shown_with_a_hint():
    stats = SpoolStats({("old", Lane.NORMAL, State.DUE): 1}, 5.0, {"old": MailerState(failures=2, reason="refused")})
    lines = list(picture(stats, {}, "redis://host/0", 0.0))
    assert lines[2].endswith(": \x1b[33mopen for one mail, after trouble 2 in a row\x1b[0m: refused")
    assert lines[3] == "  no mailer of this name is in the settings here"


def test_what_is_finished_has_no_bar_and_makes_no_other_bar_shorter():
    counts = {("a", Lane.NORMAL, State.SENT): 100_000, ("a", Lane.NORMAL, State.DUE): 2}
    lines = [line.split() for line in picture(SpoolStats(counts, None, {}), {}, "redis://host/0", 0.0)]
    assert ["normal", "due", "2", "#" * 30] in lines
    assert ["sent", "100,000"] in lines


@pytest.mark.parametrize(
    ("limits", "shown"),
    [
        (MailerLimits(rate=14.0), "14/s"),
        (MailerLimits(rate=100 / 60, burst=5), "100/min in bursts of 5"),
        (MailerLimits(rate=0.5), "30/min"),
        (MailerLimits(rate=5 / 3600), "5/h"),
        (MailerLimits(rate=2 / 86400), "2/day"),
        (MailerLimits(domain_concurrency={"b.example": 3}, domain_rate={"a.example": 1.0}), "a.example: 1/s; b.example: 3 at a time"),
    ],
)  # fmt: skip
def test_limits_are_told_in_the_unit_that_fits(limits, shown):
    assert limits_shown(limits) == shown


def test_where_mail_travels_in_tasks_the_brokers_queues_are_counted(spooled):
    with settings.override(MAILWORKER_SPOOL_URL="", MAILERS={}):
        for _ in range(3):
            spooled.queued(lane="high")
        result = run("queue")
        assert result.exit_code == 0, result.output
        assert ["high", "3"] in [line.split() for line in result.output.splitlines()]
        shown = json.loads(run("queue", "--json").output)
    assert shown == {"spool": None, "tasks": {"high": 3, "normal": 0, "bulk": 0, "dead": 0}}


def test_on_a_terminal_it_can_be_watched_until_ctrl_c(spooled):
    spooled.queued(lane="bulk", delay=60)
    with on_terminal("queue", "--watch", env=spooled.env) as terminal:
        terminal.said("bulk    due       1")
        spooled.queued(lane="bulk", delay=60)
        terminal.said("bulk    due       2", count=2)
        terminal.signal(signal.SIGINT)
        assert terminal.ends() == 0


@pytest.mark.parametrize("args", [["--watch"], ["--watch", "--json"]])
def test_there_is_nothing_to_watch_for_a_program(spooled, args):
    assert run("queue", *args).exit_code == 2


def test_groups_that_are_paused_or_cancelled_are_named(spooled):
    spooled.queued(group="may")
    spooled.spool.pause_group("may")
    spooled.queued(group="june")
    spooled.spool.cancel_group("june")
    output = run("queue").output
    assert "\ngroup 'june': cancelled\ngroup 'may': paused\n" in output
    assert json.loads(run("queue", "--json").output)["groups"] == {"june": "cancelled", "may": "paused"}


def test_a_bulk_says_what_its_mails_wait_for_and_is_no_group_beside(spooled, tmp_path):
    for file in ("news.subject.txt", "news.txt"):
        (tmp_path / file).write_text("Hello")
    row = [{"email": "ann@example.com"}]
    with settings.override(MAILWORKER_TEMPLATES=[tmp_path]):
        bulk.send("later", "news", row, delay=3600)
        bulk.send("halted", "news", row)
        bulk.send("slow", "news", row, rate="5/s")
        bulk.send("over", "news", row)
    bulk.pause("halted", "the price is wrong")
    bulk.cancel("over")
    spooled.spool.pause_group("letters")
    first, second, third, fourth = run("queue").output.splitlines()[-4:]
    assert first == "bulk 'slow': 1 to go, sending; at most 5/s"
    assert second == "bulk 'halted': 1 to go, paused: the price is wrong"
    assert third.startswith("bulk 'later': 1 to go, waits for its time: ")
    assert fourth == "group 'letters': paused"
    shown = json.loads(run("queue", "--json").output)
    assert list(shown["bulks"]) == ["slow", "halted", "later"]
    assert shown["bulks"]["halted"] == {"left": 1, "phase": "paused", "text": "paused: the price is wrong"}
    assert shown["groups"] == {"halted": "paused", "letters": "paused", "over": "cancelled"}


def test_a_bulk_whose_list_comes_in_is_shown_before_its_first_mail(spooled):
    spooled.spool.bulks.begin(Plan(name="big", letter=b"x", letter_digest="d", mailer="relay", lane=Lane.BULK))
    assert run("queue").output.endswith("bulk 'big': 0 to go, its list comes in; the gate opens after the last row\n")
