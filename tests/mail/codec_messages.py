"""Messages for the tests of the codec: recipes by Hypothesis, and what is built from them with our classes or Django's."""

from __future__ import annotations

import re
from email.charset import BASE64, QP, Charset
from email.header import Header
from email.message import EmailMessage as ModernMessage
from email.message import Message
from email.mime.application import MIMEApplication
from email.mime.base import MIMEBase
from email.mime.image import MIMEImage
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.parser import BytesParser
from email.policy import compat32
from typing import Any

from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mailworker import mail

unhurried = hypothesis_settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)

#: Everything that UTF-8 can encode.
anything = st.text(st.characters(codec="utf-8"), max_size=80)
one_line = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=40)
address = st.builds(
    "{}@{}".format, st.text("abc.+-é", min_size=1, max_size=8), st.sampled_from(["b.example", "ü.example"])
)
named = st.one_of(address, st.builds("{} <{}>".format, st.sampled_from(["Ann", "Jörg", '"A, B"', "日本"]), address))
addresses = st.one_of(st.lists(named, max_size=3), st.lists(named, max_size=2).map(tuple))
header = st.one_of(
    one_line, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False, allow_infinity=False), named
)
headers = st.dictionaries(
    st.sampled_from(["X-A", "x-b", "From", "To", "Reply-To", "List-Id", "Date", "Message-ID", "Sender"]),
    header,
    max_size=4,
)
charset = st.sampled_from(
    [None, "utf-8", "iso-8859-1", "us-ascii", "koi8-r", ("utf-8", QP), ("utf-8", BASE64), ("utf-8", None)]
)
text_type = st.sampled_from(["text/plain", "text/html", "text/csv"])
file_type = st.sampled_from(["application/pdf", "image/png", "application/octet-stream"])
file_name = st.sampled_from([None, "a.txt", "löge.png", 'q"uote.csv', "日.pdf", "b"])
part_kind = st.sampled_from(
    ["text", "image", "inline", "application", "related", "rfc822", "raw", "parsed", "header", "long", "modern"]
)
attachment = st.one_of(
    st.tuples(st.just("file"), file_name, st.one_of(anything, st.binary(max_size=80)), st.one_of(text_type, file_type)),
    st.tuples(st.just("guessed"), file_name, st.text("ab \n", max_size=40), st.none()),
    st.tuples(st.just("part"), part_kind),
    st.tuples(st.just("message"), file_name, st.sampled_from(["ours", "standard", "raw", "modern", "source"])),
)
alternative = st.one_of(st.tuples(anything, text_type), st.tuples(st.binary(max_size=80), file_type))
json_able = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), anything),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(anything, st.just("\x00")), inner, max_size=3),
    ),
    max_leaves=8,
)
extra = st.dictionaries(
    st.sampled_from(["tags", "metadata", "esp_extra", "template_id", "_private", "my own"]), json_able, max_size=3
)
recipes = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["EmailMessage", "EmailMultiAlternatives"]),
        "subject": st.one_of(one_line, st.none(), st.integers()),
        "body": st.one_of(anything, st.sampled_from(["From here\n.\n..dots\r\nx", "x" * 1200, "é" * 700])),
        "from_email": st.one_of(st.none(), named),
        "to": addresses,
        "cc": addresses,
        "bcc": addresses,
        "reply_to": addresses,
        "headers": headers,
        "charset": charset,
        "content_subtype": st.sampled_from(["plain", "html", "x-é"]),
        "mixed_subtype": st.sampled_from(["mixed", "related"]),
        "alternative_subtype": st.sampled_from(["alternative", "related"]),
        "attachments": st.lists(attachment, max_size=3),
        "alternatives": st.lists(alternative, max_size=2),
        "extra": extra,
    }
)


def part(kind: str) -> MIMEBase:  # noqa: C901 - one branch for each kind
    """Build a part as somebody would attach one, Content-ID and odd bytes included."""
    made: MIMEBase
    if kind == "text":
        made = MIMEText("héllo\n", "plain", "utf-8")
    elif kind == "image":
        made = MIMEImage(b"\x89PNG" * 2000, "png")
    elif kind == "application":
        made = MIMEApplication(b"\0\1", "zip")
    elif kind == "related":
        made = MIMEMultipart("related", None, [MIMEText("<img src=cid:a>", "html"), part("inline")])
        made.preamble, made.epilogue = "pr\udce9\n", "after\n"
    elif kind == "rfc822":
        made = MIMEMessage(inner("raw"))
    elif kind == "modern":
        made = MIMEMessage(inner("modern"))
    elif kind == "parsed":
        made = MIMEMultipart("mixed", "fixed-boundary", [inner("raw"), inner("standard")])
    else:
        made = MIMEBase("image", "gif")
        made.set_payload("R0lGOD==" if kind != "raw" else "caf\udce9 \udcff\n" * 2000)
        made["Content-Transfer-Encoding"] = "8bit" if kind == "raw" else "base64"
        made.add_header("Content-Disposition", "inline", filename=("utf-8", "", "löge.gif"))
        if kind == "inline":
            made["Content-ID"] = "<logo.1@x.example>"
        if kind == "header":
            rich = Header("Grüße", "iso-8859-1", header_name="X-Rich")
            rich.append("日本", "utf-8")
            made["X-Rich"] = rich  # type: ignore[assignment]
        if kind == "long":
            made["X-Long"] = "word " * 60 + "\n\tfolded by hand"
    return made


