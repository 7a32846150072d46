"""The most memory that a process has held, for programs of tests. Not `ru_maxrss`, which a child has from its parent."""

#: Source of a function `peak()` that returns MiB.
PEAK = """
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) >> 10 for line in status if line.startswith("VmHWM"))
"""
