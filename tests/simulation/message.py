"""The message of the simulation, and what opens payloads: a payload is the recipients, joined by commas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mailworker.errors import CodecError
from mailworker.outcome import Outcome


class Message:
    """What `delivery` needs of an `EmailMessage`."""

    def __init__(self, recipients: Sequence[str]) -> None:
        self._recipients = list(recipients)
        self.outcomes: Mapping[str, Outcome] = {}
        self.mail_id = ""

    def recipients(self) -> list[str]:
        return self._recipients

    def restrict_to(self, recipients: Sequence[str]) -> None:
        self._recipients = list(recipients)


class Decoder:
    """Opens payloads."""

    def decode(self, payload: bytes) -> Message:
        if not payload:
            raise CodecError("the payload is empty")
        return Message(payload.decode().split(","))

    def decode_parts(self, head: bytes, blobs: Sequence[bytes]) -> Message:
        raise CodecError("no message of the simulation has parts")
