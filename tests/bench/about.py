"""Where and with what a bench ran: what a reader has to know before believing a number."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

#: What is measured, or has part in it.
PACKAGES = (
    "mailworker", "celery", "kombu", "redis", "hiredis", "Django", "django-celery-email", "django-mailer",
    "django-post_office",
)  # fmt: skip


def missing() -> list[str]:
    """Return the packages that are not installed."""
    return [name for name in PACKAGES if version(name) is None]


def version(name: str) -> str | None:
    """Return the version of an installed package."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def machine() -> dict[str, Any]:
    """Return processor, versions, and how busy the machine is."""
    redis = shutil.which("redis-server") or "redis-server"
    said = subprocess.run([redis, "--version"], capture_output=True, text=True, check=False).stdout
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "redis_server": next((word[2:] for word in said.split() if word.startswith("v=")), "unknown"),
        "packages": {name: version(name) for name in PACKAGES},
        "load_before": os.getloadavg()[0],
    }


def line(found: dict[str, Any]) -> str:
    """Return the same in a line, for a picture of scenarios in which Redis keeps nothing on disk."""
    return (
        f"{found['cores']} cores, Python {found['python']}, Redis {found['redis_server']} without persistence, "
        f"Django {found['packages']['Django']}, Celery {found['packages']['celery']}"
    )


def _processor() -> str:
    try:
        for row in Path("/proc/cpuinfo").read_text().splitlines():
            if row.startswith("model name"):
                return row.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()
