from __future__ import annotations

import re

from mailworker.bulk.row_id import row_ids
from mailworker.mail.sealing import Sealer
from tests.bulk.conftest import KEY


def test_an_id_follows_from_name_and_recipient_and_from_nothing_else():
    for keys in ((), (KEY,)):
        ids = row_ids("news", Sealer(keys))
        assert re.fullmatch("[0-9a-f]{32}", ids("ann@example.com"))
        assert ids("ann@example.com") == row_ids("news", Sealer(keys))("ann@example.com")
        assert ids("ann@example.com") != ids("bob@example.com")
        assert ids("ann@example.com") != row_ids("news-2", Sealer(keys))("ann@example.com")


def test_no_name_and_recipient_run_into_each_other():
    for keys in ((), (KEY,)):
        assert row_ids("a", Sealer(keys))("bc@x") != row_ids("ab", Sealer(keys))("c@x")


def test_who_has_no_key_cannot_tell_whose_id_it_is():
    assert row_ids("news", Sealer((KEY,)))("ann@example.com") != row_ids("news", Sealer(()))("ann@example.com")


def test_the_id_is_the_same_in_every_release():
    assert row_ids("news", Sealer(()))("ann@example.com") == "2bec37a181780ff6c0ca68c5f993b850"
