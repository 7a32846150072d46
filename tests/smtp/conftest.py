from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.smtpd import Bench, Certificates

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.end()


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    return Certificates()
