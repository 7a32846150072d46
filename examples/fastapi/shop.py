"""A shop on FastAPI that confirms orders by mail.

pip install 'mailworker[fastapi]' uvicorn
mailworker worker                         # in one terminal
uvicorn shop:app                          # in another
curl -H 'Content-Type: application/json' -d '{"mail": "ann@example.com"}' http://127.0.0.1:8000/orders
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from mailworker import EmailMessage, EnqueueError, InvalidAddress, State
from mailworker.contrib.fastapi import MailerDep, lifespan

app = FastAPI(lifespan=lifespan)


class Order(BaseModel):
    mail: str


class Mail(BaseModel):
    state: State
    attempts: int


@app.post("/orders", status_code=202)
async def order(order: Order, mailer: MailerDep) -> dict[str, Any]:
    letter = EmailMessage("Your order", "It is on its way.", "Shop <shop@example.com>", [order.mail])
    await mailer.send(letter)
    return {"mail": letter.mail_id}


@app.get("/mails/{mail_id}")
async def state(mail_id: str, mailer: MailerDep) -> Mail:
    found = await mailer.status(mail_id)
    if found is None:
        raise HTTPException(404)
    return Mail(state=found.state, attempts=found.attempts)


@app.exception_handler(EnqueueError)
async def queue_is_away(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": "no mail can be sent now, try again"}, 503)


@app.exception_handler(InvalidAddress)
async def no_address(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": "that is no address"}, 422)
