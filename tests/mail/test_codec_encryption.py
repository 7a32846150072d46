"""With keys nothing can be read in the queue; keys can be rotated; without the right one there is one clear error."""

from __future__ import annotations

import base64
import hashlib
import random
import sys
from base64 import urlsafe_b64encode

import pytest

from mailworker import mail
from mailworker.errors import CodecError, ConfigurationError
from mailworker.mail.codec import Codec
from mailworker.mail.sealing import Sealer

# Fixed: they stand in the names of tests, which must be the same in every process of a parallel run.
OLD, NEW, OTHER = (urlsafe_b64encode(bytes([n]) * 32).decode() for n in range(3))
SECRETS = [
    "Gehaltsabrechnung",
    "vertraulicher Inhalt",
    "anna@person.example",
    "bericht.pdf",
    "geheime Zahlen",
    "kampagne-7",
    "<p>html",
]


def secret_message() -> mail.EmailMultiAlternatives:
    message = mail.EmailMultiAlternatives(
        SECRETS[0],
        SECRETS[1],
        "boss@b.example",
        [SECRETS[2]],
        attachments=[(SECRETS[3], SECRETS[4].encode() * 3000, "a/b")],
    )
    message.attach_alternative(SECRETS[6], "text/html")
    message.tags = [SECRETS[5]]  # type: ignore[attr-defined]
    return message


def test_nothing_of_an_encrypted_message_can_be_read():
    readable, sealed = Codec().encode(secret_message()), Codec([NEW]).encode(secret_message())
    for secret in SECRETS:
        assert secret.encode() in readable
        assert secret.encode() not in sealed
        assert base64.b64encode(secret.encode())[:-4] not in sealed
    digest = Codec().encode_parts(secret_message()).blobs[0].digest
    assert digest.hex().encode() in readable
    assert digest.hex().encode() not in sealed  # a plain digest confirms a known file
    assert digest not in sealed


def test_two_encryptions_of_the_same_message_have_nothing_in_common():
    message = secret_message()
    one, other = (Codec([NEW]).encode(message) for _ in range(2))
    assert one[13:] != other[13:]
    assert len(one) == len(other)


def test_keys_can_be_rotated_without_losing_what_is_queued():
    queued = Codec([OLD]).encode(secret_message())
    both = Codec([NEW, OLD])
    assert both.decode(queued).subject == SECRETS[0]
    fresh = both.encode(secret_message())
    assert Codec([NEW]).decode(fresh).subject == SECRETS[0]
    with pytest.raises(CodecError):
        Codec([OLD]).decode(fresh)
    with pytest.raises(CodecError):
        Codec([NEW]).decode(queued)


def test_what_was_queued_before_there_were_keys_is_still_read():
    assert Codec([NEW]).decode(Codec().encode(secret_message())).subject == SECRETS[0]


def test_a_wrong_key_and_no_key_are_told_apart():
    sealed = Codec([NEW]).encode(secret_message())
    with pytest.raises(CodecError, match="none of the 2 keys in MAILWORKER_ENCRYPTION_KEYS opens"):
        Codec([OLD, OTHER]).decode(sealed)
    with pytest.raises(CodecError, match="encrypted and MAILWORKER_ENCRYPTION_KEYS is empty"):
        Codec().decode(sealed)


def test_a_blob_of_another_mail_is_noticed_under_the_same_key():
    codec = Codec([NEW])
    mine = codec.encode_parts(secret_message())
    other = secret_message()
    other.attachments = [("x", b"x", "a/b")]
    foreign = codec.encode_parts(other)
    with pytest.raises(CodecError, match="another one's"):
        codec.decode_parts(mine.head, [foreign.blobs[0].stored])


@pytest.mark.parametrize(
    "key", ["", "short", "x" * 42 + "!=", NEW[:-2], NEW + "x", "ü" * 44, b"\xff" * 44, NEW.replace("=", "!"), " " + NEW]
)
def test_a_bad_key_is_refused_by_its_place_and_never_shown(key):
    with pytest.raises(ConfigurationError, match=r"MAILWORKER_ENCRYPTION_KEYS: key 2 is not a Fernet key") as raised:
        Codec([OLD, key])
    shown = str(raised.value) + repr(raised.value.__cause__)
    assert OLD not in shown
    assert not key or str(key) not in shown


