from __future__ import annotations

import pytest

from mailworker import settings
from mailworker.bulk.trial import send_trial
from mailworker.errors import InvalidAddress, RowsError
from mailworker.mail.unsubscribe import verify
from tests.bulk.conftest import rows, wanted

ME = "me@example.org"


def test_the_first_three_messages_go_to_one_address_only(in_process):
    ids = send_trial(wanted([{"email": "nobody", "name": "N"}, *rows(9)], suppress=["user1@example1.com"]), ME)
    assert len(ids) == len(set(ids)) == 3
    assert [message.recipients() for message in in_process] == [[ME]] * 3
    assert [message.subject for message in in_process] == ["News for User 0", "News for User 2", "News for User 3"]


def test_a_link_in_them_to_get_no_more_mail_is_about_that_address(in_process):
    with settings.override(
        MAILWORKER_UNSUBSCRIBE_URL="https://example.com/u/{token}", MAILWORKER_UNSUBSCRIBE_KEYS=["k" * 20]
    ):
        send_trial(wanted(rows(1)), ME)
        link = in_process[0].extra_headers["List-Unsubscribe"]
        assert verify(link.rpartition("/")[2].rstrip(">")).address == ME


def test_a_list_without_a_good_row_is_told(in_process):
    with pytest.raises(RowsError, match="the list has no row that could be sent: look at it with --dry-run"):
        send_trial(wanted([{"email": "nobody", "name": "N"}]), ME)


@pytest.mark.parametrize("address", ["me", "a@b, c@d", ""])
def test_what_is_no_address_is_refused_before_anything_goes(in_process, address):
    with pytest.raises(InvalidAddress):
        send_trial(wanted(rows(1)), address)
    assert not in_process
