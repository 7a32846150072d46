"""That a worker gives the memory of a large mail back to the system.

glibc maps a large block by itself, and gives it back when it is freed. But with each such block it raises the size from which on it
does so, up to 32 MB: after one large mail the next ones' blocks lie in the heap, one behind the other, and one that is freed in
the middle stays the process's. An encrypted mail took half as much again as it needs, and an idle worker kept what it had taken.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

#: glibc's names of them (malloc.h).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

#: Bytes of a block that is mapped by itself. Mails below a megabyte never see it.
_MAPPED = 2**20

#: Bytes at the heap's end that are kept: without a word glibc would keep 128 KB once the other is set, and ask the system for more
#: again and again.
_KEPT = 4 * 2**20

#: With these somebody has said how it shall be.
_SAID = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def give_large_blocks_back() -> None:
    """Have this process, and those that it forks, give large blocks back; where the allocator is another, do nothing."""
    if any(name in os.environ for name in _SAID):
        return
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _MAPPED)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
