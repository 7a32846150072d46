import pytest

# The suite's asserts live in modules that pytest does not collect by itself.
for topic in ("bulks", "claims", "leases", "late_words", "gates", "groups", "lives"):
    pytest.register_assert_rewrite(f"tests.spool.conformance_{topic}")