def inner(kind: str, module: Any = None) -> Any:
    """Build a message that goes inside another one."""
    if kind == "source":
        return "Subject: inner\nTo: a@b\n\nbody\n"
    if kind == "raw":
        return BytesParser(policy=compat32).parsebytes(
            b"Subject: caf\xe9\nX-Raw: a\n b\nContent-Transfer-Encoding: 8bit\n\n\xff\xe9\n"
        )
    if kind == "standard":
        made = Message()
        made["Subject"] = "plain"
        made.set_payload("From me\n")
        return made
    if kind == "modern":
        modern = ModernMessage()
        modern["Subject"] = "Grüße aus " + "Köln " * 20
        modern["To"] = "Jörg <j@x.example>"
        modern.set_content("böd\n")
        modern.add_attachment(b"\0\1", maintype="image", subtype="png", filename="ä.png", cid="<c@x>")
        return modern
    return module.EmailMessage(
        "inné", "böd\n", "a@b.example", ["c@d.example"], attachments=[("x.txt", "é", "text/plain")]
    )


def build(module: Any, recipe: dict[str, Any], base: type | None = None) -> Any:
    """Build the message of a recipe with `module`'s classes, or with a class of the test's own."""
    attachments: list[Any] = []
    for kind, *details in recipe["attachments"]:
        if kind == "part":
            attachments.append(part(details[0]))
        elif kind == "message":
            attachments.append(module.EmailAttachment(details[0], inner(details[1], module), "message/rfc822"))
        else:
            attachments.append(tuple(details))
    message = (base or getattr(module, recipe["kind"]))(
        recipe["subject"],
        recipe["body"],
        recipe["from_email"],
        list(recipe["to"]),
        list(recipe["bcc"]),
        headers=recipe["headers"],
        cc=list(recipe["cc"]),
        reply_to=list(recipe["reply_to"]),
    )
    for name in ("to", "cc", "bcc", "reply_to"):
        setattr(message, name, recipe[name])
    message.attachments = attachments
    if recipe["kind"] == "EmailMultiAlternatives" or base is not None:
        message.alternatives = [module.EmailAlternative(*each) for each in recipe["alternatives"]]
        message.alternative_subtype = recipe["alternative_subtype"]
    made = recipe["charset"]
    if isinstance(made, tuple):
        made = Charset(made[0])
        made.body_encoding = recipe["charset"][1]
    message.encoding = made
    message.content_subtype = recipe["content_subtype"]
    message.mixed_subtype = recipe["mixed_subtype"]
    for name, value in recipe["extra"].items():
        setattr(message, name, value)
    return message


def without_boundaries(rendered: bytes) -> bytes:
    """Number the boundaries, which are drawn anew each time."""
    order: dict[bytes, bytes] = {}
    return re.sub(rb"={15}\d{19}==", lambda found: order.setdefault(found[0], b"boundary-%d" % len(order)), rendered)


def outcome(render: Any, message: Any) -> bytes | type[Exception]:
    """Return what a message renders to, or which exception it raises."""
    try:
        return without_boundaries(render(message))
    except Exception as error:  # noqa: BLE001 - the exception is what is compared
        return type(error)


def same_value(one: Any, other: Any) -> bool:
    """Compare with types: True is not 1, and a tuple no list."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same_value, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same_value(one[key], other[key]) for key in one)
    return bool(one == other) and repr(one) == repr(other)


KEY = "bWFpbHdvcmtlcidzIG93biBrZXkgZm9yIHRlc3RzLi4="
DATE = "Thu, 01 Jan 2026 00:00:00 -0000"


def fixed(base: Any = mail.EmailMultiAlternatives, body: str = "böd\n", **fields: Any) -> Any:
    made = base(
        "sübject", body, "Ann <a@b.example>", ["c@d.example"], headers={"Date": DATE, "Message-ID": "<1@b.example>"}
    )
    for name, value in fields.items():
        setattr(made, name, value)
    return made


class Frozen(mail.EmailMessage):
    def message(self):
        return super().message()
