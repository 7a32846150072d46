"""What makes a Celery worker a mail worker, as far as it can be seen without starting one."""

from __future__ import annotations

import logging
import os
import signal

import pytest
from celery import signals

from mailworker.queue import worker
from mailworker.queue.app import DELIVER

BODY = b'[[{"v": 1, "mails": [{"payload": "c2VjcmV0"}]}], {}, {}]'


def logged(*args: object, caplog: pytest.LogCaptureFixture) -> str:
    worker.redact_pool_log()
    with caplog.at_level(logging.DEBUG, "celery.pool"):
        logging.getLogger("celery.pool").debug("TaskPool: Apply %s (args:%s kwargs:%s)", *args)
    return caplog.messages[-1]


@pytest.mark.parametrize("shown", [repr, lambda args: args], ids=["as text", "as it is"])
def test_the_pools_log_does_not_show_the_body_of_a_mail(shown: object, caplog: pytest.LogCaptureFixture) -> None:
    assert callable(shown)
    args = (DELIVER, "0b0e", {"argsrepr": "(1 mails: 0b0e)"}, BODY, "application/json", "utf-8")
    text = logged("<trace>", shown(args), "{}", caplog=caplog)
    assert "c2VjcmV0" not in text
    assert "payload" not in text
    assert DELIVER in text, "that a task was applied is no secret"
    assert text.startswith("TaskPool: Apply <trace> (args:(")


def test_the_pools_log_of_other_tasks_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    text = logged("<trace>", "('proj.task', 'id', b'[[1, 2], {}, {}]')", "{}", caplog=caplog)
    assert text == "TaskPool: Apply <trace> (args:('proj.task', 'id', b'[[1, 2], {}, {}]') kwargs:{})"


def test_a_pool_without_children_leaves_the_signals_of_its_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_is_mail_worker", True)
    monkeypatch.setattr(worker, "_main_pid", os.getpid())
    before = signal.getsignal(signal.SIGTERM)
    signals.worker_process_init.send(sender=None)
    assert signal.getsignal(signal.SIGTERM) is before
