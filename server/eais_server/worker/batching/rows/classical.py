"""Models of before the networks, which take [rows, features]. (Brain)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from eais_server.worker.batching.rows.step import Rule, Step
from eais_server.worker.batching.rows.values import Dim, Rows, Unproven, Value, rows_at_0

_DOMAIN: Final = "ai.onnx.ml"


def _features(step: Step) -> Rows:
    """The one input. Of one dim alone it would be a single row, whatever its length."""
    rows = rows_at_0(step.arg(0), 2)
    if len(step.present()) != 1:
        raise Unproven("several inputs")
    return rows


def _same_shape(step: Step) -> Value:
    return _features(step)


def _each_element(step: Step) -> Value:
    value = step.arg(0)
    if not isinstance(value, Rows):
        raise Unproven("what all rows share")
    return value


def _classified(step: Step) -> Sequence[Value]:
    """A label for each row, and scores."""
    batch = _features(step).batch
    return [Rows((batch,)), Rows((batch, None))]


def _scored(step: Step) -> Value:
    return Rows((_features(step).batch, None))


def _joined(step: Step) -> Value:
    """FeatureVectorizer: [rows, features] of each input, side by side."""
    rows = [rows_at_0(value, 2) for value in step.present()]
    if any(other.batch != rows[0].batch for other in rows):
        raise Unproven("two batches of different size are joined")
    return Rows((rows[0].batch, None))


def _picked(step: Step) -> Value:
    """ArrayFeatureExtractor: the same features of each row."""
    rows = rows_at_0(step.arg(0), 2)
    step.rest_is_steady()
    return Rows((rows.batch, None))


def _encoded(step: Step) -> Value:
    """OneHotEncoder: one axis more."""
    value = step.arg(0)
    if not isinstance(value, Rows):
        raise Unproven("what all rows share")
    dims: tuple[Dim, ...] = (*value.dims, None)
    return Rows(dims, value.axis)


RULES: Final[Mapping[tuple[str, str], Rule]] = {
    (_DOMAIN, "ArrayFeatureExtractor"): _picked,
    (_DOMAIN, "Binarizer"): _each_element,
    (_DOMAIN, "CategoryMapper"): _each_element,
    (_DOMAIN, "FeatureVectorizer"): _joined,
    (_DOMAIN, "Imputer"): _same_shape,
    (_DOMAIN, "LabelEncoder"): _each_element,
    (_DOMAIN, "LinearClassifier"): _classified,
    (_DOMAIN, "LinearRegressor"): _scored,
    (_DOMAIN, "Normalizer"): _same_shape,
    (_DOMAIN, "OneHotEncoder"): _encoded,
    (_DOMAIN, "SVMClassifier"): _classified,
    (_DOMAIN, "SVMRegressor"): _scored,
    (_DOMAIN, "Scaler"): _same_shape,
    (_DOMAIN, "TreeEnsembleClassifier"): _classified,
    (_DOMAIN, "TreeEnsembleRegressor"): _scored,
}
