"""The pytest plugin as its users have it: pytest in a process of its own, which finds the plugin by its entry point."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.processes import clean_environment, eventually

#: Plugins of this environment that have nothing to do with it, and cost a second to load.
QUIET = ("-p", "no:celery", "-p", "no:docker_tools", "-p", "no:hypothesispytest", "-p", "no:cacheprovider")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> None:
    for name in set(os.environ) - set(clean_environment()):
        monkeypatch.delenv(name)
    # No broker is there: a mail that would be queued is an error.
    monkeypatch.setenv("MAILWORKER_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))


def outcomes(pytester: pytest.Pytester, *args: str, **expected: int) -> pytest.RunResult:
    result = pytester.runpytest_subprocess(*QUIET, *args)
    result.assert_outcomes(**expected)
    return result


OUTBOX = """
import mailworker, pytest
from mailworker.testing import assert_mail_sent, assert_no_mail_sent

@pytest.mark.parametrize("number", range(20))
def test_each_test_has_an_outbox_of_its_own(mail_outbox, number):
    assert mail_outbox == []
    mailworker.send_mail(f"Order {number}", "Text.", None, ["ann@example.com"], key="same")
    mailworker.send_mail("Later", "Text.", None, ["ann@example.com"], delay=60)
    assert mailworker.outbox is mail_outbox
    assert_mail_sent(subject=f"Order {number}")

@pytest.mark.parametrize("number", range(3))
def test_time_comes_back_after_a_test(mail_outbox, run_due, number):
    mailworker.send_mail("Reminder", "Text.", None, ["ann@example.com"], delay=7200)
    assert run_due(after=3600) == 0
    assert_no_mail_sent()
    assert run_due(after=3600) == 1
    assert_mail_sent(subject="Reminder")

def test_without_a_fixture_the_queue_is_the_projects():
    with pytest.raises(mailworker.EnqueueError):
        mailworker.send_mail("Subject", "Text.", None, ["ann@example.com"])

@pytest.mark.parametrize("number", range(3))
def test_eager_mode_delivers_with_the_projects_backend(mailworker_eager, monkeypatch, number):
    from mailworker import settings
    with settings.override(EMAIL_DELIVERY_BACKEND="mailworker.mail.backends.dummy.EmailBackend"):
        message = mailworker.EmailMessage("Subject", "Text.", None, ["ann@example.com"])
        assert message.send() == 1
    assert mailworker.status(message.mail_id).state == "sent"
    assert mailworker.outbox == []

def test_every_mailer_goes_to_the_outbox(mail_outbox):
    mailworker.send_mail("News", "Text.", None, ["ann@example.com"], using="news")
    mailworker.send_mail("Direct", "Text.", None, ["ann@example.com"], using="direct")
    assert [message.subject for message in mail_outbox] == ["News", "Direct"]
    assert mail_outbox[1].queue_options is None
"""

MAILERS = """
import pytest
from mailworker import settings

@pytest.fixture(scope="session", autouse=True)
def mailers():
    queue = {"BACKEND": "mailworker.mail.backends.queue.EmailBackend", "OPTIONS": {"mailer": "relay"}}
    smtp = {"BACKEND": "mailworker.mail.backends.smtp.EmailBackend", "OPTIONS": {"host": "no.such.host.invalid"}}
    with settings.override(MAILERS={"news": queue, "direct": smtp, "relay": smtp}):
        yield
"""


@pytest.mark.parametrize("args", [("-n", "0"), ("-n", "2")], ids=["alone", "in_parallel"])
def test_each_test_has_mail_of_its_own_in_random_order(pytester: pytest.Pytester, args: tuple[str, ...]) -> None:
    pytester.makeconftest(MAILERS)
    pytester.makepyfile(OUTBOX)
    outcomes(pytester, *args, passed=28)


SERVER = """
import mailworker, pytest
from mailworker.testing import assert_mail_sent, assert_no_mail_sent

@pytest.mark.parametrize("number", range(2))
def test_the_server_answers_what_it_is_told(smtp_server, number):
    assert smtp_server.messages == []
    smtp_server.script(rcpt={"ann@example.com": "450 4.2.0 busy"})
    with pytest.raises(mailworker.DeliveryDeferred):
        mailworker.send_mail("Hello", "Text.", "shop@example.com", ["ann@example.com"])
    assert_no_mail_sent(among=smtp_server)
    smtp_server.script()
    mailworker.send_mail("Hello", "Text.", "shop@example.com", ["ann@example.com"], html_message="<b>Text.</b>")
    (message,) = assert_mail_sent(among=smtp_server, to="ann@example.com", html="<b>")
    assert message.recipients == ("ann@example.com",)

