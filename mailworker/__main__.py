"""`python -m mailworker`: the command line."""

from __future__ import annotations

from mailworker.cli import main

if __name__ == "__main__":
    main(prog_name="mailworker")
