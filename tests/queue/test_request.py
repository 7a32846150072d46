"""How a worker treats the message of a task with mail, before the pool has it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from celery import Celery
from kombu import Message

from mailworker.queue import app as apps
from mailworker.queue.request import MailRequest


def request(*, redelivered: bool, eta: float | None = None) -> MailRequest:
    app = Celery("requests", broker="memory://", set_as_current=False)
    app.register_task(apps.own().tasks[apps.DELIVER])
    eta_text = None if eta is None else datetime.fromtimestamp(time.time() + eta, UTC).isoformat()
    headers: dict[str, Any] = {"id": "1", "task": apps.DELIVER, "eta": eta_text, "argsrepr": "(1 mails: x)"}
    message = Message(
        body='[[{"v": 1, "mails": []}], {}, {}]',
        content_type="application/json",
        content_encoding="utf-8",
        headers=headers,
        delivery_info={"redelivered": redelivered, "routing_key": "mailworker.normal"},
        accept={"application/json"},
    )
    return MailRequest(message, app=app, task=app.tasks[apps.DELIVER])


@pytest.mark.parametrize(
    ("redelivered", "eta", "may_be_begun"),
    [
        (False, None, False),
        (False, 60.0, False),
        (True, None, True),
        (True, -60.0, True),
        (True, 60.0, False),
        (True, 2.0, True),
    ],
    ids=[
        "new",
        "new and waits",
        "came back",
        "came back due",
        "came back while it waits",
        "clocks may differ by as much",
    ],
)
def test_a_task_that_came_back_while_it_still_has_to_wait_cannot_have_been_begun(
    eta: float | None, *, redelivered: bool, may_be_begun: bool
) -> None:
    assert request(redelivered=redelivered, eta=eta).delivery_info["redelivered"] is may_be_begun


def test_inspect_shows_ids_and_no_cargo() -> None:
    assert request(redelivered=False).info(safe=False)["args"] == "(1 mails: x)"


def test_a_request_is_submitted_once_the_pool_has_it() -> None:
    assert not request(redelivered=False).is_submitted
