from __future__ import annotations

import email
import json

import pytest
from click.testing import CliRunner
from cryptography.fernet import Fernet

from mailworker import EmailMessage, enqueue, settings
from mailworker.cli import main
from mailworker.lane import Lane
from mailworker.mail.codec import Codec
from mailworker.mail.letter import Letter, write_row
from mailworker.mail.sealing import Sealer
from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.queue import app as apps
from mailworker.queue import cargo, dead, dispatch, given_up, lanes
from mailworker.queue.dispatch import Dispatch
from mailworker.spool.bulk import Plan, Row
from mailworker.spool.record import Ledger, Mail, State
from tests.cli.conftest import on_terminal
from tests.processes import RedisServer, free_port

pytestmark = pytest.mark.integration

IDS = ["a" * 32, "aaaab" + "0" * 27, "c" * 32]


@pytest.fixture(scope="module")
def redis():
    with RedisServer() as server:
        yield server


@pytest.fixture
def queue(redis, request):
    """Three entries of the task carrier: dead, held, and what is no mail."""
    namespace = f"t{abs(hash(request.node.name)) % 10**9}"
    with settings.override(
        MAILWORKER_BROKER_URL=redis.url,
        MAILWORKER_SPOOL_URL="",
        MAILWORKER_NAMESPACE=namespace,
        EMAIL_BACKEND=settings.QUEUE_BACKEND,
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


def given_up_in_task(spooled, mail_id: str) -> None:
    """Put a mail that travelled in a task into the broker's dead queue."""
    out = Dispatch(spooled.app, spooled.namespace, Sealer([]), 10.0)
    out.dead(dead.entry(mail(mail_id, Ledger(reason="rejected")), State.DEAD, Sealer([])))


def test_the_spools_and_those_of_tasks_are_one_list_oldest_first(spooled):
    first = spooled.given_up(group="letters")
    given_up_in_task(spooled, IDS[0])
    last = spooled.held()
    assert listed() == [first, IDS[0], last]
    shown = json.loads(run("list", "--json").output)
    assert [one["carrier"] for one in shown] == ["spool", "task", "spool"]
    assert (shown[0]["mailer"], shown[0]["group"], shown[0]["attempts"]) == ("relay", "letters", 1)
    lines = run("list").output.splitlines()
    assert lines[0].endswith("  dead: rejected (550)")
    assert lines[2].endswith("  held: in doubt")


def test_a_list_that_is_cut_says_how_many_there_are(spooled):
    ids = [spooled.given_up() for _ in range(3)]
    given_up_in_task(spooled, IDS[0])
    result = run("list", "--limit", "2", "--json")
    assert [one["id"] for one in json.loads(result.stdout)] == ids[:2]
    assert result.stderr == "2 of 4, the oldest ones: --limit shows more\n"


def test_the_list_can_be_of_one_mailer_or_group(spooled):
    of_group, of_mailer = spooled.given_up(group="letters"), spooled.given_up(using="news")
    both = spooled.given_up(using="news", group="letters")
    given_up_in_task(spooled, IDS[0])

    def found(*args: str) -> list[str]:
        return [one["id"] for one in json.loads(run("list", "--json", *args).stdout)]

    assert found("--group", "letters") == [of_group, both]
    assert found("--mailer", "news") == [of_mailer, both]
    assert found("--mailer", "news", "--group", "letters") == [both]
    assert found("--mailer", "relay") == [of_group, IDS[0]]
    result = run("list", "--group", "letters", "--limit", "1")
    assert result.stderr.startswith("1 of 2")


def test_more_of_them_than_are_read_at_a_time_are_all_there(spooled, monkeypatch):
    monkeypatch.setattr(given_up, "_PAGE", 2)
    ids = [spooled.given_up() for _ in range(5)]
    assert listed() == ids
    assert json.loads(run("replay", "--all", "--json").stdout) == {"replayed": ids}


def test_one_of_the_spool_is_shown_by_its_beginning_with_headers_and_the_relays_words(spooled):
    mail_id = spooled.given_up(subject="Grüße", group="letters")
    result = run("show", mail_id[:8])
    assert result.exit_code == 0, result.output
    for line in (
        "Subject: Grüße", "group: letters", "attempts: 1", "rejected: ann@example.com: 550 5.1.1 No such user here",
        "accepted: bob@example.com: 250 OK",
    ):  # fmt: skip
        assert f"  {line}\n" in result.output
    assert "the body" not in result.output
    assert json.loads(run("show", mail_id, "--json").output)["died_at"] > 1e9


def test_a_message_with_a_large_attachment_comes_whole_from_the_spool(spooled):
    message = EmailMessage("s", "b", "me@example.com", ["ann@example.com"])
    message.attach("data.bin", b"x" * 100_000, "application/octet-stream")
    (mail_id,) = enqueue(message)
    spooled.spool.bury(spooled.claimed()[0], {}, "rejected")
    parsed = email.message_from_bytes(run("show", mail_id, "--eml").stdout_bytes)
    (attached,) = [part for part in parsed.walk() if part.get_filename() == "data.bin"]
    assert attached.get_payload(decode=True) == b"x" * 100_000


def test_a_row_of_a_bulk_is_shown_as_the_message_that_it_makes(spooled, tmp_path):
    (tmp_path / "news.subject.txt").write_text("News for {{ name }}")
    (tmp_path / "news.txt").write_text("the body")
    with settings.override(MAILWORKER_TEMPLATES=[str(tmp_path)]):
        letter = Letter.load("news", from_email="shop@example.com")
    sealer, spool = Sealer(()), spooled.spool
    spool.bulks.begin(Plan(name="spring", letter=letter.encode(sealer), letter_digest=letter.digest))
    row = write_row(letter, {"email": "ann@example.com", "name": "Ann"}, sealer)
    spool.bulks.put("spring", [Row("d" * 32, row, "example.com"), Row("e" * 32, b"damaged", "example.com")])
    spool.bulks.end("spring")
    leased = {one.mail.id: one for one in spooled.claimed()}
    refused = {"ann@example.com": Outcome(OutcomeClass.REJECTED, Reply(550, "No such user here", "5.1.1"))}
    for one in leased.values():
        spool.bury(one, refused, "rejected")
    assert "  Subject: News for Ann\n" in run("show", "d" * 32).output
    parsed = email.message_from_bytes(run("show", "d" * 32, "--eml").stdout_bytes)
    assert (parsed["To"], parsed["Precedence"]) == ("ann@example.com", "bulk")
    assert run("show", "e" * 32, "--eml").exit_code == 1


def test_a_message_of_the_spool_that_no_key_opens_is_said_to_be_unreadable(spooled):
    with settings.override(MAILWORKER_ENCRYPTION_KEYS=Fernet.generate_key().decode()):
        mail_id = spooled.queued()
    spooled.spool.bury(spooled.claimed()[0], {}, "no key opens it")
    assert run("show", mail_id).exit_code == 0
    result = run("show", mail_id, "--eml")
    assert (result.exit_code, "holds no message that can be read" in result.output) == (1, True)


def test_replaying_makes_them_due_now_wherever_they_are(spooled):
    ids = [spooled.given_up(), spooled.held()]
    given_up_in_task(spooled, IDS[0])
    result = run("replay", ids[0][:8], ids[1], IDS[0])
    assert result.exit_code == 0, result.output
    assert sorted(result.stdout.split()) == sorted([*ids, IDS[0]])
    assert result.stderr == "replayed: 3, due now\n"
    assert [spooled.state(mail_id) for mail_id in ids] == ["due", "due"]
    assert "bob@example.com" in spooled.spool.status(ids[0]).outcomes, "who has it is not tried again"
    assert listed() == []


def test_purging_throws_away_the_dead_and_takes_back_the_held(spooled):
    ids = [spooled.given_up(), spooled.held()]
    given_up_in_task(spooled, IDS[0])
    kept = spooled.given_up()
    assert run("purge", *ids, IDS[0]).exit_code == 0
    assert [spooled.state(mail_id) for mail_id in ids] == [None, "cancelled"]
    assert listed() == [kept]
    assert run("purge", "--all", "--yes").exit_code == 0
    assert listed() == []


def test_the_beginning_of_ids_in_both_places_is_of_several(spooled):
    mail_id = spooled.given_up()
    given_up_in_task(spooled, mail_id[:8] + "0" * 24)
    result = run("show", mail_id[:8])
    assert (result.exit_code, "2 dead letters" in result.output) == (1, True)
    assert run("show", mail_id).exit_code == 0


def test_a_mail_that_is_not_given_up_is_no_dead_letter(spooled):
    mail_id = spooled.queued()
    for command in ("show", "replay", "purge"):
        result = run(command, mail_id)
        assert (result.exit_code, "no dead letter" in result.output) == (1, True)
    assert spooled.state(mail_id) == "due"


def away() -> str:
    return f"redis://:hidden@127.0.0.1:{free_port()}/0"


def test_where_the_broker_is_away_the_spools_are_shown_with_a_warning(spooled, redis):
    mail_id = spooled.given_up()
    with settings.override(MAILWORKER_BROKER_URL=away(), MAILWORKER_SPOOL_URL=redis.url):
        result = run("list", "--json")
        assert [one["id"] for one in json.loads(result.stdout)] == [mail_id]
        assert result.exit_code == 0
        assert result.stderr.startswith("warning: the broker cannot be reached (connection refused)")
        assert run("show", mail_id).exit_code == 0
        assert run("replay", mail_id).exit_code == 0
    assert spooled.state(mail_id) == "due"
    assert "hidden" not in result.output


def test_where_the_spool_is_away_those_of_tasks_are_shown_with_a_warning(spooled):
    given_up_in_task(spooled, IDS[0])
    with settings.override(MAILWORKER_SPOOL_URL=away()):
        result = run("list", "--json")
        assert [one["id"] for one in json.loads(result.stdout)] == [IDS[0]]
        assert result.exit_code == 0
        assert result.stderr.startswith("warning: the spool cannot be reached (connection refused)")
        assert "hidden" not in result.output
        result = run("purge", "f" * 32)
        assert (result.exit_code, "warning: the spool" in result.stderr) == (1, True)


def test_all_of_them_are_not_all_where_one_place_is_away(spooled):
    given_up_in_task(spooled, IDS[0])
    with settings.override(MAILWORKER_SPOOL_URL=away()):
        result = run("purge", "--all", "--yes")
    assert (result.exit_code, result.stdout) == (1, f"{IDS[0]}\n")
    assert result.stderr.endswith("Error: these were not all\n")


def test_on_a_terminal_many_are_replayed_with_a_bar(spooled):
    for _ in range(60):
        spooled.given_up()
    with on_terminal("dead", "replay", "--all", env=spooled.env) as terminal:
        terminal.said("100%")
        terminal.said("replayed: 60, due now")
        assert terminal.ends() == 0
    assert spooled.spool.stats().counts == {("relay", Lane.NORMAL, State.DUE): 60}


@pytest.mark.parametrize(("answer", "left"), [("n", 1), ("y", 0)])
def test_on_a_terminal_it_asks_before_all_are_thrown_away(spooled, answer, left):
    spooled.given_up()
    with on_terminal("dead", "purge", "--all", env=spooled.env) as terminal:
        terminal.said("Throw away every dead letter?")
        terminal.types(f"{answer}\n")
        assert terminal.ends() == left
    assert len(listed()) == left
