"""Messages for the tests of rendering: recipes by Hypothesis, and what is built from them with our classes or Django's."""

from __future__ import annotations

from email.charset import BASE64, QP, Charset
from email.message import Message
from email.mime.application import MIMEApplication
from email.mime.base import MIMEBase
from email.mime.image import MIMEImage
from email.mime.text import MIMEText
from typing import Any

from hypothesis import strategies as st

#: No control characters but the tab: what we refuse and Django does not has tests of its own.
characters = st.characters(exclude_categories=["Cc", "Cs"], include_characters="\t\x85\u2028")
plain = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=40)
plain_word = st.one_of(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20),
    st.text("ab;,", min_size=1, max_size=10),
    st.sampled_from(["x" * size for size in (60, 67, 68, 69, 70, 75, 76, 77, 78, 79, 90, 200)]),
)
line = st.one_of(
    plain,
    st.lists(st.sampled_from(["word", "a,", "b;c", "x" * 30, ""]), min_size=10, max_size=40).map(" ".join),
    st.text(characters, max_size=60),
    st.text("abc é日😀 ", min_size=60, max_size=200),
)
body = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    st.lists(line, max_size=5).map("\n".join),
    st.sampled_from(
        ["From here\n.\n..dots\n", "x" * 999, "x" * 998, "é" * 500, "trailing \n\t\n", "a\r\nb\rc\n", "日" * 400]
    ),
)
domain = st.sampled_from(
    [
        "example.com",
        "bücher.example",
        "xn--bcher-kva.example",
        "localhost",
        "ex\uff20mple",
        "[127.0.0.1]",
        "a..b",
        "ü" * 70,
    ]
)
local = st.one_of(st.sampled_from(["a", "a.b+c", "jörg", '"j d"', "o'x"]), st.text("ab.ü-_", min_size=1, max_size=8))
address = st.one_of(
    st.builds("{}@{}".format, local, domain),
    st.builds("{} <{}@{}>".format, line, local, domain),
    st.builds('"{}" <{}@{}>'.format, line, local, domain),
    st.sampled_from(["root", "Team: a@x, b@y;", "undisclosed:;", "é:;", "a@b, é@c", "<>", "é <a@b> (c)", ""]),
    line,
)
usual_domain = st.sampled_from(["example.com", "bücher.example", "xn--bcher-kva.example", "localhost", "faß.example"])
usual_local = st.sampled_from(["a", "a.b+c", "jörg", "o'x"])
usual_name = st.text(st.characters(categories=("L", "Nd", "So"), include_characters=" .'-"), max_size=60)
usual_address = st.one_of(
    st.builds("{}@{}".format, usual_local, usual_domain),
    st.builds('"{}" <{}@{}>'.format, usual_name, usual_local, usual_domain),
)
header_name = st.sampled_from(
    [
        *("X-Foo", "List-Id", "Comments", "Keywords", "References"),
        *("Sender", "From", "To", "Cc", "Reply-To", "Date", "Message-ID"),
    ]
)
header_value = st.one_of(plain, st.integers(), st.none(), st.sampled_from(["a " * 100, "x" * 1200]))
#: Charsets by what makes them, since a Charset is mutable.
charset = st.sampled_from(
    [
        None,
        "utf-8",
        "UTF-8",
        "iso-8859-1",
        "us-ascii",
        "koi8-r",
        "shift_jis",
        "utf-16",
        "nonsense",
        ("utf-8", QP),
        ("utf-8", BASE64),
        ("iso-8859-1", None),
    ]
)
usual_charset = st.one_of(st.sampled_from([None, "utf-8", "UTF-8"]), st.just(("utf-8", QP)), st.just(("utf-8", BASE64)))
filename = st.one_of(st.sampled_from([None, "a.txt", "b.pdf", "c.html", "d", "e.eml", 'q"uote.csv', "日.png"]), line)
binary_type = st.sampled_from(["application/pdf", "image/png", "application/octet-stream", "audio/x"])
binary = st.one_of(st.binary(max_size=200), plain)
source = "Subject: inner é\nTo: a@b\nX-Long: " + "word " * 40 + "\n\nbody é\n"
attachment = st.one_of(
    st.tuples(st.just("file"), filename, binary, binary_type),
    st.tuples(st.just("guessed"), filename.filter(bool), st.one_of(plain, plain.map(str.encode)), st.none()),
    st.tuples(st.just("rfc822"), filename, st.sampled_from(["str", "bytes", "stdlib", "email"]), st.none()),
    st.tuples(
        st.just("mime"), st.just(None), st.sampled_from(["text", "image", "base", "application", "cid"]), st.none()
    ),
)


def made_charset(recipe: Any) -> Any:
    if not isinstance(recipe, tuple):
        return recipe
    made = Charset(recipe[0])
    made.body_encoding = recipe[1]
    return made


