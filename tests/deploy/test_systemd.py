"""The systemd units: what systemd says of them, and what a mail worker needs of it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mailworker.queue import heartbeat
from tests.deploy.parts import DEPLOY, LEAST_GRACE, need

UNITS = sorted(DEPLOY.glob("*.service"))


def verify(unit: str, path: Path) -> str:
    """Return all that systemd-analyze has to say of a unit whose program is put where there is one."""
    text = re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", unit)
    # The user and its folders are made at installation, not where this test runs.
    path.write_text(text, encoding="utf-8")
    done = subprocess.run([need("systemd-analyze"), "verify", "--man=no", str(path)], capture_output=True, text=True)
    return done.stdout + done.stderr


def option(unit: str, name: str) -> str:
    """Return the one value of an option."""
    (value,) = re.findall(rf"(?m)^{name}=(.*)$", unit)
    return str(value)


def name_for_verify(path: Path) -> str:
    """A template is verified as an instance."""
    return path.name.replace("@.", "@high.")


def test_there_is_a_unit_for_all_lanes_and_a_template_for_one():
    assert [path.name for path in UNITS] == ["mailworker.service", "mailworker@.service"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_has_nothing_to_say_of_the_unit(path, tmp_path):
    assert verify(path.read_text(encoding="utf-8"), tmp_path / name_for_verify(path)) == ""


@pytest.mark.parametrize("line", ["KillMod=mixed", "KillMode=mixd", "TimeoutStopSec=fifteen", "Restart"])
def test_that_check_bites_on_a_line_that_systemd_would_pass_over(line, tmp_path):
    unit = UNITS[0].read_text(encoding="utf-8").replace("[Service]\n", f"[Service]\n{line}\n")
    assert verify(unit, tmp_path / "mailworker.service") != ""


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_stop_lets_the_children_finish_the_mail_that_they_are_sending(path):
    unit = path.read_text(encoding="utf-8")
    assert option(unit, "KillMode") == "mixed"
    minutes = re.fullmatch(r"(\d+)min", option(unit, "TimeoutStopSec"))
    assert minutes is not None
    assert int(minutes[1]) * 60 >= LEAST_GRACE
    assert option(unit, "Restart") == "always"


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_the_unit_starts_our_worker_by_an_absolute_path(path):
    program, *arguments = shlex.split(option(path.read_text(encoding="utf-8"), "ExecStart"))
    assert program.startswith("/")
    assert [Path(program).name, arguments[0]] == ["mailworker", "worker"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_the_worker_can_say_that_it_lives_although_the_system_is_read_only(path, tmp_path, monkeypatch):
    unit = path.read_text(encoding="utf-8")
    assert option(unit, "ProtectSystem") == "strict"
    folder = f"/run/{option(unit, 'RuntimeDirectory')}"
    name, _, value = option(unit, "Environment").partition("=")
    assert value == folder
    monkeypatch.setenv(name, str(tmp_path))
    assert heartbeat.directory("mailworker").is_relative_to(tmp_path)


def test_the_whole_installation_is_told_and_names_what_the_unit_needs():
    unit = UNITS[0].read_text(encoding="utf-8")
    told = "\n".join(line for line in unit[: unit.index("[Unit]")].splitlines() if line.startswith("#   "))
    needed = [option(unit, "User"), option(unit, "EnvironmentFile").removeprefix("-"), option(unit, "WorkingDirectory")]
    venv = str(Path(option(unit, "ExecStart").split()[0]).parents[1])
    assert [what for what in [*needed, venv, "--user-group", "systemctl daemon-reload"] if what not in told] == []


def test_the_template_differs_from_the_unit_in_its_description_and_command_only():
    def lines(path: Path) -> set[str]:
        text = path.read_text(encoding="utf-8")
        return {line for line in text[text.index("[Unit]") :].splitlines() if line and not line.startswith("#")}

    plain, template = (lines(path) for path in UNITS)
    assert {line.split("=")[0] for line in plain ^ template} == {"Description", "ExecStart"}
