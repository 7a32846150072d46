"""The Procfile: each line by the letter, and all of it started by honcho, with a mail going through."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import psutil
import pytest

from mailworker.cli import main
from mailworker.sink import Received, Sink
from tests.deploy.parts import ROOT
from tests.processes import PATIENCE, Process, RedisServer, free_port


def processes() -> dict[str, list[str]]:
    """Return name -> command of each line; a line that honcho would pass over in silence is an error."""
    found = {}
    for line in (ROOT / "Procfile").read_text(encoding="utf-8").splitlines():
        match = re.fullmatch(r"([A-Za-z0-9_-]+): (\S.*)", line)
        assert match is not None, f"not of the form `name: command`: {line!r}"
        assert match[1] not in found, f"twice: {match[1]}"
        found[match[1]] = shlex.split(match[2])
    return found


def test_the_procfile_has_a_web_process_and_a_worker():
    assert list(processes()) == ["web", "worker"]


def test_each_command_of_the_procfile_is_there():
    commands = processes()
    assert commands["worker"][0] == "mailworker"
    assert commands["worker"][1] in main.commands
    assert commands["web"][0] == "python"
    assert (ROOT / commands["web"][1]).is_file()


def post(url: str, **form: str) -> tuple[int, str]:
    request = urllib.request.Request(url, urllib.parse.urlencode(form).encode())
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@contextlib.contextmanager
def honcho(environment: dict[str, str]):
    """Run the Procfile as a user would; whatever happens, nothing of it is left."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, "-m", "honcho", "--no-colour", "--no-prefix", "--env", os.devnull, "start"]
    family: list[psutil.Process] = []
    with Process(command, {**environment, "PATH": path}, cwd=ROOT) as process:
        try:
            yield process, family
        finally:
            if process.is_running:
                family.extend(psutil.Process(process.pid).children(recursive=True))
            for member in family:  # honcho gives each process a session of its own
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()


@pytest.mark.integration
def test_honcho_starts_all_a_mail_from_the_page_arrives_and_a_stop_leaves_nothing_running():
    received: list[Received] = []
    port = free_port()
    with RedisServer() as redis, Sink(port=0, on_message=received.append) as sink:
        environment = {
            "MAILWORKER_BROKER_URL": redis.url,
            "EMAIL_HOST": sink.host,
            "EMAIL_PORT": str(sink.port),
            "DEFAULT_FROM_EMAIL": "page@example.com",
            "PORT": str(port),
        }
        with honcho(environment) as (process, family):
            process.wait_for(r" ready\.")  # the worker
            process.wait_for(rf"http://127\.0\.0\.1:{port}/")
            url = f"http://127.0.0.1:{port}/"
            status, page = post(url, to="bob@example.com", subject="Grüße", text="From a page.")
            assert (status, "Queued for bob@example.com." in page) == (200, True), page
            status, page = post(url, to="bob@example.com", subject="x\nBcc: eve@example.com", text="")
            assert (status, "Not sent: " in page) == (400, True), page
            assert sink.wait_for(1, PATIENCE), process.output
            family.extend(psutil.Process(process.pid).children(recursive=True))
            assert len(family) >= 2
            process.signal(signal.SIGTERM)
            process.wait()
            left = psutil.wait_procs(family, timeout=PATIENCE)[1]
            assert left == [], process.output
    (mail,) = received
    assert (mail.sender, mail.recipients) == ("page@example.com", ("bob@example.com",))
    assert ("Subject", "Grüße") in mail.headers()
