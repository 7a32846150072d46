"""A shop on Flask that confirms orders by mail.

pip install 'mailworker[flask]'
flask --app shop mailworker worker        # in one terminal
flask --app shop run                      # in another
curl -d mail=ann@example.com http://127.0.0.1:5000/orders
"""

from __future__ import annotations

from typing import Any

from flask import Flask, abort, request

import mailworker
from mailworker.contrib.flask import Mailworker

mail = Mailworker()


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(
        DEFAULT_FROM_EMAIL="Shop <shop@example.com>", MAILWORKER_BROKER_URL="redis://127.0.0.1:6379/0"
    )
    # FLASK_MAILWORKER_BROKER_URL, FLASK_EMAIL_HOST, ... in the environment.
    app.config.from_prefixed_env()
    mail.init_app(app)

    @app.post("/orders")
    def order() -> tuple[dict[str, Any], int]:
        letter = mailworker.EmailMessage("Your order", "It is on its way.", to=[request.form["mail"]])
        letter.send()
        return {"mail": letter.mail_id}, 202

    @app.get("/mails/<mail_id>")
    def state(mail_id: str) -> dict[str, Any]:
        found = mailworker.status(mail_id) or abort(404)
        return {"state": found.state, "attempts": found.attempts}

    @app.errorhandler(mailworker.EnqueueError)
    def queue_is_away(error: mailworker.EnqueueError) -> tuple[dict[str, Any], int]:
        return {"error": "no mail can be sent now, try again"}, 503

    @app.errorhandler(mailworker.InvalidAddress)
    def no_address(error: mailworker.InvalidAddress) -> tuple[dict[str, Any], int]:
        return {"error": "that is no address"}, 422

    return app
