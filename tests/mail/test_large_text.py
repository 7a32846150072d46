"""Large texts go to the wire in blocks and are the same octets; what is large, and a block, is a few octets here."""

from __future__ import annotations

import copy
import pickle
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mailworker import mail
from mailworker.errors import CodecError
from mailworker.mail import direct, large_text, leaf
from mailworker.mail import payload as layout
from mailworker.mail.codec import Codec
from mailworker.mail.large_text import LARGE, Utf8
from mailworker.mail.lent import LargeMessage, undecoded
from mailworker.mail.sealing import Sealer
from tests.mail.oracle_messages import build, common
from tests.mail.ways import FIXED, assert_direct, both, message, standard

pytestmark = pytest.mark.usefixtures("same_identity")

LINE = "Sie sagte: “Es ist unterwegs” \U0001f600\n"
FILE = ("a.pdf", b"x" * LARGE, "application/pdf")
TEXT = LINE * (LARGE // len(LINE.encode()) + 1)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (leaf, direct, large_text):
        monkeypatch.setattr(module, "LARGE", 8)
    monkeypatch.setattr(large_text, "_BLOCK", 5)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    "body",
    [
        "no line end at all",
        "a\r\nb\rc\n\r\n\n\rd" * 9,
        "12345\r\n12345\r12345\n\n\n\n\r\n\r\n",
        "12345678\r",
        ".\n..\n.x\n\n.\n" * 3,
        "é\n" * 20 + "\U0001f600" * 5,
        "trailing \t \n \n\t\n" * 3,
        ("<td> =20</td>\t  " * 90 + " \r\n") * 2 + "é=\r\n.\n\n",
        "x" * 999,
        ("é" * 998 + "\n") * 2 + "y" * 998,
        "x" * 998 + "\r" + "y" * 998 + "\n" + "z" * 5,
        "x" * 998 + "\x85" + "y" * 998,
        "x" * 998 + "\x85" + "y" * 998 + "\n" + "z" * 999 + "\n",
        "x" * 998 + "\u2028" + "y" * 999 + "\n" + "z",
    ],
)
def test_blocks_are_the_same_octets_as_one_go(body):
    file = ("a.pdf", bytes(range(256)) * 9, "application/pdf")
    html = (f"<p>{body}</p>\n", "text/html")
    for more in (
        {},
        {"attachments": [file]},
        {"alternatives": [html]},
        {"alternatives": [html], "attachments": [file]},
    ):
        assert_direct(message(body=body, **more))


@pytest.mark.usefixtures("small_blocks")
@hypothesis_settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(recipe=common)
def test_any_common_message_is_the_same_octets_in_blocks(recipe):
    directly, expected = both(build(mail, recipe))
    if directly is not None:
        assert directly == expected


@given(st.text(alphabet="a=é \t\r\n\x85", max_size=3000).map(str.encode))
def test_the_room_that_is_made_is_what_is_needed(content):
    out = bytearray()
    large_text.write_lines(content, out.extend)
    assert len(out) == large_text.lines_size(content)
    assert leaf.BASE64.size(content) == len(b"".join(_written(leaf.BASE64.write, content)))
    # What is quoted may want a few more: the space at the end of a line.
    assert (
        sum(map(len, _written(large_text.write_quoted, content))) <= large_text.quoted_size(content) + len(content) * 2
    )


def _written(write: Any, content: bytes) -> list[bytes]:
    pieces: list[bytes] = []
    write(content, pieces.append)
    return pieces


def queued(sent: Any) -> Any:
    return Codec().decode(Codec().encode(sent))


@pytest.mark.parametrize(
    ("kwargs", "large"),
    [
        ({"body": TEXT}, 1),
        ({"body": TEXT, "alternatives": [("<p>é</p>", "text/html")]}, 1),
        ({"alternatives": [(f"<p>{TEXT.replace(chr(10), ' ')}</p>", "text/html")]}, 1),
        ({"alternatives": [(TEXT, "text/html")], "attachments": [FILE, ("b.csv", TEXT, "text/csv")]}, 2),
        ({"attachments": [("b.json", TEXT, "application/json")]}, 1),
    ],
    ids=["body", "body and HTML", "long lines", "files", "JSON"],
)
def test_a_large_text_goes_from_the_queue_to_the_wire_undecoded(kwargs, large):
    sent = message(**kwargs)
    decoded = queued(sent)
    assert type(decoded) is LargeMessage
    state = random.getstate()
    content = direct.rendered(decoded)
    body, attachments, alternatives = undecoded(decoded)
    held = [body, *(each.content for each in (*attachments, *alternatives))]
    assert sum(type(each) is Utf8 for each in held) == large
    random.setstate(state)
    assert content == standard(sent)
    # Whoever asks gets what was sent, and the same octets then.
    assert (decoded.body, decoded.attachments, decoded.alternatives) == (sent.body, sent.attachments, sent.alternatives)
    assert Utf8 not in map(type, (undecoded(decoded)[0], *(each.content for each in decoded.attachments)))
    assert assert_direct(decoded) is not None


def test_a_message_with_a_large_text_is_changed_and_copied_as_any_other():
    sent = mail.EmailMessage("s", TEXT, "a@b", ["c@d"], headers=FIXED)
    decoded = queued(sent)
    decoded.attachments.append(("a", b"x", "a/b"))
    assert decoded.alternatives == []
    for twin in (copy.copy(decoded), copy.deepcopy(decoded), pickle.loads(pickle.dumps(decoded))):
        assert type(twin) is LargeMessage
        twin.body = "other"
        assert (decoded.body, twin.body, twin.to) == (TEXT, "other", ["c@d"])
        assert twin.attachments == decoded.attachments == [("a", b"x", "a/b")]
        assert_direct(twin)


def test_a_message_with_small_texts_is_what_it_was():
    for sent in (message(body="x" * LARGE), message(attachments=[("a", b"x" * LARGE * 2, "a/b")])):
        assert type(queued(sent)) is mail.EmailMultiAlternatives


def test_a_frozen_message_has_its_large_text_at_once():
    class Own(mail.EmailMessage):
        def message(self) -> Any:
            return super().message()

    decoded = queued(Own("s", TEXT, "a@b", ["c@d"], headers=FIXED, attachments=[("b.csv", TEXT, "text/csv")]))
    assert vars(decoded)["body"] == TEXT
    assert vars(decoded)["attachments"] == [("b.csv", TEXT, "text/csv")]


@pytest.mark.parametrize("octets", [b"\xff" + b"x" * LARGE, b"x" * LARGE + b"\xc3", "é".encode() * LARGE + b"\x80x"])
def test_a_large_text_that_is_no_utf8_is_noticed_when_the_mail_is_opened(octets):
    parts = Codec().encode_parts(message(attachments=[("a", octets, "a/b")]))
    stored = [blob.stored for blob in parts.blobs]
    head = layout.read_head(parts.head, Sealer())
    assert b'{"bytes":0}' in head
    with pytest.raises(CodecError, match="malformed"):
        Codec().decode_parts(layout.write_head(head.replace(b'{"bytes":0}', b'{"text":0}'), Sealer()), stored)
    assert str(Utf8("é".encode() * LARGE)) == "é" * LARGE
