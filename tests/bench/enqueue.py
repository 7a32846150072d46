"""How fast single mails are enqueued, beside django-celery-email: `python -m tests.bench.enqueue`.

Both call `send_mail` in a process of its own, in turns, on one private Redis (persistence as asked, default none) with no
worker, so that nothing else uses the machine. Printed are the medians and their ratio; the goal is 3. Needs the extra `bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys

import redis

from tests.processes import RedisServer

_TIMED = """
import time
send_mail("s", "b", None, ["ann@example.com"])
began, used = time.perf_counter(), time.process_time()
for number in range({mails}):
    send_mail("Your order", BODY, None, [f"ann{{number}}@example.com"])
print({mails} / (time.perf_counter() - began), (time.process_time() - used) / {mails} * 1e6)
"""

_BODY = 'BODY = "It is on its way, and will be with you soon.\\n" * 20\n'

_OURS = _BODY + "from mailworker import send_mail\n" + _TIMED

_THEIRS = (
    _BODY
    + """
import django
from celery import Celery
from django.conf import settings
settings.configure(
    EMAIL_BACKEND="djcelery_email.backends.CeleryEmailBackend",
    INSTALLED_APPS=["djcelery_email"],
    DEFAULT_FROM_EMAIL="shop@example.com",
    CELERY_EMAIL_TASK_CONFIG={{"ignore_result": True}},
)
django.setup()
app = Celery("theirs", broker="{url}")
app.conf.task_ignore_result = True
from django.core.mail import send_mail
"""
    + _TIMED
)


def run(program: str, url: str, mails: int) -> tuple[float, float]:
    """Return mails a second, and microseconds of CPU for each."""
    env = {**os.environ, "MAILWORKER_BROKER_URL": url, "DEFAULT_FROM_EMAIL": "shop@example.com"}
    done = subprocess.run(
        [sys.executable, "-c", program.format(url=url, mails=mails)],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    rate, cpu = done.stdout.split()
    return float(rate), float(cpu)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fsync", choices=["no-disk", "everysec", "always"], default="no-disk")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {"mailworker": [], "django-celery-email": []}
    with RedisServer() as server, redis.Redis(port=server.port) as client:
        if asked.fsync != "no-disk":
            client.config_set("appendonly", "yes")
            client.config_set("appendfsync", asked.fsync)
        for number in range(asked.rounds):
            both = [("mailworker", _OURS), ("django-celery-email", _THEIRS)]
            for name, program in both if number % 2 else both[::-1]:
                client.flushall()
                found[name].append(run(program, server.url, asked.mails))
    shown = {
        name: {
            "mails_a_second": round(statistics.median(rate for rate, _ in runs)),
            "cpu_us": round(statistics.median(cpu for _, cpu in runs)),
        }
        for name, runs in found.items()
    }
    ratios = [ours[0] / theirs[0] for ours, theirs in zip(*found.values(), strict=True)]
    ratio = {
        "median": round(statistics.median(ratios), 2),
        "least": round(min(ratios), 2),
        "most": round(max(ratios), 2),
    }
    if asked.json:
        sys.stdout.write(json.dumps({**shown, "ratio": ratio, "redis": asked.fsync, "mails": asked.mails}) + "\n")
        return
    for name, figures in shown.items():
        sys.stdout.write(
            f"{name:<22} {figures['mails_a_second']:>7} mails/s  {figures['cpu_us']:>5} us of CPU a mail\n"
        )
    sys.stdout.write(f"ratio {ratio['median']} ({ratio['least']} to {ratio['most']}), Redis: {asked.fsync}\n")


if __name__ == "__main__":
    main()
