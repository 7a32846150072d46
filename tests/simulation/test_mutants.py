"""The simulation bites: each rule that is broken on purpose is found, most within a few seeds."""

from __future__ import annotations

import pytest

from tests.simulation.campaign import run
from tests.simulation.mutants import MUTANTS, Mutant

#: A mutant is looked for from its `first` on.
SEEDS = range(5_000)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_rule_that_is_broken_breaks_a_promise(mutant: Mutant):
    found = next(seed for seed in SEEDS[mutant.first :] if run(seed, mutant.name).broken is not None)
    broken = run(found, mutant.name).broken
    assert broken is not None
    assert broken.promise in mutant.promises, str(broken)
    assert run(found).broken is None
