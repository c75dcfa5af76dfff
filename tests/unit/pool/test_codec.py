from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from eais_pool.brain.codec import from_json, to_json
from eais_pool.brain.facts import FACTS, Fact, InstanceCreated, LeaseUsage
from eais_pool.brain.host_records import DeviceRecord
from eais_pool.brain.records import LeaseRecord
from eais_pool.policy.profiles import Failure, Point, Profile, ProfileKey
from eais_pool.policy.ratio.control import Bounds
from eais_pool.policy.ratio.offers import Offer
from eais_pool.policy.ratio.scaling import Economy

_DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
_SECONDS = st.floats(1e-6, 3600)
_POINTS = st.builds(Point.of, st.integers(1, 1 << 16), st.lists(_SECONDS, min_size=1))
_KEYS = st.builds(
    ProfileKey, _DIGESTS, st.just("a device"), st.integers(1, 8000), st.just("onnxruntime")
)
_PROFILES = st.builds(
    Profile,
    _KEYS,
    points=_POINTS.map(lambda point: (point,)),
    failed=st.just((Failure(2, "MODEL_MEMORY"),)),
    measured_unix_s=st.floats(0, 1e10),
)
st.register_type_strategy(Profile, _PROFILES)
# What these check of themselves, no type says.
_OFFERS = st.builds(
    Offer,
    unit_milli=st.integers(1, 8000),
    unit_per_s=_SECONDS,
    price_per_h=_SECONDS,
    attach_s=_SECONDS,
    cpu_s_per_call=_SECONDS,
)
_BOUNDS = st.builds(
    Bounds, st.integers(0, 8), st.integers(8, 64), _SECONDS, st.integers(0, 64), _SECONDS, _SECONDS
)
_ECONOMIES = st.builds(Economy, _SECONDS, st.integers(0, 60), _SECONDS, st.floats(0.001, 0.5))
for kind, strategy in ((Offer, _OFFERS), (Bounds, _BOUNDS), (Economy, _ECONOMIES)):
    st.register_type_strategy(kind, strategy)


@pytest.mark.parametrize("kind", FACTS.values(), ids=FACTS)
def test_each_kind_of_fact_comes_back(kind: type[Fact]) -> None:
    @settings(max_examples=15, deadline=None)
    @given(st.from_type(kind))
    def check(fact: Fact) -> None:
        # Compared as text: a NaN isn't equal to itself.
        assert to_json(from_json(kind, to_json(fact))) == to_json(fact)

    check()


@settings(max_examples=15, deadline=None)
@given(st.from_type(LeaseRecord))
def test_records_come_back(lease: LeaseRecord) -> None:
    # As text, too: there are times in it.
    assert to_json(from_json(LeaseRecord, to_json(lease))) == to_json(lease)


def test_a_field_that_was_added_takes_its_default() -> None:
    text = '{"host":"h","instance":"i","epoch":1,"usage":{"requests":2}}'
    assert from_json(LeaseUsage, text).usage.bytes_in == 0


def test_a_device_that_was_written_before_runtimes_were_known_comes_back() -> None:
    text = (
        '{"id":"cpu0","kind":"cpu","model":"m","memory_bytes":1,"capacity_milli":4000,'
        '"granularity_milli":1000,"share_limit_milli":4000,"simulated":false,'
        '"enforcement":"cooperative","present":true,"overdrawn":false}'
    )
    assert from_json(DeviceRecord, text).runtimes == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"instance":1}',
        '{"instance":"i","tenant":"t","type":"x","tolerance":"exact","ephemeral":1}',
        '{"instance":"i","tenant":"t","type":"x","tolerance":"exact","ephemeral":true,"more":1}',
        '{"instance":"i","tenant":"t","type":"x","tolerance":"exact"}',
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_json(InstanceCreated, text)
