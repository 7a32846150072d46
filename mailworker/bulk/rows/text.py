"""A file of rows as text: unpacked where it is gzip, decoded by its byte order mark or else as asked.

A byte that the encoding does not know becomes a surrogate (PEP 383), so that one wrong row does not end the list: whoever
reads the rows looks for them with `is_text`.
"""

from __future__ import annotations

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from mailworker.errors import RowsError

#: Characters of the longest line.
MAX_LINE = 16 * 2**20

_GZIP = b"\x1f\x8b"

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))

_MARK = "\ufeff"


class Text:
    """The lines of a file.

    Attributes:
        shown: what people call it.
        no_text: why a row is none that `is_text` refuses.
    """

    def __init__(self, stream: IO[str], raw: IO[bytes] | None, shown: str) -> None:
        self.shown = shown
        # What its first bytes tell is UTF-8 with a mark.
        self._encoding = str(getattr(stream, "encoding", None) or "its encoding").removesuffix("-sig")
        self.no_text = (
            f"has a byte that {self._encoding} does not know: save the list as UTF-8, or name its encoding, such as cp1252 "
            "(encoding, --encoding)"
        )
        self._stream = stream
        self._raw = raw
        self._size = _size(raw)
        self._read = iter(partial(stream.readline, MAX_LINE), "")
        self._first: str | None = None

    def first_line(self) -> str:
        """Return the first line, which comes again from `lines`.

        Raises:
            RowsError: the file cannot be read.
        """
        if self._first is None:
            with self._told():
                # A file that was opened as text already may have its byte order mark still.
                self._first = next(self._read, "").removeprefix(_MARK)
        return self._first

    def lines(self) -> Iterator[str]:
        """Yield the lines once, with their ends, none longer than `MAX_LINE`: what is longer comes in pieces.

        Raises:
            RowsError: the file cannot be read on.
        """
        yield self.first_line()
        with self._told():
            yield from self._read

    def share(self) -> float | None:
        """Return how much has been read so far, from 0 to 1; None if nobody knows how much there is."""
        if self._raw is None or not self._size or self._raw.closed:
            return None
        return min(1.0, self._raw.tell() / self._size)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise RowsError(f"{self.shown} cannot be unpacked to its end: it is cut off or broken") from None
        except OSError as error:
            raise RowsError(f"{self.shown} cannot be read ({error.strerror or type(error).__name__})") from None
        except UnicodeError:
            raise RowsError(f"{self.shown} is not in {self._encoding} (see encoding, --encoding)") from None


@contextmanager
def open_text(file: str | os.PathLike[str] | IO[Any], encoding: str) -> Iterator[Text]:
    """Open a file of rows, and close it again; one that is open already stays open.

    Args:
        file: its path, or the open file, as bytes or as text.
        encoding: where no byte order mark tells it.

    Raises:
        RowsError: there is none, or it cannot be read.
    """
    with ExitStack() as stack:
        if isinstance(file, str | os.PathLike):
            path = Path(file)
            try:
                raw: IO[bytes] = stack.enter_context(path.open("rb"))
            except FileNotFoundError:
                raise RowsError(f"there is no file {path}") from None
            except OSError as error:
                raise RowsError(f"{path} cannot be read ({error.strerror})") from None
            yield Text(_decoded(raw, stack, encoding, str(path)), raw, str(path))
            return
        shown = name_of(file) or "the file of rows"
        if isinstance(file.read(0), str):
            yield Text(file, None, shown)
        else:
            yield Text(_decoded(file, stack, encoding, shown), file, shown)


def is_text(values: str) -> bool:
    """Tell whether there is no byte in it that its encoding does not know."""
    try:
        values.encode()
    except UnicodeEncodeError:
        return False
    return True


def name_of(file: object) -> str:
    """Return the path of an open file, "" if it has none."""
    name = getattr(file, "name", None)
    # Standard input is called by a number, or <stdin>.
    return name if isinstance(name, str) and not name.startswith("<") else ""


def _decoded(raw: IO[bytes], stack: ExitStack, encoding: str, shown: str) -> IO[str]:
    packed: Any = raw
    if not hasattr(raw, "peek"):
        packed = io.BufferedReader(cast("io.RawIOBase", raw))
        # Else it would close what somebody else has opened.
        stack.callback(packed.detach)
    try:
        start = packed.peek(len(_GZIP))
    except OSError as error:
        raise RowsError(f"{shown} cannot be read ({error.strerror})") from None
    plain: Any = packed
    if start.startswith(_GZIP):
        plain = stack.enter_context(io.BufferedReader(cast("io.RawIOBase", gzip.GzipFile(fileobj=packed))))
        try:
            start = plain.peek(4)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise RowsError(f"{shown} cannot be unpacked: it is cut off or broken") from None
    marked = next((name for mark, name in _MARKS if start.startswith(mark)), encoding)
    try:
        text = io.TextIOWrapper(plain, encoding=marked, errors="surrogateescape", newline="")
    except LookupError:
        raise RowsError(f"there is no encoding {encoding!r}: expected one such as utf-8, cp1252 or latin-1") from None
    stack.callback(text.detach)
    return text


def _size(raw: IO[bytes] | None) -> int:
    """Return the bytes of a file; 0 where nobody knows."""
    try:
        return 0 if raw is None else os.fstat(raw.fileno()).st_size
    except (OSError, AttributeError):
        return 0
