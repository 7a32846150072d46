"""A web page that sends a mail, as small as it can be: the `web` line of the Procfile.

It shows the one thing that a web program does: call `send_mail` and answer at once. A worker delivers. Only the
standard library's server stands around it; put the same call into any framework.
"""

from __future__ import annotations

import os
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import parse_qs
from wsgiref.simple_server import make_server

import mailworker

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

#: Bytes of a form; more is not read.
MAX_FORM = 64 * 1024

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>mailworker</title>
<h1>Send a mail</h1>
<p role="status">{status}</p>
<form method="post">
<p><label>To <input name="to" type="email" required></label>
<p><label>Subject <input name="subject" required></label>
<p><label>Text <textarea name="text"></textarea></label>
<p><button>Send</button>
</form>
"""


def send(form: dict[str, list[str]]) -> tuple[str, str]:
    """Queue the mail that the form asks for and return the HTTP status and a sentence about it."""
    to, subject, text = (form.get(field, [""])[0] for field in ("to", "subject", "text"))
    try:
        mailworker.send_mail(subject, text, None, [to])
    except (mailworker.BadHeaderError, mailworker.InvalidAddress) as error:
        return "400 Bad Request", f"Not sent: {error}"
    except mailworker.EnqueueError:
        return "503 Service Unavailable", "Not sent: the queue does not answer. Try again."
    return "200 OK", f"Queued for {to}."


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Show the form; on POST, queue its mail first."""
    http_status, status = "200 OK", ""
    if environ["REQUEST_METHOD"] == "POST":
        length = min(int(environ.get("CONTENT_LENGTH") or 0), MAX_FORM)
        form = parse_qs(environ["wsgi.input"].read(length).decode("utf-8", "replace"), keep_blank_values=True)
        http_status, status = send(form)
    start_response(http_status, [("Content-Type", "text/html; charset=utf-8")])
    return [PAGE.format(status=escape(status)).encode()]


def main() -> None:
    """Serve on 127.0.0.1, port $PORT (8000)."""
    with make_server("127.0.0.1", int(os.environ.get("PORT", "8000")), application) as server:
        print(f"http://127.0.0.1:{server.server_port}/", flush=True)  # noqa: T201 - it tells where to look
        server.serve_forever()


if __name__ == "__main__":
    main()
