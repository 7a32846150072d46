"""The rules that every spool keeps, as one suite: subclass it and say how a spool is opened.

class TestMySpool(SpoolConformance):
    @pytest.fixture
    def open_harness(self) -> OpenHarness: ...
"""

from __future__ import annotations

import pytest

from tests.spool.conformance_bulks import BulkRules
from tests.spool.conformance_claims import ClaimRules
from tests.spool.conformance_gates import GateRules
from tests.spool.conformance_groups import GroupRules
from tests.spool.conformance_late_words import LateWordRules
from tests.spool.conformance_leases import LeaseRules
from tests.spool.conformance_lives import LifeRules
from tests.spool.conformance_sessions import SessionRules
from tests.spool.harness import Harness, OpenHarness


class SpoolConformance(
    BulkRules, ClaimRules, LeaseRules, LateWordRules, GateRules, SessionRules, GroupRules, LifeRules
):
    """All rules."""

    @pytest.fixture
    def open_harness(self) -> OpenHarness:
        raise NotImplementedError("say how a spool is opened")

    @pytest.fixture
    def harness(self, open_harness: OpenHarness) -> Harness:
        return open_harness()