def test_every_way_to_send_leads_there(smtp_server):
    smtp = mailworker.get_connection("mailworker.mail.backends.smtp.EmailBackend")
    mailworker.send_mail("One", "Text.", None, ["ann@example.com"], connection=smtp)
    mailworker.send_mail("Two", "Text.", None, ["ann@example.com"], using="direct")
    mailworker.send_mail("Three", "Text.", None, ["ann@example.com"], using="news")
    assert [message.subject for message in smtp_server.messages] == ["One", "Two", "Three"]

def test_a_name_that_no_script_has_is_told(smtp_server):
    with pytest.raises(TypeError, match="rctp"):
        smtp_server.script(rctp="450 busy")

def test_both(mail_outbox, smtp_server):
    pass

def test_both_one_after_the_other(mail_outbox, request):
    request.getfixturevalue("smtp_server")
"""


def test_a_scripted_server_gets_the_mail_of_its_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(MAILERS)
    pytester.makepyfile(SERVER)
    result = outcomes(pytester, passed=4, errors=1, failed=1)
    assert result.stdout.str().count("mail_outbox and smtp_server (which mailworker_worker brings along) each say") >= 2
    result.stdout.fnmatch_lines(["mail_outbox and smtp_server (which mailworker_worker brings along) each say where*"])


def test_what_a_program_configures_only_in_the_test_reaches_no_relay(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        shop="""
        import mailworker
        smtp = {"BACKEND": "mailworker.mail.backends.smtp.EmailBackend", "OPTIONS": {"host": "no.such.host.invalid"}}
        mailworker.configure(
            EMAIL_HOST="no.such.host.invalid", EMAIL_USE_TLS=True, MAILERS={"news": smtp}, MAILWORKER_TASK_ALWAYS_EAGER=False
        )
        """
    )
    pytester.makepyfile("""
        import mailworker, pytest
        from mailworker import settings
        from mailworker.testing import assert_mail_sent

        @pytest.mark.parametrize("number", range(2))
        def test_kept(mail_outbox, number):
            import shop
            mailworker.send_mail("One", "Text.", None, ["ann@example.com"])
            mailworker.send_mail("Two", "Text.", None, ["ann@example.com"], using="news")
            assert [message.subject for message in mail_outbox] == ["One", "Two"]

        def test_served(smtp_server):
            mailworker.configure(MAILERS={"more": {"OPTIONS": {"host": "no.such.host.invalid"}}})
            mailworker.send_mail("One", "Text.", None, ["ann@example.com"], using="more")
            assert_mail_sent(among=smtp_server, subject="One")
            with settings.override(EMAIL_SUBJECT_PREFIX="[x] "):
                mailworker.send_mail("Two", "Text.", None, ["ann@example.com"], using="more")
            assert_mail_sent(among=smtp_server, subject="Two")

        def test_afterwards():
            assert settings.current().mailer("more").options["host"] == "no.such.host.invalid"
            assert settings.current().EMAIL_HOST == "no.such.host.invalid"
    """)
    outcomes(pytester, "-p", "no:randomly", passed=4)


def test_a_failure_shows_the_mail_and_no_inner_line(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import mailworker
        from mailworker.testing import assert_mail_sent

        def test_it(mail_outbox):
            mailworker.send_mail("Your ordre", "Text.", None, ["ann@example.com"])
            assert_mail_sent(to="ann@example.com", subject="Your order")
    """)
    result = outcomes(pytester, failed=1)
    result.stdout.fnmatch_lines(
        [
            "E*expected 1 mail with to='ann@example.com', subject='Your order', found 0 among 1 sent:",
            "E *to *subject *from",
            "E *1  ann@example.com  Your ordre  webmaster@localhost",
            "E *nearest is 1: its subject is 'Your ordre', expected 'Your order'",
            "*test_a_failure_shows_the_mail_and_no_inner_line.py:6: AssertionError",
        ]
    )
    assert "expectation.py" not in result.stdout.str()


