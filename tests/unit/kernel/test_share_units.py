from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eais.share_units import Taken, fits_in, unit_for

UNITS = 4
SHARES = st.one_of(
    st.sampled_from(range(125, 1000, 125)), st.sampled_from(range(1000, 1000 * UNITS + 1, 1000))
)


@given(st.lists(st.tuples(SHARES, st.booleans()), max_size=30))
def test_what_is_placed_fits_whatever_came_and_went(asked: list[tuple[int, bool]]) -> None:
    taken: list[Taken] = []
    for milli, goes in asked:
        if goes and taken:
            taken.pop(milli % len(taken))
            continue
        unit = unit_for(milli, 1000 * UNITS, taken)
        if unit is None:
            assert not any(fits_in(n, milli, 1000 * UNITS, taken) for n in range(UNITS)) or (
                milli >= 1000
            )
            continue
        assert milli >= 1000 or fits_in(unit, milli, 1000 * UNITS, taken)
        taken.append((milli, unit))
        pieces = {unit: 0 for share, unit in taken if share < 1000}
        for share, unit in taken:
            if share < 1000:
                pieces[unit] += share
        whole = sum(share for share, _ in taken if share >= 1000) // 1000
        assert all(used <= 1000 for used in pieces.values())
        assert len(pieces) + whole <= UNITS
        assert set(pieces) <= set(range(UNITS))


def test_a_device_of_one_unit_is_only_summed_up() -> None:
    assert unit_for(1000, 1000, []) == 0
    assert unit_for(500, 1000, [(500, 0)]) == 0
    assert unit_for(625, 1000, [(500, 0)]) is None
    assert unit_for(1000, 1000, [(125, 0)]) is None
