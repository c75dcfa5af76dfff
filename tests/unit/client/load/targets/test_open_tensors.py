"""Tensors to and from the open inference protocol."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eais.rpc.inference import open_inference_pb2 as pb
from eais_client.load.target import RequestFailed
from eais_client.load.targets.open_tensors import DATATYPES, argument, outputs_of, to_bytes

NUMBERS = sorted(set(DATATYPES) - {"BYTES", "BF16"})


def raw(datatype: str, shape: list[int], data: bytes) -> pb.ModelInferResponse:
    answer = pb.ModelInferResponse(raw_output_contents=[data])
    answer.outputs.add(name="y", datatype=datatype, shape=shape)
    return answer


def typed(datatype: str, shape: list[int], field: str, values: list[Any]) -> pb.ModelInferResponse:
    answer = pb.ModelInferResponse()
    output = answer.outputs.add(name="y", datatype=datatype, shape=shape)
    getattr(output.contents, field).extend(values)
    return answer


def read(answer: pb.ModelInferResponse) -> Any:
    return outputs_of(answer, ["y"])[0]


@pytest.mark.parametrize("datatype", NUMBERS)
@pytest.mark.parametrize("shape", [[2, 3], [0, 3], []])
def test_numbers_are_what_they_were(datatype: str, shape: list[int]) -> None:
    array = np.ones(shape, DATATYPES[datatype].dtype)
    got = read(raw(datatype, shape, to_bytes(array, datatype)))
    assert (got.dtype, got.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(got, array)


@pytest.mark.parametrize("datatype", [each for each in NUMBERS if DATATYPES[each].contents])
def test_numbers_in_typed_fields_are_what_they_were(datatype: str) -> None:
    known = DATATYPES[datatype]
    got = read(typed(datatype, [2], known.contents, [1, 0]))
    assert got.dtype == np.dtype(known.dtype)
    assert got.tolist() == [1, 0]


def test_an_array_that_isnt_row_by_row_is_sent_so() -> None:
    array = np.arange(6, dtype=np.int32).reshape(2, 3).T
    np.testing.assert_array_equal(read(raw("INT32", [3, 2], to_bytes(array, "INT32"))), array)


@settings(max_examples=25)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_are_what_they_were(texts: list[str]) -> None:
    array = np.array([*texts, None], object)[:-1]
    got = read(raw("BYTES", [len(texts)], to_bytes(array, "BYTES")))
    assert got.tolist() == texts


def test_texts_in_typed_fields_may_be_no_utf8() -> None:
    assert read(typed("BYTES", [2], "bytes_contents", [b"a", b"\xff"])).tolist() == ["a", "\ufffd"]


def test_bfloat16_is_the_nearest_there_is() -> None:
    # 1 + 2^-8 lies midway, and goes to the even one; 1 + 3·2^-8 to the one above.
    values = np.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, -2.5, np.inf, np.nan], np.float32)
    got = read(raw("BF16", [6], to_bytes(values, "BF16")))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, np.array([1, 1, 1 + 2**-6, -2.5, np.inf, np.nan]))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (raw("FP32", [2], b"\0" * 4), r"'y' of shape \[2\]"),
        (raw("FP32", [1], b"\0" * 3), "buffer size"),
        (raw("FP32", [-1], b"\0" * 4), "axes have sizes"),
        (raw("FP32", [2**62, 2**62], b""), "'y' of shape"),
        (raw("FP8", [1], b"\0"), "of datatype 'FP8'"),
        (raw("BYTES", [1], b"\5\0\0\0a"), "a text of 5 bytes with 1 left"),
        (raw("BYTES", [1], b"\5\0"), "'y' of shape"),
        (typed("INT8", [1], "int_contents", [300]), "300"),
        (typed("FP32", [1], "int_contents", [1]), "'y' of shape"),
        (typed("FP16", [1], "fp32_contents", [1]), "'y' of shape"),
        (pb.ModelInferResponse(), "no output 'y'"),
    ],
)
def test_an_answer_that_cant_be_one_is_a_failure(answer: pb.ModelInferResponse, said: str) -> None:
    with pytest.raises(RequestFailed, match=said) as failed:
        read(answer)
    assert failed.value.reason == "MALFORMED_ANSWER"


@given(
    st.sampled_from([*DATATYPES, "", "FP8"]),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
    st.binary(max_size=64),
)
def test_no_answer_breaks_who_reads_it(datatype: str, shape: list[int], data: bytes) -> None:
    with contextlib.suppress(RequestFailed):
        assert list(read(raw(datatype, shape, data)).shape) == shape


def test_axes_of_any_size_are_open() -> None:
    assert argument("x", "FP32", [-1, 3]).shape == [None, 3]
    assert argument("x", "NEW", []).type == "tensor(NEW)"