WORKER = """
import os, mailworker, pytest
from mailworker.testing import assert_mail_sent, assert_no_mail_sent

@pytest.fixture(scope="session")
def seen():
    return []

@pytest.mark.parametrize("number", range(3))
def test_a_worker_delivers(mailworker_worker, smtp_server, number, seen):
    # The key of every test is new to the worker.
    message = mailworker.EmailMessage("Order", "Text.", None, ["ann@example.com"])
    (mail_id,) = mailworker.enqueue(message, key="order", using="news")
    mailworker_worker.wait_until_drained()
    assert_mail_sent(among=smtp_server, to="ann@example.com")
    assert mailworker.status(mail_id).attempts == 1
    seen.append(mailworker_worker.namespace)

@pytest.mark.parametrize("number", range(2))
def test_a_mail_is_tried_again_soon(mailworker_worker, smtp_server, number):
    smtp_server.script(rcpt={"ann@example.com": ["450 4.2.0 busy"]})
    mailworker.send_mail("Order", "Text.", None, ["ann@example.com"])
    mailworker_worker.wait_until_drained()
    assert_mail_sent(among=smtp_server, to="ann@example.com")
    assert smtp_server.connections_ever >= 1

def test_what_is_left_undone_is_gone_with_its_worker(mailworker_worker, smtp_server):
    mailworker.pause("relay")
    mailworker.send_mail("Order", "Text.", None, ["ann@example.com"])
    with pytest.raises(AssertionError, match=r"1 of the mails are not finished after 0.2 s:\\n  mail [0-9a-f]{32} is due") as caught:
        mailworker_worker.wait_until_drained(timeout=0.2)
    assert "ready." in str(caught.value)

def test_a_mailer_that_is_named_too_late_is_told(mailworker_worker, smtp_server):
    from mailworker import settings
    with settings.override(MAILERS={"late": {"OPTIONS": {"host": "no.such.host.invalid"}}}):
        mailworker.enqueue(mailworker.EmailMessage("Order", "Text.", None, ["ann@example.com"]), using="late")
        with pytest.raises(AssertionError, match="the worker does not know its mailer 'late': name it in MAILERS before"):
            mailworker_worker.wait_until_drained(timeout=0.2)

def test_a_mail_for_later_is_not_waited_for(mailworker_worker, smtp_server):
    mailworker.send_mail("Order", "Text.", None, ["ann@example.com"], delay=3600)
    mailworker_worker.wait_until_drained()
    assert_no_mail_sent(among=smtp_server)

def test_without_a_worker_all_is_as_before(mail_outbox):
    mailworker.send_mail("Order", "Text.", None, ["ann@example.com"])
    assert_mail_sent(subject="Order")

def test_last(seen):
    assert len(set(seen)) == 1
"""


@pytest.mark.integration
@pytest.mark.parametrize("has_redis", [True, False], ids=["redis_server", "fakeredis"])
def test_a_real_worker_is_shared_and_starts_each_test_without_mail(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, has_redis: bool
) -> None:
    if not has_redis:
        monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    pytester.makeconftest(MAILERS)
    pytester.makepyfile(WORKER)
    outcomes(pytester, "-p", "no:randomly", passed=10)
    assert_nothing_runs(pytester)


def test_a_bulk_ends_in_the_outbox_at_its_time_and_in_no_other_test(pytester: pytest.Pytester) -> None:
    (pytester.path / "templates").mkdir()
    for name in ("news.txt", "news.subject.txt"):
        (pytester.path / "templates" / name).write_text("Hello {{ name }}")
    pytester.makepyfile(
        """
        import pytest
        from mailworker import bulk
        from mailworker.testing import assert_mail_sent, assert_no_mail_sent

        ROWS = [{"email": f"r{n}@example.com", "name": f"Reader {n}"} for n in range(3)]

        @pytest.mark.parametrize("number", range(2))
        def test_a_bulk(mail_outbox, run_due, number):
            assert bulk.send("news-1", "news", ROWS, rate="1/h").new == 3
            assert_mail_sent(to="r2@example.com", subject="Hello Reader 2")
            assert bulk.send("news-2", "news", ROWS, delay=3600).new == 3
            assert len(mail_outbox) == 3
            run_due(after=3600)
            assert len(mail_outbox) == 6
        """
    )
    outcomes(pytester, passed=2)


