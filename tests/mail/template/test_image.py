"""Images that a template shows."""

from __future__ import annotations

import re

import pytest

from mailworker import TemplateError
from mailworker.mail.template.image import InlineImage, with_images

LOGO = InlineImage.of("img/logo.png", b"\x89PNG")


def find(path: str) -> InlineImage | None:
    return LOGO if path in ("logo.png", "img/logo.png") else None


@pytest.mark.parametrize(
    "html",
    [
        '<img src="cid:logo.png">',
        "<img alt='x' src='cid:logo.png'/>",
        '<IMG\n width=1 src = "cid:img/logo.png">',
        '<td background="cid:logo.png">',
        '<IMG SRC="cid:logo.png">',
        '<img src="cid:logo.png"><img src="cid:logo.png">',
    ],
)
def test_a_reference_leads_to_the_content_id(html: str) -> None:
    made, images = with_images(html, find, (), "a.html")
    assert images == (LOGO,)
    assert re.findall(r"cid:([^\"']+)", made) == [LOGO.content_id] * html.count("cid:")


@pytest.mark.parametrize(
    "html", ["cid:logo.png", "src=&#34;cid:logo.png&#34;", '<p>src="cid:logo.png"</p>', '<a title="src=cid:logo.png">']
)
def test_a_text_asks_for_nothing(html: str) -> None:
    assert with_images(html, find, (), "a.html") == (html, ())


def test_what_the_message_brings_along_stays_as_it_is() -> None:
    html = '<img src="cid:mine"><img src="cid:part1@shop.example">'
    assert with_images(html, find, {"mine"}, "a.html") == (html, ())


def test_an_image_that_is_not_there_is_told() -> None:
    with pytest.raises(
        TemplateError,
        match=r"^a\.html: cid:lgoo\.png is no image beside the templates, and no attachment of the message$",
    ):
        with_images('<img src="cid:lgoo.png">', find, (), "a.html")


def test_the_same_content_has_the_same_id_and_another_one_another() -> None:
    assert InlineImage.of("x/logo.png", b"\x89PNG") == InlineImage.of("logo.png", b"\x89PNG") == LOGO
    assert InlineImage.of("logo.png", b"other").content_id != LOGO.content_id
    assert re.fullmatch(r"[0-9a-f]{16}\.l_go_\.png@mailworker", InlineImage.of("lögo>.png", b"").content_id)


def test_a_part_is_inline_and_can_be_changed_without_harm() -> None:
    one, other = LOGO.part(), LOGO.part()
    one.replace_header("Content-ID", "<x>")
    assert other["Content-ID"] == f"<{LOGO.content_id}>"
    assert (other.get_content_type(), other.get_content_disposition(), other.get_filename()) == (
        *("image/png", "inline", "logo.png"),
    )
    assert other.get_payload(decode=True) == b"\x89PNG"
