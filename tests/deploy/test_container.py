"""The image and the compose file: well-formed, complete, and fit for a mail worker."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from mailworker.cli import main
from tests.deploy.parts import DEPLOY, LEAST_GRACE, ROOT, load_yaml

CONTAINERFILE = DEPLOY / "Containerfile"
COMPOSE = DEPLOY / "compose.yaml"

ALL_TEXT = "\n".join(
    path.read_text(encoding="utf-8") for path in sorted(DEPLOY.rglob("*")) if path.is_file() and path.suffix != ".pyc"
)

INSTRUCTIONS = {"CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "HEALTHCHECK", "RUN", "STOPSIGNAL", "USER", "WORKDIR"}


def parse(text: str) -> list[tuple[str, str]]:
    """Return instruction and arguments, line for line; comments out, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^\s*#.*\n", "", text))
    return [
        (word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)
    ]


def last_stage() -> dict[str, str]:
    """Return the last value of each instruction in the stage that becomes the image."""
    instructions = parse(CONTAINERFILE.read_text(encoding="utf-8"))
    start = max(index for index, (word, _) in enumerate(instructions) if word == "FROM")
    return dict(instructions[start:])


def grace(service: dict[str, Any]) -> int:
    match = re.fullmatch(r"(\d+)m", service["stop_grace_period"])
    assert match is not None
    return int(match[1]) * 60


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    (document,) = load_yaml(COMPOSE)
    found = document["services"]
    assert isinstance(found, dict)
    return found


def test_every_line_of_the_containerfile_is_an_instruction():
    assert {word for word, _ in parse(CONTAINERFILE.read_text(encoding="utf-8"))} <= INSTRUCTIONS


def test_the_linter_for_containerfiles_has_nothing_to_say():
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed; the extra `dev` has it")
    done = subprocess.run([hadolint, "--no-color", str(CONTAINERFILE)], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_file_that_the_image_copies_is_there_and_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    sources = [
        source
        for word, rest in parse(CONTAINERFILE.read_text(encoding="utf-8"))
        if word in {"COPY", "ADD"} and not rest.startswith("--from=")
        for source in rest.split()[:-1]
    ]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{PurePosixPath(source)}" in ignored, source


def test_what_the_wheel_is_built_from_is_copied():
    copied = CONTAINERFILE.read_text(encoding="utf-8")
    for name in ("pyproject.toml", "README.md", "LICENSE", "mailworker"):
        assert re.search(rf"(?m)^COPY .*\b{re.escape(name)}\b", copied), name


def test_the_image_runs_our_commands_as_nobody_in_particular():
    stage = last_stage()
    assert json.loads(stage["ENTRYPOINT"]) == ["mailworker"]
    (command,) = json.loads(stage["CMD"])
    assert command in main.commands
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", stage["USER"])
    assert stage["STOPSIGNAL"] == "SIGTERM"


def test_the_image_is_asked_for_its_health_by_our_own_command():
    words = last_stage()["HEALTHCHECK"]
    assert json.loads(words[words.index("CMD ") + 4 :]) == ["mailworker", "health"]
    assert "health" in main.commands


def test_the_compose_file_is_what_compose_wants(tmp_path):
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, str(COMPOSE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = tmp_path / "compose.yaml"
    broken.write_text(COMPOSE.read_text(encoding="utf-8").replace("depends_on:", "depend_on:"), encoding="utf-8")
    assert subprocess.run([*check, str(broken)], capture_output=True).returncode == 1


def test_the_compose_file_builds_from_our_containerfile(services):
    build = services["worker"]["build"]
    context = (COMPOSE.parent / build["context"]).resolve()
    assert context == ROOT
    assert context / build["dockerfile"] == CONTAINERFILE


def test_one_service_builds_the_image_and_no_other_builds_or_pulls_it(services):
    ours = {name: service for name, service in services.items() if service["image"] == "mailworker"}
    assert [name for name, service in ours.items() if "build" in service] == ["worker"]
    assert {service["pull_policy"] for name, service in ours.items() if name != "worker"} == {"never"}


def test_no_process_of_ours_is_process_1_which_would_not_hear_a_sigterm_while_it_starts(services):
    assert {service["init"] for service in services.values() if service["image"] == "mailworker"} == {True}


def test_every_command_that_a_comment_tells_to_run_is_one_that_we_have_with_options_that_it_has():
    told = re.findall(r"(?m)^#.* (?:/\S*/)?mailworker (send|health|worker|sink|check|dead|demo)\b(.*)$", ALL_TEXT)
    assert {command for command, _ in told} == {"send", "health"}
    for command, rest in told:
        main.commands[command].make_context(command, shlex.split(rest)).close()


def test_every_service_of_ours_runs_a_command_that_we_have_with_options_that_it_has(services):
    for name, service in services.items():
        if service["image"] != "mailworker":
            continue
        command, *arguments = service["command"]
        known = {flag for option in main.commands[command].params for flag in option.opts}
        assert {word for word in arguments if word.startswith("--")} <= known, name


def test_redis_keeps_what_it_has_acknowledged_and_evicts_nothing(services):
    redis = services["redis"]
    options = dict(zip(redis["command"][1::2], redis["command"][2::2], strict=True))
    assert (options["--appendonly"], options["--maxmemory-policy"]) == ("yes", "noeviction")
    (volume,) = redis["volumes"]
    assert volume.endswith(":/data")


def test_the_worker_waits_for_its_broker_reaches_it_by_name_and_may_finish_its_mail(services):
    worker = services["worker"]
    assert worker["depends_on"]["redis"] == {"condition": "service_healthy"}
    assert worker["environment"]["MAILWORKER_BROKER_URL"].startswith("redis://redis:")
    assert worker["environment"]["EMAIL_HOST"] in services
    assert grace(worker) >= LEAST_GRACE


def test_no_port_is_opened_to_the_network(services):
    assert [name for name, service in services.items() if "ports" in service] == []
