"""What a scripted server's messages show of the bytes that came."""

from __future__ import annotations

from email.mime.image import MIMEImage

import mailworker
from mailworker.testing.received import ReceivedAttachment, ReceivedMessage
from mailworker.testing.smtpd import ScriptedServer


def test_a_message_is_parsed(smtp_server: ScriptedServer) -> None:
    logo = MIMEImage(b"GIF89a", "gif")
    logo["Content-ID"] = "<logo@x>"
    logo.add_header("Content-Disposition", "inline", filename="logo.gif")
    letter = mailworker.EmailMultiAlternatives("Grüße", "Text\nzwei.", "Änn <a@example.com>", ["Böb <b@example.com>"])
    letter.attach_alternative("<b>Grüße</b>", "text/html")
    letter.attach(logo)
    letter.attach("bericht.csv", "a,ü\r\n", "text/csv")
    letter.attach(
        "weiter.eml", mailworker.EmailMessage("Inner", "x", "i@example.com", ["j@example.com"]), "message/rfc822"
    )
    letter.cc, letter.bcc = ["c@example.com"], ["d@example.com"]
    assert letter.send() == 1
    (one,) = smtp_server.messages
    assert (one.sender, one.recipients) == ("a@example.com", ("b@example.com", "c@example.com", "d@example.com"))
    assert (one.subject, one.from_email, one.to, one.cc, one.bcc) == (
        *("Grüße", "a@example.com", ["b@example.com"], ["c@example.com"], ["d@example.com"]),
    )
    assert (one.text.strip(), one.html.strip()) == ("Text\nzwei.", "<b>Grüße</b>")
    image, table, inner = one.attachments
    assert image == ReceivedAttachment("logo.gif", b"GIF89a", "image/gif", "logo@x", is_inline=True)
    assert (table.name, table.content.decode(), table.mimetype) == ("bericht.csv", "a,ü\r\n", "text/csv")
    assert inner.mimetype == "message/rfc822"
    assert b"Subject: Inner" in inner.content


def test_what_cannot_be_decoded_is_shown_all_the_same() -> None:
    for charset in ("klingon", "utf-8"):
        content = f"Content-Type: text/plain; charset={charset}\r\n\r\n".encode() + b"\xff ok\r\n"
        one = ReceivedMessage("", (), content)
        assert one.text == "� ok\n"
    assert (one.subject, one.from_email, one.to, one.html, one.attachments) == ("", "", [], "", [])


def test_an_html_mail_has_no_text(smtp_server: ScriptedServer) -> None:
    letter = mailworker.EmailMessage("s", "<b>x</b>", "a@example.com", ["b@example.com"])
    letter.content_subtype = "html"
    letter.send()
    assert (smtp_server.messages[0].text, smtp_server.messages[0].html.strip()) == ("", "<b>x</b>")