def mime_part(kind: str) -> MIMEBase:
    part: MIMEBase
    if kind == "text":
        part = MIMEText("héllo\n", "plain", "utf-8")
    elif kind == "image":
        part = MIMEImage(b"\x89PNG", "png")
    elif kind == "application":
        part = MIMEApplication(b"\0\1", "zip")
    else:
        part = MIMEBase("image", "gif")
        part.set_payload("R0lGOD==")
        part["Content-Transfer-Encoding"] = "base64"
    if kind == "cid":
        part["Content-ID"] = "<logo@x>"
        part.add_header("Content-Disposition", "inline", filename=("utf-8", "", "löge.gif"))
    return part


def inner_message(module: Any, kind: str) -> Any:
    if kind == "str":
        return source
    if kind == "bytes":
        return source.encode()
    if kind == "stdlib":
        made = Message()
        made["Subject"] = "plain"
        made.set_payload("text\n")
        return made
    same = {"Date": "Thu, 01 Jan 2026 00:00:00 -0000", "Message-ID": "<inner@x>"}
    return module.EmailMessage("inné", "böd\n", "a@b", ["c@d"], headers=same, attachments=[("x.txt", "é", None)])


def build(module: Any, recipe: dict[str, Any]) -> Any:
    attachments: list[Any] = []
    for kind, name, content, mimetype in recipe["attachments"]:
        if kind == "mime":
            attachments.append(mime_part(content))
        elif kind == "rfc822":
            attachments.append(module.EmailAttachment(name, inner_message(module, content), "message/rfc822"))
        elif kind == "guessed":
            attachments.append((name, content))
        else:
            attachments.append((name, content, mimetype))
    message = module.EmailMultiAlternatives(
        recipe["subject"],
        recipe["body"],
        recipe["from"],
        recipe["to"],
        recipe["bcc"],
        attachments=attachments,
        headers=recipe["headers"],
        alternatives=recipe["alternatives"],
        cc=recipe["cc"],
        reply_to=recipe["reply_to"],
    )
    message.encoding = made_charset(recipe["charset"])
    message.content_subtype = recipe["subtype"]
    return message


def recipes_of(address: Any, charset: Any, text_type: Any) -> Any:
    addresses = st.lists(address, max_size=3)
    text = st.tuples(
        st.just("file"), filename, st.one_of(body, body.map(str.encode), st.binary(max_size=50)), text_type
    )
    return st.fixed_dictionaries(
        {
            "subject": line,
            "body": body,
            "from": st.one_of(st.none(), address),
            "to": addresses,
            "cc": addresses,
            "bcc": st.lists(st.builds("{}@{}".format, local, domain), max_size=2),
            "reply_to": addresses,
            "headers": st.dictionaries(header_name, st.one_of(address, header_value), max_size=4),
            "attachments": st.lists(st.one_of(text, attachment), max_size=3),
            "alternatives": st.lists(st.one_of(st.tuples(body, text_type), st.tuples(binary, binary_type)), max_size=2),
            "charset": charset,
            "subtype": st.sampled_from(["plain", "html"]),
        }
    )


#: Most of these can be rendered, and most of the others cannot.
usual = recipes_of(usual_address, usual_charset, st.sampled_from(["text/plain", "text/html", "text/calendar"]))
odd = recipes_of(address, charset, st.sampled_from(["text/plain", "text/x-é"]))
common_name = st.one_of(st.none(), st.text('ab é日."\\', max_size=50), plain)
common_text = st.one_of(st.text("abé\r\n=", max_size=200), st.just("x" * 999))
#: What programs send most: nearly all of these are written directly.
common = st.fixed_dictionaries(
    {
        "subject": st.one_of(
            plain, st.text("abc é日😀\xa0", max_size=100), st.lists(plain_word, max_size=30).map(" ".join)
        ),
        "body": body,
        "from": st.one_of(st.none(), usual_address),
        "to": st.lists(usual_address, max_size=20),
        "cc": st.lists(usual_address, max_size=2),
        "bcc": st.lists(usual_address, max_size=2),
        "reply_to": st.lists(usual_address, max_size=1),
        "headers": st.dictionaries(
            header_name, st.one_of(usual_address, plain, st.integers(0, 9), st.just("<a@b>, " * 30)), max_size=4
        ),
        "attachments": st.lists(
            st.one_of(
                st.tuples(st.just("file"), common_name, common_text, st.sampled_from(["text/plain", "text/csv"])),
                st.tuples(st.just("file"), common_name, binary, binary_type | st.just("application/vnd." + "x" * 60)),
            ),
            max_size=2,
        ),
        "alternatives": st.lists(st.tuples(body, st.sampled_from(["text/html", "text/x-amp-html"])), max_size=2),
        "charset": st.sampled_from([None, "utf-8"]),
        "subtype": st.sampled_from(["plain", "html"]),
    }
)
nothing: dict[str, Any] = {
    "subject": "",
    "body": "",
    "from": None,
    "to": [],
    "cc": [],
    "bcc": [],
    "reply_to": [],
    "headers": {},
    "attachments": [],
    "alternatives": [],
    "charset": None,
    "subtype": "plain",
}
