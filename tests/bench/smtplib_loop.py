"""A loop that has nothing to do but to send, with Python's own smtplib over one connection: what a queue has to stand beside.

    python -m tests.bench.smtplib_loop FILE COUNT

The mail was rendered before and is in the file; all that differs between two mails is a recipient from a list that was
made before the first. No queue, no state, no log: it is the most that `SMTP.sendmail` can do.
"""

from __future__ import annotations

import os
import smtplib
import ssl
import sys
from pathlib import Path

from tests.bench.letters import SENDER, recipient


def main() -> None:
    path, count = sys.argv[1:]
    content = Path(path).read_bytes()
    envelopes = [[recipient(number)] for number in range(int(count))]
    with smtplib.SMTP(os.environ["EMAIL_HOST"], int(os.environ["EMAIL_PORT"])) as smtp:
        if os.environ.get("EMAIL_USE_TLS") == "true":
            smtp.starttls(context=ssl.create_default_context())
            smtp.login(os.environ["EMAIL_HOST_USER"], os.environ["EMAIL_HOST_PASSWORD"])
        send = smtp.sendmail
        for envelope in envelopes:
            send(SENDER, envelope, content)


if __name__ == "__main__":
    main()
