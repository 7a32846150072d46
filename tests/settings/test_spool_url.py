"""What the spool's URL says: servers, login, database, TLS; and the broker's in its place."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.settings import Settings, SpoolServers, parse_spool_url, spool_url_for
from mailworker.settings.rule import BadValue

SECRET = "hunter2"

VERIFIED = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}


@pytest.mark.parametrize(
    ("broker", "spool"),
    [
        ("redis://:p@h:6379/2", "redis://:p@h:6379/2"),
        ("rediss://h", "rediss://h"),
        ("redis+socket:///run/redis.sock", "unix:///run/redis.sock"),
        ("redis://a/0;redis://b/0", "redis://a/0"),
        ("amqp://h//", None),
        ("memory://", None),
        ("sentinel://h:26379", None),
    ],
)
def test_the_spool_is_the_broker_if_that_is_a_redis(broker, spool):
    assert spool_url_for(broker) == spool
    assert Settings(MAILWORKER_BROKER_URL=broker).spool_url() == spool
    assert Settings(MAILWORKER_BROKER_URL=broker, MAILWORKER_SPOOL_URL="redis://own/1").spool_url() == "redis://own/1"
    assert Settings(MAILWORKER_BROKER_URL=broker, MAILWORKER_SPOOL_URL="").spool_url() is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://", SpoolServers((("localhost", 6379),))),
        ("redis://h", SpoolServers((("h", 6379),))),
        ("redis://h:6380/3", SpoolServers((("h", 6380),), database=3)),
        ("redis://h/?db=3", SpoolServers((("h", 6379),), database=3)),
        ("valkey://[::1]:1/2", SpoolServers((("::1", 1),), database=2)),
        ("redis://:p%40@h", SpoolServers((("h", 6379),), password="p@")),
        ("redis://u:p@h", SpoolServers((("h", 6379),), username="u", password="p")),
        ("redis://h?username=u&password=p", SpoolServers((("h", 6379),), username="u", password="p")),
        ("redis://a:1,b:2", SpoolServers((("a", 1), ("b", 2)))),
        ("redis://:p@a:1/0;redis://b:2", SpoolServers((("a", 1), ("b", 2)), password="p")),
        ("rediss://h", SpoolServers((("h", 6379),), tls=VERIFIED)),
        ("valkeys://h", SpoolServers((("h", 6379),), tls=VERIFIED)),
        (
            "rediss://h?ssl_ca_certs=/ca.pem&ssl_cert_reqs=CERT_NONE&ssl_check_hostname=false",
            SpoolServers(
                (("h", 6379),),
                tls={"ssl_ca_certs": "/ca.pem", "ssl_cert_reqs": "none", "ssl_check_hostname": False},
            ),
        ),
        ("unix:///run/redis.sock", SpoolServers((), path="/run/redis.sock")),
        ("unix://u:p@/run/r.sock?db=2", SpoolServers((), path="/run/r.sock", database=2, username="u", password="p")),
        ("redis+socket:///r.sock?virtual_host=1", SpoolServers((), path="/r.sock", database=1)),
        ("sentinel://h/mymaster", SpoolServers((("h", 26379),), service="mymaster")),
        ("sentinel://a:1,b/x/2", SpoolServers((("a", 1), ("b", 26379)), service="x", database=2)),
        (
            "sentinel://:p@a:1/0?master_name=7;sentinel://b:2",
            SpoolServers((("a", 1), ("b", 2)), service="7", password="p"),
        ),
        (
            "sentinel://u:p@h/x?sentinel_username=su&sentinel_password=sp&ssl=1",
            SpoolServers(
                (("h", 26379),),
                service="x",
                username="u",
                password="p",
                sentinel_username="su",
                sentinel_password="sp",
                tls=VERIFIED,
            ),
        ),
    ],
)
def test_each_form_is_read_as_it_is_meant(url, said):
    assert parse_spool_url(url, strict=True) == said
    assert Settings(MAILWORKER_SPOOL_URL=url).spool_url() == url


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("amqp://h", "begins with an unknown scheme, but must name a Redis; empty means no spool: known are"),
        (
            "sentinal://h/x",
            "begins with 'sentinal', but must name a Redis; empty means no spool: did you mean sentinel?",
        ),
        ("h:6379", "has a value that is not shown here, but must be a Redis URL"),
        ("redis://h /0", "has a value that is not shown here, but must be a Redis URL"),
        (f"redis://h/{SECRET}", "must end in a database number: write redis://host:6379/0"),
        (f"redis://:{SECRET}/@h", "cannot be read as redis://user:password@host:port/...: percent-encode"),
        (f"redis://h:{SECRET}", "has a host or port that cannot be read"),
        ("redis://h:0", "has a host or port that cannot be read"),
        ("redis://a..b", "has a host or port that cannot be read"),
        ("redis://a,,b", "has a host or port that cannot be read"),
        (f"redis://[{SECRET}", "cannot be read as redis://user:password@host:port/..."),
        (f"redis://a:1?{SECRET}=1", "has an unknown parameter behind its question mark: known are db, password"),
        ("redis://h?socket_timeout=9", "has an unknown parameter behind its question mark"),
        ("redis://h?db=1&db=2", "has a parameter twice behind its question mark: keep one"),
        ("redis://h?ssl_cert_reqs=none", "has parameters for TLS, but does not speak it: write rediss://"),
        ("sentinel://h/x?ssl_ca_certs=/c", "has parameters for TLS, but does not speak it: add ssl=1"),
        ("rediss://h?ssl_cert_reqs=never", "has a parameter ssl_cert_reqs that is none of required, optional, none"),
        ("rediss://h?ssl_check_hostname=x", "has a parameter ssl_check_hostname that is neither true nor false"),
        ("redis://a/0;redis://b/1", "has URLs between its semicolons that differ in more than the host"),
        (f"redis://:{SECRET}@a;redis://:x@b", "has URLs between its semicolons that differ in more than the host"),
        ("redis://a;rediss://b", "has URLs between its semicolons that differ in more than the host"),
        ("sentinel://h:26379", "needs the name of the service that the Sentinels watch: write sentinel://host"),
        ("sentinel://h:26379/0", "needs the name of the service that the Sentinels watch"),
        ("sentinel://h/x/y", "must end in a database number: write sentinel://host:26379/mymaster/0"),
        ("sentinel://h/x/0/1", "needs the name of the service that the Sentinels watch"),
        ("unix://run/redis.sock", "needs a path with three slashes: write unix:///run/redis.sock?db=0"),
        ("unix://", "needs a path with three slashes"),
    ],
)
def test_a_bad_url_is_refused_in_one_sentence_without_its_secret(refusal, url, sentence):
    said = refusal(MAILWORKER_SPOOL_URL=url)
    assert said.startswith("MAILWORKER_SPOOL_URL (from configure()) ")
    assert sentence in said
    assert SECRET not in said


def test_what_a_brokers_url_says_to_celery_alone_means_nothing_to_the_spool():
    assert parse_spool_url("redis://h/1?visibility_timeout=9") == SpoolServers((("h", 6379),), database=1)


def test_no_secret_is_in_the_repr_of_what_was_read():
    read = parse_spool_url(
        f"sentinel://u:{SECRET}@h/x?sentinel_password={SECRET}&ssl=1&ssl_password={SECRET}", strict=True
    )
    assert read.password == read.sentinel_password == SECRET
    assert SECRET not in repr(read)


@given(user=st.text(min_size=1, max_size=8), password=st.text(min_size=1, max_size=8))
def test_what_is_percent_encoded_comes_out_as_it_went_in(user, password):
    read = parse_spool_url(f"redis://{quote(user, safe='')}:{quote(password, safe='')}@host:6380/1")
    assert (read.username, read.password, read.hosts) == (user, password, (("host", 6380),))


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12))
def test_a_url_is_read_or_refused_and_never_breaks_the_reader(rest):
    for scheme in ("redis", "sentinel", "unix"):
        try:
            read = parse_spool_url(f"{scheme}://{rest}", strict=True)
        except BadValue:
            continue
        assert read.hosts or read.path
