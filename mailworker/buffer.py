"""Room for what is large, made at once.

A buffer that grows is moved now and then by the allocator, and then it is in memory twice; a list of pieces that is joined is so
always.
"""

from __future__ import annotations

from io import BytesIO


def room(size: int) -> BytesIO:
    """Return an empty buffer that has room for so many bytes; more can be written all the same.

    Write to it from the start, and take the result with `taken`.
    """
    out = BytesIO()
    if size > 0:
        out.seek(size - 1)
        out.write(b"\0")
        out.seek(0)
    return out


def taken(out: BytesIO) -> bytes:
    """Return what was written to a buffer of `room`, which is of no further use: the result is the buffer itself, no copy."""
    out.truncate()
    return out.getvalue()
