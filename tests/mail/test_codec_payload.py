"""The bytes: version 1 is readable for ever, damage is always noticed, and no bytes can crash or fill a worker."""

from __future__ import annotations

import contextlib
import json
import random
import struct
import subprocess
import sys
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailworker import mail
from mailworker.errors import CodecError, MessageTooLarge, UnserializableMessage
from mailworker.mail import payload as layout
from mailworker.mail.codec import Codec
from mailworker.mail.sealing import Sealer
from tests.mail.codec_messages import KEY, Frozen, build, fixed, recipes, unhurried

PAYLOADS = {
    "plain": Codec().encode(fixed()),
    "compressed": Codec().encode(fixed(body="word " * 200)),
    "blobs": Codec().encode(fixed(attachments=[("a", b"\0" * 40, "a/b"), ("b", b"\1" * 40, "a/b")])),
    "frozen": Codec().encode(fixed(Frozen)),
    "encrypted": Codec([KEY]).encode(fixed(attachments=[("a", b"\0" * 40, "a/b")])),
}


def codec_for(name: str) -> Codec:
    return Codec([KEY] if name == "encrypted" else [])


@pytest.mark.parametrize("name", PAYLOADS)
def test_any_single_byte_that_changes_is_noticed(name):
    codec, payload = codec_for(name), PAYLOADS[name]
    assert codec.decode(payload).subject == "sübject"
    for place in range(len(payload)):
        for mask in (0x01, 0x02, 0x80, 0xFF):
            damaged = bytearray(payload)
            damaged[place] ^= mask
            with pytest.raises(CodecError):
                codec.decode(bytes(damaged))


@pytest.mark.parametrize("name", PAYLOADS)
def test_any_cut_and_anything_behind_the_end_is_noticed(name):
    codec, payload = codec_for(name), PAYLOADS[name]
    for length in range(len(payload)):
        with pytest.raises(CodecError):
            codec.decode(payload[:length])
    for more in (b"\0", b"\n", b"\0\0\0\0", b"\0\0\0\1x", payload):
        with pytest.raises(CodecError):
            codec.decode(payload + more)


@unhurried
@given(data=st.data(), name=st.sampled_from(sorted(PAYLOADS)))
def test_any_damage_is_a_codec_error_or_no_damage(data, name):
    payload = bytearray(PAYLOADS[name])
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(payload)))
        end = data.draw(st.integers(start, min(len(payload), start + 8)))
        payload[start:end] = data.draw(st.binary(max_size=8))
    if bytes(payload) != PAYLOADS[name]:
        with pytest.raises(CodecError):
            codec_for(name).decode(bytes(payload))


def packed(tree: Any, blobs: tuple[bytes, ...] = ()) -> bytes:
    """Lay a tree out as an encoder would, with checksums that fit."""
    text = json.dumps(tree).encode()
    sealer = Sealer()
    known = tuple(layout.write_blob(blob, layout.digest_of(blob), sealer) for blob in blobs)
    return layout.Parts(layout.write_head(text, sealer), known).join()


def tree_of(message: Any) -> Any:
    return json.loads(layout.read_head(Codec().encode_parts(message).head, Sealer()))


json_trees = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 3),
        st.floats(),
        st.text("ab\x00é", max_size=3),
        st.sampled_from(["kind", "part", "modern"]),
    ),
    lambda each: st.one_of(
        st.lists(each, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["\x00", "part", "bytes", "text", "blob", "codec", "raw", "kind", "headers", "payload", "chunks"]
            ),
            each,
            max_size=3,
        ),
    ),
    max_leaves=6,
)


