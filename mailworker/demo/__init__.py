"""The whole path on one machine: a broker, an SMTP sink and a real worker process, and a thousand mails through them.

`command` is `mailworker demo`; `run` does it and checks what came of every mail. Needs the extra `demo`.
"""

from __future__ import annotations
