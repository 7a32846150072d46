"""Workers that log in with access tokens: from the project's function to the relay, and what holds mail up there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import mailworker
from mailworker import EmailMessage
from mailworker.testing.smtpd import ScriptedServer
from tests.integration.conftest import Broker
from tests.processes import Worker

pytestmark = pytest.mark.integration

USER = "shop@example.com"
FIRST, SECOND = "ya29.Plutonium-first", "ya29.Quicksilver-second"

#: A project whose function gives what stands in a file, and fails where there is none.
PROJECT = """
import logging, os, time
from pathlib import Path
from mailworker import AccessToken

def token():
    logging.getLogger("shop").warning("the function is called")
    found = Path(os.environ["TOKEN_FILE"]).read_text()
    if found.startswith("!"):
        raise LookupError(found)
    return AccessToken(found, time.time() + 3600)
"""


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    """The file that the function reads."""
    (tmp_path / "tokenshop.py").write_text(PROJECT)
    return tmp_path / "token"


@pytest.fixture
def start(
    spool: Broker, relay: ScriptedServer, vault: Path, start_worker: Callable[..., Worker]
) -> Callable[[], Worker]:
    relay.script(tokens={USER: FIRST}, mechanisms=["OAUTHBEARER", "XOAUTH2"], require_auth=True)

    def start() -> Worker:
        return start_worker(
            spool,
            *("-c", "1", "-l", "DEBUG"),
            EMAIL_HOST_USER=USER,
            MAILWORKER_OAUTH_TOKEN="tokenshop:token",
            PYTHONPATH=str(vault.parent),
            TOKEN_FILE=str(vault),
        )

    return start


def send() -> str:
    message = EmailMessage("Hello", "Text.", "from@example.com", ["ann@example.org"])
    message.send()
    assert message.mail_id is not None
    return message.mail_id


def attempts(mail_id: str) -> int:
    found = mailworker.status(mail_id)
    assert found is not None
    return found.attempts


def shows_a_token(worker: Worker) -> bool:
    return any(token.partition(".")[2][:12] in worker.output for token in (FIRST, SECOND))


def test_a_worker_keeps_a_token_and_asks_for_another_one_when_it_is_refused(
    relay: ScriptedServer, vault: Path, start: Callable[[], Worker]
) -> None:
    vault.write_text(FIRST)
    worker = start()
    for count in (1, 2):
        send()
        relay.wait_for(count)
        relay.hang_up()
    assert worker.output.count("the function is called") == 1
    relay.behaviour.tokens = {USER: SECOND}
    vault.write_text(SECOND)
    send()
    relay.wait_for(3)
    assert [session.tokens for session in relay.sessions] == [[FIRST], [FIRST], [FIRST, SECOND]]
    assert "pauses" not in worker.output
    assert not shows_a_token(worker)


def test_a_function_that_fails_and_a_token_that_is_refused_pause_the_mailer_and_bounce_nothing(
    relay: ScriptedServer, vault: Path, start: Callable[[], Worker]
) -> None:
    vault.write_text(f"!{FIRST}")
    worker = start()
    mail_id = send()
    worker.wait_for(
        r"WARNING.*mailer relay pauses .*auth-temporary\): the token function tokenshop:token raised LookupError"
    )
    assert relay.sessions == []
    vault.write_text(SECOND)
    worker.wait_for(
        r"ERROR.*mailer relay pauses .*auth-refused\): .* refuses the login \(535 5.7.8\): the server says "
    )
    assert attempts(mail_id) == 0
    vault.write_text(FIRST)
    relay.wait_for(1)
    worker.wait_for("mail accepted")
    assert attempts(mail_id) == 1
    assert not shows_a_token(worker)