def places(tree: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        found.append((tree, key))
        if isinstance(value, dict | list):
            found += places(value)
    return found


@unhurried
@given(tree=json_trees)
@example(tree=[])
@example(tree={"subject": 1})
@example(tree={"subject": "", "body": "", "from_email": "", "blobs": [[1, 2]]})
@example(tree={"subject": "", "body": "", "from_email": "", "extra": {"send": 1}})
@example(tree={"subject": "", "body": "", "from_email": "", "extra": {"__class__": 1}})
@example(tree={"subject": "", "body": "", "from_email": "", "extra": {"_frozen_mail": 1}})
def test_json_that_is_no_message_is_a_codec_error(tree):
    with pytest.raises(CodecError):
        Codec().decode(packed(tree))


@unhurried
@given(data=st.data(), recipe=recipes, is_frozen=st.booleans())
def test_a_message_with_any_piece_exchanged_is_a_codec_error_or_a_message_that_the_encoder_understands(
    data, recipe, is_frozen
):
    message = (
        fixed(Frozen)
        if is_frozen
        else build(mail, {**recipe, "attachments": [*recipe["attachments"], ("part", "header")]})
    )
    tree = tree_of(message)
    holder, key = data.draw(st.sampled_from(places(tree)))
    holder[key] = data.draw(json_trees)
    text = json.dumps(tree).encode()
    head = layout.write_head(text, Sealer())
    blobs = [blob.stored for blob in Codec().encode_parts(message).blobs]
    try:
        decoded = Codec().decode_parts(head, blobs)
    except CodecError:
        return
    assert isinstance(decoded, mail.EmailMessage)
    with contextlib.suppress(UnserializableMessage):  # a number for a name, say: refused in one sentence too
        again = Codec().encode(decoded)
        assert Codec().encode(Codec().decode(again)) == again


@pytest.mark.parametrize(
    "content",
    [
        {"text": 0},
        {"text": 1},
        {"bytes": -1},
        {"bytes": "0"},
        {"part": {"kind": "message", "headers": [], "payload": {"raw": "no hex"}}},
        {"part": {"kind": "message", "headers": [], "payload": {"raw": "dc"}}},
        {"part": {"kind": "message", "headers": [], "payload": {"blob": 0, "codec": "utf-8"}}},
        {"part": {"kind": "message", "headers": [["a"]], "payload": None}},
        {"part": {"kind": "modern", "headers": [[[], "x", True]], "payload": None}},
        {"part": {"kind": "nothing", "headers": [], "payload": None}},
        {"part": {"kind": [], "headers": [], "payload": None}},
        {"part": {"kind": "message", "headers": [["a", {"chunks": [["x", "utf-8"]]}]], "payload": None}},
        {"part": {"kind": "message", "headers": [], "payload": None, "charset": ["a", 1, 1, "b", "c", 1.5]}},
    ],
)
def test_content_that_no_encoder_writes_is_a_codec_error(content):
    tree = {"subject": "", "body": "", "from_email": "", "attachments": [["a", content, "a/b"]]}
    blobs = (b"\xff\xfe",)
    known = [[len(blob), layout.digest_of(blob).hex()] for blob in blobs]
    with pytest.raises(CodecError):
        Codec().decode(packed({**tree, "blobs": known}, blobs))
    fine = {**tree, "attachments": [["a", {"bytes": 0}, "a/b"]], "blobs": known}
    assert Codec().decode(packed(fine, blobs)).attachments == [("a", blobs[0], "a/b")]


def test_a_number_that_json_does_not_know_is_a_codec_error():
    for number in ("NaN", "Infinity", "-Infinity", "9" * 5000):
        text = b'{"subject": %s, "body": "", "from_email": ""}' % number.encode()
        with pytest.raises(CodecError, match="no JSON"):
            Codec().decode(layout.write_head(text, Sealer()))


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_json_nested_beyond_all_bounds_is_a_codec_error(opening):
    with pytest.raises(CodecError):
        Codec().decode(layout.write_head(opening.encode() * 200_000, Sealer()))


def test_parts_nested_beyond_all_bounds_are_a_codec_error():
    part_tree: Any = {"kind": "message", "headers": [], "payload": None}
    for _ in range(100):
        part_tree = {"kind": "message", "headers": [], "payload": [part_tree]}
    with pytest.raises(CodecError):
        Codec().decode(packed({"subject": "", "body": "", "from_email": "", "attachments": [{"part": part_tree}]}))


def test_a_head_that_inflates_beyond_the_limit_is_stopped_at_it(monkeypatch):
    monkeypatch.setattr(layout, "MAX_HEAD", 1_000_000)
    monkeypatch.setattr(layout, "COMPRESS_LEVEL", 9)
    bomb = layout.write_head(b" " * 100_000_000, Sealer())
    assert len(bomb) < 200_000
    tracemalloc.start()
    try:
        with pytest.raises(CodecError, match="more than 1000000 bytes"):
            Codec().decode(bomb)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_a_head_of_exactly_the_limit_passes_and_one_byte_more_does_not(monkeypatch):
    payload = Codec().encode(fixed(body="word " * 2000))
    size = len(layout.read_head(payload, Sealer()))
    monkeypatch.setattr(layout, "MAX_HEAD", size)
    assert Codec().decode(payload).body == "word " * 2000
    assert Codec().encode(fixed(body="word " * 2000)) == payload
    monkeypatch.setattr(layout, "MAX_HEAD", size - 1)
    with pytest.raises(CodecError):
        Codec().decode(payload)
    with pytest.raises(MessageTooLarge, match="send it as an attachment"):
        Codec().encode(fixed(body="word " * 2000))


def test_bytes_behind_a_deflated_head_are_noticed():
    text = Codec().encode(fixed())[13:]
    stored = zlib.compress(text) + b"more"
    crc = zlib.crc32(stored, zlib.crc32(b"\1\1"))
    with pytest.raises(CodecError, match="behind its deflated head"):
        Codec().decode(struct.pack(">3sBBII", b"mwm", 1, 1, len(stored), crc) + stored)
    for broken in (zlib.compress(text)[:-1], b"x" + zlib.compress(text)):
        crc = zlib.crc32(broken, zlib.crc32(b"\1\1"))
        with pytest.raises(CodecError):
            Codec().decode(struct.pack(">3sBBII", b"mwm", 1, 1, len(broken), crc) + broken)


def test_a_flag_that_this_version_does_not_know_is_refused():
    stored = Codec().encode(fixed())[13:]
    crc = zlib.crc32(stored, zlib.crc32(b"\1\4"))
    with pytest.raises(CodecError, match="flags 0x04"):
        Codec().decode(struct.pack(">3sBBII", b"mwm", 1, 4, len(stored), crc) + stored)


def test_another_version_is_named_with_what_to_do():
    newer = bytearray(PAYLOADS["plain"])
    newer[3] = 2
    with pytest.raises(CodecError, match=r"of version 2, expected 1.*update the workers first"):
        Codec().decode(bytes(newer))


def test_an_error_shows_nothing_of_the_message():
    tree = tree_of(fixed())
    tree["to"] = ["secret@person.example", {"private": "words"}]
    with pytest.raises(CodecError) as raised:
        Codec().decode(packed(tree))
    for shown in (str(raised.value), repr(raised.value.__cause__)):
        assert "person" not in shown
        assert "words" not in shown


def test_compression_is_used_where_it_helps_and_only_there():
    short, long = fixed(), fixed(body="word " * 400)
    assert "sübject".encode() in Codec().encode(short)
    assert len(Codec().encode(long)) < 400
    for message in (short, long):
        assert Codec().decode(Codec().encode(message)).body == message.body
    noise = random.Random(1).randbytes(2000)
    assert layout.write_head(noise, Sealer()).endswith(noise)
    assert layout.read_head(layout.write_head(noise, Sealer()), Sealer()) == noise


def test_head_and_blobs_can_be_had_apart_and_put_together_again():
    content = bytes(70_000)
    message = fixed(attachments=[("a", content, "a/b"), ("b", b"other", "a/b"), ("c", content, "c/d")])
    for codec in (Codec(), Codec([KEY])):
        parts = codec.encode_parts(message)
        assert [(blob.size, blob.digest) for blob in parts.blobs] == [
            (len(each), layout.digest_of(each)) for each in (content, b"other")
        ]
        decoded = codec.decode_parts(parts.head, [blob.stored for blob in parts.blobs])
        assert decoded.attachments == message.attachments
        assert codec.decode(parts.join()).attachments == message.attachments
        stored = [blob.stored for blob in parts.blobs]
        for wrong in (stored[:1], stored[::-1], [*stored, b""], [stored[0], b"others"]):
            with pytest.raises(CodecError):
                codec.decode_parts(parts.head, wrong)


def test_a_large_attachment_is_not_copied_about():
    content = random.Random(1).randbytes(8_000_000)
    message = fixed(attachments=[("a", content, "application/pdf")])
    tracemalloc.start()
    try:
        payload = Codec().encode(message)
        assert tracemalloc.get_traced_memory()[1] < len(content) * 1.1
        tracemalloc.reset_peak()
        decoded = Codec().decode(payload)
        assert tracemalloc.get_traced_memory()[1] < len(content) * 2.1
    finally:
        tracemalloc.stop()
    assert decoded.attachments == message.attachments


def test_the_codec_takes_any_buffer():
    for kind in (bytes, bytearray, memoryview):
        assert Codec().decode(kind(PAYLOADS["blobs"])).subject == "sübject"


def test_the_codec_imports_no_broker_no_django_and_no_cryptography():
    script = "import sys, mailworker.mail.codec; print(*(each.partition('.')[0] for each in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "mailworker" in loaded
    assert not {"celery", "kombu", "redis", "django", "cryptography"} & set(loaded)
