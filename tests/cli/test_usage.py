from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mailworker.cli import failure, main
from mailworker.errors import ConfigurationError, EnqueueError
from tests.processes import Process, clean_environment

COMMANDS = [
    "bulk",
    "cancel",
    "check",
    "dead",
    "demo",
    "health",
    "pause",
    "queue",
    "resume",
    "send",
    "sink",
    "status",
    "worker",
]


@pytest.fixture
def broken():
    """A command that raises what it is told to."""
    raised: list[BaseException] = []

    @click.command("broken")
    def command() -> None:
        raise raised[0]

    main.commands["broken"] = command
    yield raised
    del main.commands["broken"]


def leaves() -> list[tuple[str, click.Command]]:
    found = []
    for name in main.commands:
        command = main.commands[name]
        if isinstance(command, click.Group):
            found += [(f"{name} {sub}", one) for sub, one in command.commands.items()]
        else:
            found.append((name, command))
    return found


def test_every_command_of_the_design_is_there():
    assert sorted(main.commands) == COMMANDS


@pytest.mark.parametrize(("name", "command"), leaves(), ids=lambda value: value if isinstance(value, str) else "")
def test_the_help_of_each_command_has_an_example_and_fits_into_80_columns(name, command):
    result = CliRunner().invoke(main, [*name.split(), "--help"], terminal_width=80)
    assert result.exit_code == 0
    assert f"mailworker {name}" in result.output.partition("Example")[2]
    assert max(len(line) for line in result.output.splitlines()) <= 80


@pytest.mark.parametrize(
    ("name", "command"),
    [(name, command) for name, command in leaves() if name not in ("worker", "sink")],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_command_that_tells_something_has_json(name, command):
    assert "--json" in [flag for option in command.params for flag in option.opts]


@pytest.mark.parametrize("args", [["nosuch"], ["--nosuch"], ["send", "--nosuch"], ["health", "--max-age", "soon"]])
def test_wrong_usage_is_exit_status_2(args):
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 2
    assert "Error: " in result.output


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConfigurationError("EMAIL_PORT is 'x'; expected a number"), "EMAIL_PORT is 'x'; expected a number"),
        (EnqueueError("the broker did not take the mail"), "the broker did not take the mail"),
        (FileNotFoundError(2, "No such file or directory", "/x"), "/x: No such file or directory"),
        (RuntimeError("secret"), "--traceback"),
    ],
)
def test_what_a_command_raises_is_one_sentence_and_exit_status_1(broken, error, said):
    broken.append(error)
    result = CliRunner().invoke(main, ["broken"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert said in result.output
    assert "Traceback" not in result.output
    assert "secret" not in result.output


def test_the_brokers_exceptions_are_told_as_the_brokers_trouble():
    from kombu.exceptions import OperationalError
    from redis.exceptions import ConnectionError as RedisError

    for error in (OperationalError("redis://:password@host"), RedisError("password")):
        said = failure.sentence(error)
        assert "MAILWORKER_BROKER_URL" in said
        assert "password" not in said


@pytest.mark.parametrize("missing", [ImportError("No module named 'boto3'", name="boto3"), NameError("secret")])
def test_a_transport_that_cannot_be_loaded_is_the_settings_fault_and_no_bug(missing, broken, monkeypatch):
    from kombu import transport

    def symbol_by_name(_: str) -> None:
        raise missing

    monkeypatch.setattr(transport, "symbol_by_name", symbol_by_name)
    with pytest.raises(type(missing)) as caught:
        transport.resolve_transport("sqs")
    broken.append(caught.value)
    result = CliRunner().invoke(main, ["broken"])
    assert (result.exit_code, "secret" in result.output) == (1, False)
    assert result.output.startswith("Error: MAILWORKER_BROKER_URL names a broker whose transport cannot be loaded (")
    assert "install its library" in result.output


def test_the_short_help_of_each_command_is_whole():
    assert "..." not in CliRunner().invoke(main, ["--help"], terminal_width=80).output.partition("Commands:")[2]


def test_a_bug_shows_its_traceback_where_that_is_asked_for(broken):
    broken.append(RuntimeError("where it is"))
    result = CliRunner().invoke(main, ["--traceback", "broken"])
    assert isinstance(result.exception, RuntimeError)


@pytest.mark.parametrize(
    ("args", "heavy"),
    [
        (["health"], ["asyncio", "celery", "kombu", "pydantic", "redis", "rich", "smtplib"]),
        (["--help"], ["aiosmtpd", "celery", "kombu", "pydantic", "redis", "rich"]),
    ],
)
def test_a_command_imports_nothing_that_it_does_not_need(args, heavy, tmp_path):
    (tmp_path / ".env").write_text("MAILWORKER_NAMESPACE=shop\n")
    code = (
        "import sys\nfrom mailworker.cli import main\n"
        f"main({args!r}, standalone_mode=False)\nprint('IMPORTED', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**clean_environment(), "XDG_RUNTIME_DIR": str(tmp_path)},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    imported = done.stdout.partition("IMPORTED ")[2].split()
    assert "mailworker.cli" in imported
    assert sorted(set(heavy) & set(imported)) == []


def test_a_working_directory_that_is_gone_stops_no_command(tmp_path):
    # As it is installed: Python 3.13.0 with an empty path of modules first, as in `python -c`, finds no attribute missing there, but
    # ends with a SystemError, and cannot import `socket`.
    gone = tmp_path / "gone"
    gone.mkdir()
    program = Path(sys.executable).with_name("mailworker")
    options = ["send", "--to", "a@example.com", "--body", "x", "--delay", "1h"]
    shell = 'rmdir "$PWD" && exec "$@"'
    command = ["sh", "-c", shell, "sh", str(program), *options]
    with Process(command, {"MAILWORKER_TASK_ALWAYS_EAGER": "1"}, gone) as process:
        assert process.wait() == 0, process.output
        assert re.search(r"^[0-9a-f]{32}$", process.output, re.MULTILINE)
