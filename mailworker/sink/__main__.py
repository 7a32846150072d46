"""`python -m mailworker.sink`: the sink in a process of its own, for programs that start one."""

from __future__ import annotations

from mailworker.sink.command import command

if __name__ == "__main__":
    command(prog_name="python -m mailworker.sink")
