"""Each code block of the README is run by a test: those that are shell, settings or half a program, here."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.processes import PATIENCE, ROOT, Process, RedisServer, clean_environment, free_port
from tests.readme import README, block

#: Run by .ci/run as they stand.
BY_CI = frozenset({"demo-command", "test-command"})

#: What the README's commands are found under.
BIN = Path(sys.executable).parent


def test_each_block_has_a_name_that_a_test_or_ci_runs() -> None:
    lines = README.splitlines()
    opened = [number for number, line in enumerate(lines) if line.startswith("```")][::2]
    named = [re.fullmatch(r"<!-- (?:run: )?([\w-]+) -->", lines[number - 1]) for number in opened]
    assert [lines[number + 1] for number, name in zip(opened, named, strict=True) if name is None] == []
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    ci = (ROOT / ".ci" / "run").read_text()
    for name in (found.group(1) for found in named if found is not None):
        assert re.search(f"""["']{name}["']""", tests) or (name in BY_CI and f"readme_command {name}" in ci), name


def test_the_block_that_installs_takes_the_extra_that_the_demo_takes() -> None:
    # Run as it stands it would ask for Redis's own port. The demo's command is the same but for the path, and CI runs it.
    venv, install, server = block("install").splitlines()
    assert (venv, server) == ("python3 -m venv .venv && . .venv/bin/activate", "redis-server &")
    assert shlex.split(install) == ["pip", "install", "/path/to/the/clone[demo]"]
    assert "pip install -q '.[demo]'" in README


class FiveMinutes:
    """A newcomer's folder, with the sink and the worker that the README starts in it."""

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        self.folder = folder
        self.port = free_port()
        server = self._stack.enter_context(RedisServer())
        self.env = {"MAILWORKER_BROKER_URL": server.url, "PATH": f"{BIN}:{os.environ['PATH']}"}
        settings = block("dotenv")
        assert "EMAIL_PORT=1025\n" in settings
        (folder / ".env").write_text(settings.replace("1025", str(self.port)))
        (sink,) = block("sink").splitlines()
        self.sink = self._started(f"{sink} --port {self.port} --refuse gone@example.com")
        self.sink.wait_for(str(self.port))
        self.check, worker = block("worker").splitlines()
        self.worker = self._started(worker)
        self.worker.wait_for("ready")

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**clean_environment(), **self.env},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def close(self) -> None:
        self._stack.close()

    def _started(self, command: str) -> Process:
        return self._stack.enter_context(Process(shlex.split(command), self.env, self.folder))


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory) -> Iterator[FiveMinutes]:
    with ExitStack() as stack:
        made = FiveMinutes(tmp_path_factory.mktemp("newcomer"))
        stack.callback(made.close)
        yield made


@pytest.mark.integration
def test_its_five_minutes_bring_a_mail_to_the_sink(newcomer) -> None:
    checked = newcomer.run(*shlex.split(newcomer.check))
    assert "relay" in checked
    newcomer.run(sys.executable, "-c", block("first-mail"))
    newcomer.worker.wait_for("mail accepted")
    newcomer.sink.wait_for("Subject: Your order")


@pytest.mark.integration
def test_its_commands_for_dead_letters_list_show_replay_and_purge_one(newcomer) -> None:
    list_, show, replay, purge = (shlex.split(line, comments=True) for line in block("dead").splitlines())
    refused = "from mailworker import EmailMessage, enqueue\nprint(*enqueue(EmailMessage('s', 'b', None, ['gone@example.com'])))"
    mail_id = newcomer.run(sys.executable, "-c", refused).strip()
    newcomer.worker.wait_for(f"mail is dead.*{mail_id}")
    assert mail_id in newcomer.run(*list_)
    assert "Subject: s" in newcomer.run(*(mail_id[:8] if word == "ID" else word for word in show))
    said = len(newcomer.worker.output)
    newcomer.run(*(mail_id if word == "ID" else word for word in replay))
    newcomer.worker.wait_for(f"mail is dead.*{mail_id}", since=said)
    newcomer.run(*purge, *([] if "--yes" in purge else ["--yes"]))
    assert mail_id not in newcomer.run(*list_)


def _lines(name: str) -> list[str]:
    """Return the commands of a block, those that go over several lines put together."""
    return block(name).replace("\\\n", " ").splitlines()


@pytest.fixture(scope="module")
def newcomers_list(newcomer) -> FiveMinutes:
    """The newcomer with the template and the list of the chapter on bulk sends."""
    for line in _lines("bulk-files"):
        newcomer.run("bash", "-euc", line)
    return newcomer  # type: ignore[no-any-return]  # of a fixture


