from __future__ import annotations

import random

import pytest

from eais_pool.brain.layered import Layered, touched


def test_it_is_a_dict_in_content_and_order_whatever_is_done_to_it() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        below = {n: n for n in range(rng.randrange(6))}
        kept, plain, layered = dict(below), dict(below), Layered(below)
        for _ in range(20):
            key, value = rng.randrange(8), rng.randrange(100)
            if rng.random() < 0.5:
                plain[key] = layered[key] = value
            else:
                assert plain.pop(key, None) == layered.pop(key, None)
            assert list(layered.items()) == list(plain.items())
            assert (len(layered), layered == plain) == (len(plain), True)
            assert all((key in layered) == (key in plain) for key in range(8))
        assert below == kept


def test_it_says_what_was_touched() -> None:
    layered = Layered({1: "a", 2: "b", 3: "c"})
    layered[2] = "B"
    layered[4] = "d"
    del layered[3]
    assert touched(layered) == layered.touched == {2, 3, 4}
    assert touched({1: "a"}) == {1}


def test_what_is_gone_is_not_found() -> None:
    layered = Layered({1: "a"})
    del layered[1]
    with pytest.raises(KeyError):
        layered[1]
    with pytest.raises(KeyError):
        del layered[1]