@pytest.mark.integration
def test_a_worker_signs_links_with_the_keys_of_the_project(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAILWORKER_UNSUBSCRIBE_URL", "https://example.com/unsubscribe/{token}")
    monkeypatch.setenv("MAILWORKER_UNSUBSCRIBE_KEYS", "a secret of at least sixteen letters")
    (pytester.path / "templates").mkdir()
    for name in ("news.txt", "news.subject.txt"):
        (pytester.path / "templates" / name).write_text("Hello {{ name }}")
    pytester.makepyfile(
        """
        import email

        from mailworker import bulk

        def test_a_bulk(mailworker_worker, smtp_server):
            bulk.send("news-1", "news", [{"email": "ann@example.com", "name": "Ann"}])
            mailworker_worker.wait_until_drained()
            (message,) = smtp_server.messages
            link = email.message_from_bytes(message.content)["List-Unsubscribe"].strip("<> \\r\\n")
            assert bulk.verify_unsubscribe(link.rpartition("/")[2]) == ("ann@example.com", "news-1")
        """
    )
    outcomes(pytester, passed=1)


@pytest.mark.integration
def test_a_worker_serves_tests_in_random_order_and_in_parallel(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(MAILERS)
    pytester.makepyfile(WORKER.replace("assert len(set(seen)) == 1", "pass"))
    outcomes(pytester, "-n", "2", passed=10)
    assert_nothing_runs(pytester)


@pytest.mark.integration
def test_a_project_with_a_celery_app_of_its_own_has_it_back_after_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        proj="""
        import celery, mailworker
        app = mailworker.install(celery.Celery("proj", broker="redis://127.0.0.1:1/0"))
        """
    )
    pytester.makepyfile("""
        import mailworker
        from mailworker.testing import assert_mail_sent

        def test_with_a_worker_meanwhile(mailworker_worker, smtp_server):
            import proj

            mailworker.send_mail("Order", "Text.", None, ["ann@example.com"])
            mailworker_worker.wait_until_drained()
            assert_mail_sent(among=smtp_server, subject="Order")
            assert mailworker.app is not proj.app

        def test_afterwards():
            import proj
            assert mailworker.app is proj.app

        def test_in_eager_mode(mail_outbox):
            import proj
            mailworker.send_mail("Order", "Text.", None, ["ann@example.com"])
            assert_mail_sent(subject="Order")
            assert mailworker.app is proj.app

        def test_with_a_worker(mailworker_worker, smtp_server):
            import proj
            mailworker.send_mail("Order", "Text.", None, ["ann@example.com"])
            mailworker_worker.wait_until_drained()
            assert_mail_sent(among=smtp_server, subject="Order")
            assert mailworker.app is not proj.app

        def test_at_last():
            import proj
            assert mailworker.app is proj.app
    """)
    outcomes(pytester, "-p", "no:randomly", passed=5)


@pytest.mark.integration
@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGINT)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_an_interrupted_test_leaves_nothing_running(pytester: pytest.Pytester, end: str) -> None:
    pytester.makepyfile(f"""
        import os, signal, mailworker

        def test_it(mailworker_worker):
            mailworker.send_mail("Order", "Text.", None, ["ann@example.com"])
            {end}
    """)
    result = pytester.runpytest_subprocess(*QUIET)
    assert result.ret != 0
    assert_nothing_runs(pytester)


def test_a_worker_without_any_redis_is_one_sentence(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    pytester.makeconftest("""
        import importlib.util, sys
        found = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *args: None if name == "fakeredis" else found(name, *args)
    """)
    pytester.makepyfile("def test_it(mailworker_worker): pass")
    result = outcomes(pytester, errors=1)
    result.stdout.fnmatch_lines(
        ["mailworker_worker needs a Redis of its own, and there is neither a redis-server in PATH*"]
    )
    assert "another exception" not in result.stdout.str()


def test_beside_pytest_django_each_outbox_has_its_own_mail(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(site_settings="SECRET_KEY = 'x'\nUSE_TZ = True\nEMAIL_BACKEND = 'proj.no.such.Backend'\n")
    pytester.makepyfile("""
        import django.core.mail, mailworker
        from mailworker.testing import assert_mail_sent, assert_no_mail_sent

        def test_both(mail_outbox, mailoutbox):
            django.core.mail.send_mail("Django's", "Text.", None, ["ann@example.com"])
            mailworker.send_mail("Ours", "Text.", None, ["ann@example.com"])
            assert [one.subject for one in mailoutbox] == ["Django's"]
            assert django.core.mail.outbox is mailoutbox
            assert_mail_sent(subject="Ours")
            assert_mail_sent(among=mailoutbox, subject="Django's", to="ann@example.com")

        def test_afterwards(mailoutbox, mail_outbox):
            assert mailoutbox == mail_outbox == []
    """)
    outcomes(pytester, "--ds", "site_settings", passed=2)


def test_it_costs_nothing_until_a_fixture_is_used() -> None:
    program = """
import sys, pytest
before = set(sys.modules)
import mailworker.testing.plugin
new = sorted(set(sys.modules) - before)
assert "mailworker.testing.plugin" in new
print([name for name in new if not name.startswith("mailworker")], [name for name in new if name.startswith("mailworker")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=clean_environment())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "[] ['mailworker', 'mailworker.testing', 'mailworker.testing.plugin']\n"


def test_a_run_that_uses_no_fixture_loads_nothing_either(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import sys

        def test_it(request):
            assert request.config.pluginmanager.hasplugin("mailworker")
            assert not {"celery", "redis", "kombu", "pydantic", "mailworker.mail", "mailworker.settings"} & set(sys.modules)
    """)
    outcomes(pytester, "-p", "no:django", passed=1)


def assert_nothing_runs(pytester: pytest.Pytester) -> None:
    """Make sure that no process is left of a run: those of a test have the run's temporary folder in their environment."""

    def left() -> list[str]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("PYTHONPATH", "").endswith(str(pytester.path)):
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return found

    eventually(lambda: not left(), "the end of the run's processes")
