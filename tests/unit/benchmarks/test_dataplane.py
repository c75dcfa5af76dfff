from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from benchmarks.dataplane import rounds
from benchmarks.dataplane.__main__ import LIMITS, missed
from benchmarks.dataplane.models import feed, write_one_node_models


def test_a_ratio_is_the_median_of_the_ratios_within_each_round() -> None:
    found = [[10.0, 40.0, 5.0], [20.0, 60.0, 10.0], [1.0, 9.0, 1.0]]
    assert rounds.over(found, 1, 0) == 4.0
    assert rounds.over(found, 1, 0, off=2) == 3.5
    assert rounds.column(found, 1) == 40.0


def test_what_is_missed_is_said_with_its_limit() -> None:
    met: dict[str, object] = {name: limit for name, (limit, _) in LIMITS.items()}
    assert missed(met) == []
    assert missed({**met, "small_over_tls": 4.01, "async64_per_s": 49_999}) == [
        "small_over_tls: 4.01, not <= 4.0",
        "async64_per_s: 49999, not >= 50000",
    ]
    assert missed({}) == []


def test_the_models_compute_what_the_flood_expects(tmp_path: Path) -> None:
    write_one_node_models(tmp_path)
    for name, factor in (("tiny", 2), ("identity", 1)):
        onnx.checker.check_model(str(tmp_path / f"{name}.onnx"))
        session = onnxruntime.InferenceSession(tmp_path / f"{name}.onnx")
        [y] = session.run(None, {"x": feed("tiny")})
        assert np.array_equal(np.asarray(y), feed("tiny") * factor)
