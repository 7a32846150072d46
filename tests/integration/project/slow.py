"""A module that makes a Celery app, while another thread looks for that app and waits for this module."""

import sys
import threading

from celery import Celery

import mailworker
from mailworker.queue import app as apps

app = Celery("slow", set_as_current=False)
looking = threading.Thread(target=apps.current)


def is_looked_for() -> bool:
    """Tell whether the other thread has begun to import this module."""
    frame = sys._current_frames().get(looking.ident or 0)
    while frame is not None:
        if frame.f_code.co_name == "_found":
            return True
        frame = frame.f_back
    return False


looking.start()
while not is_looked_for():
    pass
mailworker.install(app)
