"""Writes messages to files in a folder, a new file for each session.

A session lasts from `open()` to `close()`. What one backend sends without being opened shares one file.
"""

from __future__ import annotations

import itertools
import os
import time
from io import BufferedWriter
from pathlib import Path
from typing import Any, ClassVar

from mailworker import settings
from mailworker.errors import ConfigurationError
from mailworker.mail.backends.console import RULE
from mailworker.mail.backends.plain import PlainEmailBackend
from mailworker.mail.render import flatten

#: Tells apart the files that one process begins in one second.
_counter = itertools.count(1)


class EmailBackend(PlainEmailBackend):
    """The file backend.

    Args:
        file_path: the folder, made if it is not there; None = `EMAIL_FILE_PATH`.

    Raises:
        ConfigurationError: no folder is given, it cannot be made or it cannot be written to.
    """

    accepted_text: ClassVar[str] = "written to a file"

    def __init__(self, *args: Any, file_path: str | os.PathLike[str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        name = "EMAIL_FILE_PATH" if file_path is None else "file_path"
        folder = settings.current().EMAIL_FILE_PATH if file_path is None else file_path
        if not folder:
            raise ConfigurationError(
                "EMAIL_FILE_PATH is not set: the filebased backend expects a folder, there or as file_path="
            )
        #: The folder, as an absolute path.
        self.file_path = os.path.abspath(os.fspath(folder))  # noqa: PTH100 - as text, as in Django; links stay
        _make_folder(self.file_path, name)
        self.stream: BufferedWriter | None = None
        self._file: Path | None = None

    def open(self) -> bool:
        """Begin a new file; False if one is open already."""
        with self._lock:
            if self.stream is not None:
                return False
            self._file, self.stream = self._begin()
            return True

    def close(self) -> None:
        """Close the file that is open, if any."""
        with self._lock:
            stream, self.stream = self.stream, None
            if stream is not None:
                stream.close()

    def take(self, message: Any) -> None:
        """Write one message and flush it."""
        self.write_message(message)
        if self.stream is not None:
            self.stream.flush()

    def write_message(self, message: Any) -> None:
        """Write one message and a rule below it."""
        assert self.stream is not None
        self.stream.write(flatten(message.message()) + f"\n{RULE}\n".encode())

    def _open_for_batch(self) -> bool:
        if self.stream is not None or self._file is None:
            return self.open()
        self.stream = self._file.open("ab")
        return True

    def _begin(self) -> tuple[Path, BufferedWriter]:
        while True:
            name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{next(_counter)}.log"
            path = Path(self.file_path) / name
            try:
                return path, path.open("xb")
            except FileExistsError:  # an earlier process had the same number in the same second
                continue


def _make_folder(folder: str, name: str) -> None:
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ConfigurationError(
            f"{name} is {folder!r}: something is there that is no folder; expected a folder"
        ) from error
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ConfigurationError(
            f"{name} is {folder!r}: the folder cannot be made ({why}); expected one to write to"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{name} is {folder!r}: no permission to write there; expected a folder to write to")
