"""A project with a Celery app of its own, as users have one."""

from __future__ import annotations

import logging
import os
import threading

from celery import Celery

import mailworker

app = Celery("proj", broker=os.environ["PROJECT_BROKER"])
app.conf.task_default_queue = os.environ["PROJECT_QUEUE"]
app.conf.task_time_limit = 2
app.conf.task_annotations = {"*": {"rate_limit": "1/h"}}
app.conf.worker_prefetch_multiplier = 4
app.conf.broker_transport_options = {"visibility_timeout": 7200}
mailworker.install(app)


@app.task(rate_limit=None)
def mail_from_a_task(address: str) -> None:
    """Send mail from inside a task."""
    mailworker.send_mail("from a task", "b", "from@example.com", [address])


@app.task(rate_limit=None)
def mail_from_a_thread(address: str) -> None:
    """Send mail from a thread of a task's process."""
    thread = threading.Thread(target=mailworker.send_mail, args=("from a thread", "b", "from@example.com", [address]))
    thread.start()
    thread.join()


@app.task(rate_limit=None)
def never_ends() -> None:
    """Run into the project's own time limit."""
    threading.Event().wait(60)


@app.task(rate_limit=None)
def say(word: str) -> None:
    """Show that the project's tasks run."""
    logging.getLogger("proj").warning("the project says %s", word)
