from __future__ import annotations

import email
import json

import pytest
from click.testing import CliRunner

from mailworker import EmailMessage, settings
from mailworker.cli import main
from mailworker.lane import Lane
from mailworker.mail.codec import Codec
from mailworker.mail.sealing import Sealer
from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.queue import app as apps
from mailworker.queue import cargo, dead, dispatch, lanes
from mailworker.queue.dispatch import Dispatch
from mailworker.spool.record import Ledger, Mail, State
from tests.processes import RedisServer

pytestmark = pytest.mark.integration

IDS = ["a" * 32, "aaaab" + "0" * 27, "c" * 32]


@pytest.fixture(scope="module")
def redis():
    with RedisServer() as server:
        yield server


@pytest.fixture
def queue(redis, request):
    """Three entries: dead, held, and what is no mail."""
    namespace = f"t{abs(hash(request.node.name)) % 10**9}"
    with settings.override(
        MAILWORKER_BROKER_URL=redis.url, MAILWORKER_NAMESPACE=namespace, EMAIL_BACKEND=settings.QUEUE_BACKEND
    ):
        app = apps.own()
        out = Dispatch(app, namespace, Sealer([]), 10.0)
        refused = Outcome(OutcomeClass.REJECTED, Reply(550, "No such user here", "5.1.1"))
        taken = Outcome(OutcomeClass.ACCEPTED, Reply(250, "OK"))
        ledger = Ledger(outcomes={"ann@example.com": refused, "bob@example.com": taken}, attempts=3, reason="rejected")
        out.dead(dead.entry(mail(IDS[0], ledger), State.DEAD, Sealer([])))
        out.dead(dead.entry(mail(IDS[1], Ledger(in_doubt=True, reason="in doubt")), State.HELD, Sealer([])))
        broken = dead.broken_entry(cargo.Broken({"x": 1}, "the entry is no mail record: KeyError"))
        out.dead({**broken, "id": IDS[2]})
        yield app, namespace
        dispatch.close(app)
        apps.uninstall()


def mail(mail_id: str, ledger: Ledger) -> Mail:
    message = EmailMessage("Grüße", "the body", "me@example.com", ["ann@example.com", "bob@example.com"])
    return Mail(id=mail_id, payload=Codec().encode(message), ledger=ledger)


def run(*args: str, stdin: str | None = None):
    return CliRunner().invoke(main, ["dead", *args], input=stdin)


def listed() -> list[str]:
    return [one["id"] for one in json.loads(run("list", "--json").output)]


def waiting(app, namespace: str) -> int:
    with app.connection_for_read() as connection:
        queue = lanes.declared(lanes.queue_name(namespace, Lane.NORMAL))(connection.default_channel)
        queue.declare()
        count = 0
        while (message := queue.get()) is not None:
            message.ack()
            count += 1
        return count


def test_the_list_shows_ids_states_and_reasons_and_no_address(queue):
    output = run("list").output
    assert [line[:32] for line in output.splitlines()] == IDS
    assert "dead: rejected (550)" in output
    assert "held: in doubt" in output
    assert "@" not in output
    assert listed() == IDS, "looking takes nothing away"


def test_one_is_shown_with_the_relays_words_for_each_recipient(queue):
    result = run("show", "aaaaaa")
    assert result.exit_code == 0, result.output
    assert "Subject: Grüße" in result.output
    assert "attempts: 3" in result.output
    assert "rejected: ann@example.com: 550 5.1.1 No such user here" in result.output
    assert "accepted: bob@example.com: 250 OK" in result.output
    assert "the body" not in result.output
    shown = json.loads(run("show", IDS[0], "--json").output)
    assert shown["outcomes"]["ann@example.com"]["code"] == 550
    assert shown["headers"]["Subject"] == "Grüße"


def test_the_message_itself_can_be_had(queue):
    parsed = email.message_from_string(run("show", "aaaaaa", "--eml").output)
    assert parsed["From"] == "me@example.com"
    assert run("show", "cccc", "--eml").exit_code == 1


def test_what_is_no_mail_is_shown_as_far_as_it_goes(queue):
    result = run("show", "cccc")
    assert result.exit_code == 0
    assert "broken: the entry is no mail record" in result.output


@pytest.mark.parametrize(("mail_id", "said"), [("ffff", "ffff"), ("aaaa", "2 dead letters")])
def test_an_id_that_leads_to_none_or_to_several_is_exit_status_1(queue, mail_id, said):
    for command in ("show", "replay"):
        result = run(command, mail_id)
        assert result.exit_code == 1
        assert said in result.output
    assert listed() == IDS


def test_a_replayed_one_is_on_its_way_again_and_the_others_stay(queue):
    app, namespace = queue
    result = run("replay", "aaaaa")
    assert (result.exit_code, result.stdout.split()) == (0, [IDS[0]])
    assert listed() == IDS[1:]
    assert waiting(app, namespace) == 1


def test_what_is_no_mail_cannot_be_replayed(queue):
    result = run("replay", "cccc")
    assert result.exit_code == 1
    assert listed() == IDS


def test_all_that_can_be_replayed_is(queue):
    app, namespace = queue
    assert json.loads(run("replay", "--all", "--json").stdout) == {"replayed": IDS[:2]}
    assert listed() == IDS[2:]
    assert waiting(app, namespace) == 2


def test_purging_removes_for_good(queue):
    app, namespace = queue
    assert run("purge", IDS[0], IDS[2]).exit_code == 0
    assert listed() == [IDS[1]]
    assert waiting(app, namespace) == 0


@pytest.mark.parametrize("command", ["show", "replay", "purge"])
@pytest.mark.parametrize("mail_id", ["", "aaa"])
def test_an_empty_or_very_short_id_is_none(queue, command, mail_id):
    result = run(command, mail_id)
    assert result.exit_code == 2
    assert repr(mail_id) in result.output
    assert listed() == IDS


def test_what_is_thrown_away_has_to_be_named_in_full(queue):
    result = run("purge", "aaaaa")
    assert result.exit_code == 2
    assert "expected a whole one" in result.output
    assert run("purge", "f" * 32).exit_code == 1
    assert listed() == IDS


def test_purging_all_wants_a_yes(queue):
    assert run("purge", "--all").exit_code == 2
    assert listed() == IDS
    assert run("purge", "--all", "--yes").exit_code == 0
    assert listed() == []
    assert "no dead letters" in run("list").output


@pytest.mark.parametrize("args", [["replay"], ["purge"], ["replay", "aa", "--all"], ["purge", "aa", "--all"], ["show"]])
def test_nothing_named_or_too_much_is_wrong_usage(queue, args):
    assert run(*args).exit_code == 2
    assert listed() == IDS
