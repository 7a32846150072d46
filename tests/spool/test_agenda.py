from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.spool.agenda import Agenda

steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 9), st.integers(0, 20)),
        st.tuples(st.just("discard"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("pop"), st.just(0), st.integers(0, 20)),
    ),
    max_size=200,
)


@given(steps)
def test_an_agenda_is_the_same_as_sorting_its_keys_by_time_and_order_of_setting(steps):
    agenda: Agenda[int] = Agenda()
    model: dict[int, tuple[float, int]] = {}
    for number, (step, key, at) in enumerate(steps):
        expected = min(model, key=lambda k: model[k], default=None)
        if step == "set":
            agenda.set(key, at)
            model[key] = (at, number)
        elif step == "discard":
            agenda.discard(key)
            model.pop(key, None)
        elif expected is not None and model[expected][0] <= at:
            assert agenda.pop_until(at) == expected
            del model[expected]
        else:
            assert agenda.pop_until(at) is None
        assert set(agenda) == set(model)
        assert len(agenda) == len(model)
        assert agenda.first_time() == min((at for at, _ in model.values()), default=None)
        if model:
            assert agenda.first() == min(model, key=lambda k: model[k])


def test_an_empty_agenda_has_no_first_key():
    with pytest.raises(IndexError, match="empty agenda"):
        Agenda[str]().first()


def test_moving_and_discarding_keys_for_ever_needs_no_more_room():
    agenda: Agenda[str] = Agenda()
    for at in range(10_000):
        agenda.set("one", at)
        agenda.set(f"other {at}", at)
        agenda.discard(f"other {at}")
    assert len(agenda) == 1
    assert len(agenda._heap) < 200


class Counted(float):
    """A time that counts how often it is compared."""

    comparisons = 0

    def __lt__(self, other: float) -> bool:
        Counted.comparisons += 1
        return float.__lt__(self, other)

    __hash__ = float.__hash__

    def __eq__(self, other: object) -> bool:
        return float.__eq__(self, other)


def test_the_cost_of_a_call_does_not_grow_with_the_number_of_keys():
    agenda: Agenda[int] = Agenda()
    for key in range(50_000):
        agenda.set(key, Counted(key))
    Counted.comparisons = 0
    for key in range(100):
        agenda.set(50_000 + key, Counted(25_000.5))
        agenda.discard(40_000 + key)
        assert agenda.pop_until(60_000) == key
    assert Counted.comparisons < 100 * 60