@pytest.mark.integration
def test_its_bulk_is_looked_at_tried_sent_watched_and_accounted_for(newcomers_list) -> None:
    newcomer = newcomers_list
    dry_run, trial, start, show, report = (shlex.split(line) for line in _lines("bulk-start"))
    looked_at = newcomer.run(*dry_run)
    assert "Subject: Spring has come, Ann" in looked_at
    assert "3 rows: 2 mails would go" in looked_at
    said = len(newcomer.sink.output)
    assert "me@example.com, and for nobody else" in newcomer.run(*trial)
    newcomer.sink.wait_for(r"To: me@example\.com(.|\n)*To: me@example\.com", since=said)
    assert "2 mails queued" in newcomer.run(*start)
    newcomer.sink.wait_for("your silver plan has a new price")
    assert newcomer.run(*show).startswith("spring: ")
    assert "line,reason\n4,email: it is no address" in (newcomer.folder / "bad.csv").read_text()
    # The last answer may still be on its way into the spool.
    newcomer.worker.wait_for(r"mail accepted.*lane=bulk(.|\n)*mail accepted.*lane=bulk")
    newcomer.run(*report)
    sent = (newcomer.folder / "spring.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in sent] == ["recipient", "ann@example.com", "bob@example.org"]


@pytest.mark.integration
def test_its_bulk_with_a_plan_is_listed_paused_changed_and_cancelled(newcomers_list) -> None:
    newcomer = newcomers_list
    start, list_, pause, change, resume, retry, cancel = (shlex.split(line) for line in _lines("bulk-plan"))
    newcomer.run(*start)
    assert re.search(r"^autumn +0 of 2 .*waits for its time", newcomer.run(*list_), re.MULTILINE)
    newcomer.run(*pause)
    assert "the price is wrong" in newcomer.run("mailworker", "bulk", "show", "autumn")
    newcomer.run(*change)
    newcomer.run(*resume)
    shown = newcomer.run("mailworker", "bulk", "show", "autumn")
    assert "at most 5000/min" in shown
    newcomer.run(*["autumn" if word == "spring" else word for word in retry])
    newcomer.run(*cancel)
    assert "cancelled" in newcomer.run("mailworker", "bulk", "show", "autumn")


@pytest.mark.integration
def test_its_bulk_from_a_program_is_queued_and_asked_about(newcomers_list) -> None:
    assert "open" in newcomers_list.run(sys.executable, "-c", block("bulk-send"))
    newcomers_list.worker.wait_for("mail accepted.*domains=example.com.*")


def test_its_settings_of_good_manners_make_a_link_that_its_view_understands(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(block("bulk-settings"))
    code = f"""{block("unsubscribe-view")}
from mailworker.mail import unsubscribe as links

link = "/unsubscribe/" + links.token("ann@example.com", "spring")
web = app.test_client()
assert "<form" in web.get(link).text
assert web.post(link, data={{"List-Unsubscribe": "One-Click"}}).status_code == 200
assert web.post(link[:-1]).status_code == 400
print(open("no-more.txt").read(), end="")
"""
    assert _python(code, tmp_path) == "ann@example.com\n"


def _python(code: str, folder: Path, **env: str) -> str:
    with Process([sys.executable, "-c", code], env, folder) as process:
        assert process.wait() == 0, process.output
        return process.output


def test_its_example_of_rates_are_settings(tmp_path: Path) -> None:
    code = f"{block('rates')}\nimport mailworker\nprint(mailworker.configure(MAILERS=MAILERS).mailer('relay').limits.sessions)"
    assert _python(code, tmp_path) == "10\n"


def test_its_settings_of_a_token_are_settings(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(block("token-settings"))
    (tmp_path / "shop_oauth.py").write_text("def google():\n    return 'token'\n")
    code = "from mailworker import get_connection\nb = get_connection('mailworker.mail.backends.smtp.EmailBackend')\nprint(b.host, b.username)"
    assert _python(code, tmp_path) == "smtp.gmail.com shop@example.com\n"


def test_its_example_of_an_app_of_ones_own_carries_mail(tmp_path: Path) -> None:
    code = f"{block('install-app')}\nassert mailworker.app is app\nprint(sorted(n for n in app.tasks if n.startswith('mailworker')))"
    assert _python(code, tmp_path) == "['mailworker.deliver', 'mailworker.drain']\n"


def test_its_commands_for_developers_are_there() -> None:
    modules = re.findall(r"-m (tests\.[\w.]+)", block("developing"))
    assert len(modules) >= 4
    for module in modules:
        done = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    for path in re.findall(r"bash (\S+)", block("developing")):
        assert (ROOT / path).exists()
    for tool in ("pytest", "ruff", "mypy", "lint-imports"):
        assert f".venv/bin/{tool}" in block("developing")
