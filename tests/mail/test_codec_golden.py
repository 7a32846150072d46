"""What version 1 wrote is read for ever."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from mailworker.mail import payload as layout
from mailworker.mail.codec import Codec
from mailworker.mail.render import render
from mailworker.mail.sealing import Sealer
from tests.mail.codec_messages import KEY, fixed, inner, part


def everything() -> Any:
    message = fixed(
        cc=["e@d.example"],
        bcc=["f@d.example"],
        reply_to=["g@d.example"],
        mail_id="0123456789abcdef0123456789abcdef",
        encoding="iso-8859-1",
        mixed_subtype="related",
        tags=("a", "b"),
        metadata={"n": 1},
    )
    message.attach_alternative("<p>böd", "text/html")
    message.attach("a.txt", "text é", "text/plain")
    message.attach("b.bin", b"\0\1\2", "application/octet-stream")
    message.attach("c.eml", inner("raw"), "message/rfc822")
    message.attach(part("header"))
    return message


#: What the first release wrote, in base64. Such bytes lie in somebody's queue: they must be read for ever.
GOLDEN = {
    "everything": (
        "bXdtAQEAAALK6HKHjngBnVNNa9tAEP0rYiEEimTrw1JkNwlpk1BSCIU0lIITzOxq1t5GWglp3dgY/45eCj31UOi5p9z8X/I7OivH"
        "IU4phRoL7c7Ozrz35mnBmin/hMKwAWtWd+uly3iZzSnCV7+yK81cJuuyGGEBKqfoK62dfTjiHZxBUeV4SAmmZIMhE0fZJsiuXSaE"
        "DeJ2kK+jcjtaY5XPR+sq4+2jCUKGdcMGC3YCBgnA5WTqOn7gvAXthH6YOL4/aP+O59OP4Jxj08AYvbMTSt8PnmJduqxQM8xGRNzM"
        "K1uvxpwKZ3QPtSgzpccUVE3ppWnc9wKKW+YjlVHYD8KoFyd7aR+4yFA+31My5AZrDUZ9RkI9HLL96tAqSUcGZ6Y7MUXOrkkfMAbE"
        "pEBt1nnQMTPzkOWsfmzyqxyUJj2HjHc4rdwF43Nja/tEBqoqV4K6lbpbCoPGa0yNULQXRAepF12ooKYRL9iN0pZFsdaHOjyqSzjf"
        "P1iB8mu4tWT9JKInoCfJBPbZ0qL46F3QKXW+0g5v2xyX2hAL77IG3UisvdONji5LuTIt2wrmeQnUfVM9E1LaqjQyYMulHcwaVreW"
        "Ig1DKv0HcA4NPkP92NwO02WqoMF3x0q2yM7Pzk+9D2QfkocOg47/T8C2RdLbSjtRTVU2ympsO+hcaXzpSJWjhgJfHEyN9NLd3Xzn"
        "ONp5nYyxs2lPUikxsQMQE6gbpBkMt5wVuAEVfGq1v23IL7c0cuYQAjGZ6pu1Z97Uq7vVNyL+33XtSO+/fL//+tMWaakwN3JDd7N+"
        "9r621i1gZkUgAdhgL93YqN2mS5vwOG124edv3p0cHNCIKU4fQA3WAwbGxGDBrqbtN0u6ADEjPy2tDwxkYNo8ahBYb/C85C3liJyH"
        "PR6FqY9xgqEEmUayF/QgwSgDjv0slhyDtL+XxL2e8GOJWRAGIARPYx5HUpAfl78BJKWNNwAAAAMAAQI="
    ),
    "encrypted": (
        "bXdtAQMAAAMJBLC9toAAAAAAawLS0pvEr06t2aLDxOPSy1U5aqo801DL2Xe4fdX22OrCvZM32Y6SeD9XCOut2CQb9Y24KTPwsFYt"
        "ljbC8nLeJPTBdKPFo3HLYG/l6T2fOCMKNoELruO6T5F2qTJBFtJOm2afw1mL/RklfZhlvaNNM/2pGozCiKodDQ8gjd3/LnTvaZAJ"
        "HzcSXEW1mH8ybCE8Ru/uhGwutxA+1pXlrJ1RHJ7N51B1SlU4dTSVKsgT45tJjdYOUibz7ngrgxdQtlscl/cfpGSMZd4wGaTzlEi3"
        "7kRV/isu9Q4ZHrUbPAyz8Qi/N4EhvLKjIDeTR2PRFnZq/hDk8YcNtwY63VEZgbdNqW7CT/VI7gNtNxe/tHa4yuh3e7dm2bxlF+1m"
        "Y7ef3MyDvBghk4BUxr5jT4Nmsa5dxuMW4qZbHPj5mP9pFpdW8vpS0X/Jy/O7sW9LKuFcmWPgYsaDyO/GdMTmy42wkWLqQD7w5pY3"
        "yM6Veh9NldztlTVHFgtQETbZ2nNq5ok3rZssR9Sl7xDouIqFNX0jiY+ANfmNzNhG47lbcwdrHeu3Xam7YsRms3z0ebyJIk5J4YnM"
        "ioHNE79uG+KzdWKa/jEERrEHTL1t7XVYGOuLzAAXahFXCAjwFaJC+s6xjv2camEl8vCU1pbcmUmgTP9KTnwqdEpo3cXlBv9G5vBz"
        "TXEwPzrZvx7I9ov/HJaveFknqL/uDS4MNFhmLEIVVZtAzXZq4w1g1C00Dvg5/FWm59CkIC3EJ3BK/py+wrGid6m8uNDrmEYhaTWS"
        "DT40S/JhuKWuQDE1u19i0jtXWiC+u8cXRCc8dDEDX2fv1+J3Ct7X/GY+MS5ESGt+14eBH7cvYA1Q6NcSxGEVdPqNq97cZkTji3AF"
        "Gu8MagSS6jTbHwRx2ib2DApyc0mCz27JORiOaiQVr8E6SQxliq80ChTDMKIkx7bqRVLtL080BMGNRdRCH87S61TveejN/TmIfYHG"
        "iqjT5tclxPk+8rWY9FpxGSLc8ixEEf2yMoTnXrDKLznIf21lrylS6AAAAEmAAAAAAGsC0tL94nnxXV6hKTk9dGzlRl3xATpjK+sX"
        "120kqyOPNKhZYBXOX7f6RRje5eoy0zCpLAtnojVatZl+Wl4NhHk1bHWD"
    ),
    "frozen": (
        "bXdtAQAAAAFQ9TAXznsic3ViamVjdCI6InPDvGJqZWN0IiwiYm9keSI6ImLDtmRcbiIsImZyb21fZW1haWwiOiJBbm4gPGFAYi5l"
        "eGFtcGxlPiIsInRvIjpbImNAZC5leGFtcGxlIl0sImhlYWRlcnMiOnsiRGF0ZSI6IlRodSwgMDEgSmFuIDIwMjYgMDA6MDA6MDAg"
        "LTAwMDAiLCJNZXNzYWdlLUlEIjoiPDFAYi5leGFtcGxlPiJ9LCJmcm96ZW4iOnsiY29udGVudCI6eyJieXRlcyI6MH0sInJlY2lw"
        "aWVudHMiOlsiY0BkLmV4YW1wbGUiXSwibGVmdF9iZWhpbmQiOnt9fSwiYmxvYnMiOltbMjQ2LCJlMGFhYTc0ZDg3MWNkZjBjY2Q3"
        "YjczMGU2YmVkYWRjMWJjNmViZDUzNzA2OTA0ZTI0YjczODA5NWU5MmI1ZjM1Il1dfQAAAPZDb250ZW50LVR5cGU6IHRleHQvcGxh"
        "aW47IGNoYXJzZXQ9InV0Zi04Ig0KTUlNRS1WZXJzaW9uOiAxLjANCkNvbnRlbnQtVHJhbnNmZXItRW5jb2Rpbmc6IDhiaXQNClN1"
        "YmplY3Q6ID0/dXRmLTg/cT9zPUMzPUJDYmplY3Q/PQ0KRnJvbTogQW5uIDxhQGIuZXhhbXBsZT4NClRvOiBjQGQuZXhhbXBsZQ0K"
        "RGF0ZTogVGh1LCAwMSBKYW4gMjAyNiAwMDowMDowMCAtMDAwMA0KTWVzc2FnZS1JRDogPDFAYi5leGFtcGxlPg0KDQpiw7ZkDQo="
    ),
}


@pytest.mark.parametrize("name", ["everything", "encrypted"])
def test_what_version_1_wrote_is_read_for_ever(name):
    codec = Codec([KEY] if name == "encrypted" else [])
    decoded, expected = codec.decode(base64.b64decode(GOLDEN[name])), everything()
    assert type(decoded) is type(expected)
    fields = [
        {field: value for field, value in vars(each).items() if field != "attachments"} for each in (decoded, expected)
    ]
    assert fields[0] == fields[1]
    assert decoded.attachments[:2] == expected.attachments[:2]
    assert decoded.attachments[2].content.as_bytes() == expected.attachments[2].content.as_bytes()
    assert decoded.attachments[3].as_bytes() == expected.attachments[3].as_bytes()


def test_a_frozen_message_that_version_1_wrote_is_read_for_ever():
    decoded = Codec().decode(base64.b64decode(GOLDEN["frozen"]))
    assert render(decoded) == FROZEN_BYTES
    assert decoded.recipients() == ["c@d.example"]


FROZEN_BYTES = (
    b'Content-Type: text/plain; charset="utf-8"\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n'
    b"Subject: =?utf-8?q?s=C3=BCbject?=\r\nFrom: Ann <a@b.example>\r\nTo: c@d.example\r\n"
    b"Date: Thu, 01 Jan 2026 00:00:00 -0000\r\nMessage-ID: <1@b.example>\r\n\r\nb\xc3\xb6d\r\n"
)


def test_what_is_written_is_still_version_1():
    # Deflate's output differs between zlibs; what it holds does not.
    golden, blobs = layout.split(base64.b64decode(GOLDEN["everything"]))
    parts = Codec().encode_parts(everything())
    assert parts.head[:4] == b"mwm\1"
    assert layout.read_head(parts.head, Sealer()) == layout.read_head(golden, Sealer())
    assert [blob.stored for blob in parts.blobs] == [bytes(blob) for blob in blobs]