@pytest.mark.parametrize("keys", [NEW, NEW.encode()])
def test_one_string_in_place_of_a_list_of_keys_is_refused(keys):
    with pytest.raises(ConfigurationError, match="got one string, expected a list") as raised:
        Codec(keys)
    assert NEW not in str(raised.value)


def test_keys_may_be_text_or_bytes():
    assert Codec([NEW.encode()]).decode(Codec([NEW]).encode(secret_message())).subject == SECRETS[0]


def test_without_the_cryptography_package_keys_are_a_configuration_error_and_no_keys_are_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.setitem(sys.modules, "cryptography.fernet", None)
    with pytest.raises(ConfigurationError, match=r"needs the package cryptography.*mailworker\[crypto\]"):
        Codec([NEW])
    assert Codec().decode(Codec().encode(secret_message())).subject == SECRETS[0]


def test_no_repr_shows_a_key():
    codec = Codec([NEW, OLD], max_size=7)
    assert repr(codec) == "<Codec: <Sealer with 2 keys>, max_size=7>"
    for shown in (repr(codec), str(codec), f"{codec.sealer!r}"):
        assert NEW not in shown
        assert OLD not in shown


def test_a_sealer_seals_other_things_too():
    sealer = Sealer([NEW])
    sealed = sealer.seal(b"password")
    assert b"password" not in sealed
    assert sealer.open(sealed) == b"password"
    with pytest.raises(CodecError):
        sealer.open(sealed[:-1])
    assert sealer.has_keys
    assert not Sealer().has_keys
    with pytest.raises(ConfigurationError, match="is empty, expected at least one key"):
        Sealer().seal(b"x")


@pytest.mark.parametrize("size", [2**18 - 100, 2**18, 2**18 + 1, 5 * 2**16 - 1, 5 * 2**16, 1_000_003])
def test_a_large_piece_is_opened_as_a_small_one_is(size):
    content = random.Random(size).randbytes(size)
    sealed = Sealer([OLD]).seal(content)
    for given in (sealed, bytearray(sealed), memoryview(sealed)):
        assert Sealer([NEW, OLD]).open(given) == content
    last = len(sealed) - 1
    damaged = [sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :] for place in (0, 8, 9, 25, last)]
    for broken in (*damaged, sealed[:-1], sealed + b"x"):
        with pytest.raises(CodecError, match="opens the mail"):
            Sealer([NEW, OLD]).open(broken)
    with pytest.raises(CodecError, match="opens the mail"):
        Sealer([NEW]).open(sealed)


def test_a_login_travels_only_encrypted_and_is_handed_to_the_worker():
    message = secret_message()
    payload = Codec([NEW]).encode(message, login=("user-7", "pässword"))
    assert b"user-7" not in payload
    decoded = Codec([NEW]).decode(payload)
    assert decoded.relay_login == ("user-7", "pässword")
    with pytest.raises(ConfigurationError, match="set MAILWORKER_ENCRYPTION_KEYS, or name a mailer") as raised:
        Codec().encode(message, login=("user-7", "pässword"))
    assert "user-7" not in str(raised.value)


def test_a_login_is_no_part_of_the_message_that_carried_it():
    decoded = Codec([NEW]).decode(Codec([NEW]).encode(secret_message(), login=("user-7", "pässword")))
    again = Codec().encode(decoded)
    assert b"user-7" not in again
    assert Codec().decode(again).relay_login is None


def test_equal_bytes_have_one_mark_also_after_a_new_key_was_put_first():
    assert Sealer([OLD]).mark(b"ann@example.com") == Sealer([NEW, OLD]).mark(b"ann@example.com")
    assert Sealer([NEW]).mark(b"ann@example.com") != Sealer([OLD]).mark(b"ann@example.com")


def test_a_mark_confirms_no_guess_without_the_key():
    mark = Sealer([OLD]).mark(b"ann@example.com")
    assert mark not in (hashlib.sha256(b"ann@example.com").hexdigest(), Sealer([OTHER]).mark(b"ann@example.com"))


def test_nothing_is_marked_without_a_key():
    with pytest.raises(ConfigurationError, match="MAILWORKER_ENCRYPTION_KEYS is empty"):
        Sealer().mark(b"ann@example.com")
