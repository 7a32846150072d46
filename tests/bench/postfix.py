"""Where Postfix's test programs `smtp-sink` and `smtp-source` are: the same receiver, and the limit, for all contenders.

First found wins: the folder that BENCH_POSTFIX names (one that holds the programs, or a Debian package that was unpacked there),
the PATH, a package that was unpacked into the cache before; else Debian's package is downloaded by `apt-get` and unpacked
there by `dpkg -x`, which installs nothing. Where that cannot be done it ends with one sentence.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

#: Names the folder.
VARIABLE = "BENCH_POSTFIX"

#: Seconds for the download.
_PATIENCE = 300


class PostfixMissingError(Exception):
    """The programs are not here, and could not be had; the text says why."""


@dataclass(frozen=True)
class Postfix:
    """The two programs.

    Attributes:
        sink: path of smtp-sink.
        source: path of smtp-source.
        env: variables that they need.
    """

    sink: Path
    source: Path
    env: dict[str, str]


def find() -> Postfix:
    """Return the programs, downloaded if need be.

    Raises:
        PostfixMissingError: they are not here.
    """
    named = os.environ.get(VARIABLE)
    if named:
        found = _within(Path(named))
        if found is None:
            raise PostfixMissingError(f"{VARIABLE} is {named}, and there is no smtp-sink and smtp-source in it")
        return found
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    sink, source = shutil.which("smtp-sink", path=path), shutil.which("smtp-source", path=path)
    if sink and source:
        return Postfix(Path(sink), Path(source), {})
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mailworker-bench" / "postfix"
    found = _within(cache)
    if found is None:
        _unpack(cache)
        found = _within(cache)
    if found is None:
        raise PostfixMissingError(f"Debian's package postfix was unpacked to {cache}, and there is no smtp-sink in it")
    return found


def _within(folder: Path) -> Postfix | None:
    for programs in (folder, folder / "sbin", folder / "usr" / "sbin"):
        sink, source = programs / "smtp-sink", programs / "smtp-source"
        if sink.is_file() and source.is_file():
            # Its own libraries are looked for where the package would have been installed.
            libraries = programs.parent / "lib" / "postfix"
            env = {"LD_LIBRARY_PATH": str(libraries)} if libraries.is_dir() else {}
            return Postfix(sink.resolve(), source.resolve(), env)
    return None


def _unpack(cache: Path) -> None:
    advice = f"install Postfix, or name a folder that holds smtp-sink and smtp-source in {VARIABLE}"
    missing = [program for program in ("apt-get", "dpkg") if shutil.which(program) is None]
    if missing:
        raise PostfixMissingError(
            f"smtp-sink is not on the PATH, and without {missing[0]} it cannot be had here: {advice}"
        )
    cache.parent.mkdir(parents=True, exist_ok=True)
    # Beside its place and then moved: a run that is interrupted leaves no half of it.
    with tempfile.TemporaryDirectory(dir=cache.parent) as name:
        folder = Path(name)
        # apt gives the download up to its own user where it can, and warns where it cannot: as it is here.
        _run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", "postfix"], folder, advice)
        for package in folder.glob("postfix_*.deb"):
            _run(["dpkg", "-x", str(package), str(folder / "unpacked")], folder, advice)
        if (folder / "unpacked").is_dir():
            shutil.rmtree(cache, ignore_errors=True)
            (folder / "unpacked").rename(cache)


def _run(argv: list[str], folder: Path, advice: str) -> None:
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PostfixMissingError(f"`{' '.join(argv)}` did not work ({type(error).__name__}): {advice}") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise PostfixMissingError(f"`{' '.join(argv)}` failed ({said}): {advice}")
