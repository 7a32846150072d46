"""The README tells the truth: its settings, its names, and its examples, which run."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import mailworker
from mailworker.settings import markdown_table
from tests.processes import ROOT, Process, RedisServer

README = (ROOT / "README.md").read_text()


def example(name: str) -> str:
    found = re.search(rf"<!-- run: {name} -->\n```python\n(.*?)```", README, re.DOTALL)
    assert found is not None, f"README.md has no example {name!r}"
    return found.group(1)


def run(code: str, folder: Path, **env: str) -> str:
    with Process([sys.executable, "-c", code], env, folder) as process:
        status = process.wait()
        assert status == 0, process.output
        return process.output


EAGER = {
    "MAILWORKER_TASK_ALWAYS_EAGER": "1",
    "EMAIL_DELIVERY_BACKEND": "mailworker.mail.backends.locmem.EmailBackend",
    "MAILWORKER_BROKER_URL": "redis://127.0.0.1:1/0",
}


def test_its_table_of_settings_is_the_settings() -> None:
    table = README.split("<!-- settings -->\n")[1].split("<!-- /settings -->")[0]
    assert table.strip() == markdown_table().strip()


def test_its_links_lead_to_its_headings_and_to_files() -> None:
    headings = {
        re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if target.startswith("#"):
            assert target[1:] in headings
        elif "://" not in target:
            assert (ROOT / target).exists()


@pytest.mark.parametrize(("name", "sent"), [("first-mail", 1), ("sending", 106)])
def test_its_examples_of_sending_run(name: str, sent: int, tmp_path: Path) -> None:
    code = example(name) + "\nimport mailworker\nmailworker.run_due(datetime(2036, 1, 1, tzinfo=timezone.utc))" * (
        name == "sending"
    )
    output = run(code + "\nimport mailworker\nprint(len(mailworker.outbox))", tmp_path, **EAGER)
    # Half a day and ten years ahead: the reminder had expired by then, and the log says so.
    assert output.splitlines()[-1] == str(sent - (name == "sending"))
    assert output.count("mail expired") == (name == "sending")


def test_its_example_of_mailers_queues_for_the_mailer_it_names(tmp_path: Path) -> None:
    broker = {name: value for name, value in EAGER.items() if name == "MAILWORKER_BROKER_URL"}
    shown = "print(settings.current().mailer('newsletter').delivers_with)"
    code = f"from mailworker import settings\ntry:\n{_indented(example('mailers'))}\nexcept mailworker.EnqueueError:\n    {shown}"
    assert run(code, tmp_path, **broker).strip() == "news"


def test_its_example_of_a_test_is_a_test_that_passes(tmp_path: Path) -> None:
    (tmp_path / "test_example.py").write_text(example("testing"))
    with Process(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)], cwd=tmp_path
    ) as process:
        assert process.wait() == 0, process.output
        assert "1 passed" in process.output


def test_its_example_of_asking_runs_in_tests_as_it_does_in_the_spool(tmp_path: Path) -> None:
    run(example("asking"), tmp_path, **EAGER)


@pytest.mark.integration
def test_its_example_of_asking_runs(tmp_path: Path) -> None:
    with RedisServer() as server:
        run(example("asking"), tmp_path, MAILWORKER_BROKER_URL=server.url)


def test_its_example_of_a_signal_runs(tmp_path: Path) -> None:
    told = """
from mailworker.delivery.event import MailEvent
from mailworker.queue import signals
signals.send(MailEvent(kind="dead", mail_id="7", mailer="relay", lane="normal", domains=("example.com",), codes=(550,), reason="rejected"))
"""
    assert run(example("signals") + told, tmp_path) == (
        "mailer relay: mail 7 to ('example.com',) is dead: (550,) rejected\n"
    )


def test_its_example_of_a_scripted_server_runs(tmp_path: Path) -> None:
    run(example("scripted-server"), tmp_path)


def test_every_public_name_is_there() -> None:
    for name in mailworker.__all__:
        assert getattr(mailworker, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mailworker.nothing


def _indented(code: str) -> str:
    return "".join(f"    {line}" for line in code.splitlines(keepends=True))
