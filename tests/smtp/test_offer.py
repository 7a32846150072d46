"""What is read in a server's answer to EHLO."""

from __future__ import annotations

import pytest

from mailworker.smtp.offer import Offer
from mailworker.testing import Script

ALL = ("PIPELINING", "8BITMIME", "SMTPUTF8", "STARTTLS", "DSN", "SIZE 1000", "ENHANCEDSTATUSCODES", "CHUNKING", "XTRA")


def test_a_server_that_offers_nothing_offers_nothing():
    assert Offer.of({}) == Offer()


def test_each_extension_is_read():
    features = dict.fromkeys(["pipelining", "8bitmime", "smtputf8", "starttls", "dsn", "enhancedstatuscodes"], "")
    assert Offer.of(features | {"size": "35882577", "auth": "PLAIN LOGIN"}) == Offer(
        pipelining=True,
        eight_bit=True,
        smtputf8=True,
        starttls=True,
        dsn=True,
        size=True,
        size_limit=35882577,
    )


@pytest.mark.parametrize(
    ("parameter", "limit"),
    [
        *[("1", 1), ("007", 7), ("10 20", 10), ("9" * 30, int("9" * 30))],
        *[("", None), ("0", None), ("many", None), ("-1", None), ("1e3", None), ("1.5", None), ("²", None)],
    ],
)
def test_a_size_that_is_no_number_names_no_limit(parameter, limit):
    offer = Offer.of({"size": parameter})
    assert (offer.size, offer.size_limit) == (True, limit)


def test_the_offer_of_a_session_is_what_the_server_said(bench):
    ehlo = "\n".join([*(f"250-{line}" for line in ("hello", *ALL[:-1])), f"250 {ALL[-1]}"])
    session = bench.session(bench.serve(Script(ehlo=ehlo)))
    assert session.offer == Offer(
        pipelining=True, eight_bit=True, smtputf8=True, starttls=True, dsn=True, size=True, size_limit=1000
    )


@pytest.mark.parametrize("name", ["PIPELINING", "pipelining", "Pipelining"])
def test_the_letter_case_of_an_extension_does_not_matter(bench, name):
    assert bench.session(bench.serve(Script(ehlo=f"250-hello\n250 {name}"))).offer.pipelining


def test_what_stands_in_the_server_s_name_is_no_extension(bench):
    server = bench.serve(Script(ehlo="250-PIPELINING.example.com PIPELINING\n250 DSN"))
    assert bench.session(server).offer == Offer(dsn=True)


def test_a_server_that_knows_no_ehlo_offers_nothing(bench):
    server = bench.serve(Script(ehlo="502 5.5.1 what?"))
    assert bench.session(server).offer == Offer()
    assert server.sessions[0].verbs == ["EHLO", "HELO"]


def test_what_was_offered_before_starttls_is_forgotten(bench, certificates):
    plain = "250-hello\n250-PIPELINING\n250-DSN\n250 STARTTLS"
    server = bench.serve(Script(ehlo=[plain, "250-hello\n250 8BITMIME"]), tls=certificates.server())
    session = bench.session(server, host="localhost", use_tls=True, ssl_context=certificates.client())
    assert session.offer == Offer(eight_bit=True)
