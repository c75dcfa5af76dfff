from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eais.errors import IdentityError
from eais.join_token import MAX_SECRET_BYTES, SECRET_BYTES, JoinToken

CA = bytes(range(32))
TOKEN = JoinToken(CA, b"\x00\x01" * 10)


def test_a_token_says_its_version_the_ca_and_the_secret() -> None:
    assert TOKEN.text == f"eais1.{CA.hex()}.AAEAAQABAAEAAQABAAEAAQABAAE"
    assert JoinToken.parse(TOKEN.text) == TOKEN


@given(
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=SECRET_BYTES, max_size=MAX_SECRET_BYTES),
)
def test_every_token_reads_as_it_was_written(ca: bytes, secret: bytes) -> None:
    token = JoinToken(ca, secret)
    assert JoinToken.parse(f" {token.text}\r\n") == token


def test_new_tokens_differ_and_hold_128_bits_or_more() -> None:
    assert SECRET_BYTES * 8 >= 128
    made = {JoinToken.make(CA, secrets.token_bytes).text for _ in range(20)}
    assert len(made) == 20


def test_a_secret_is_never_shown_by_accident() -> None:
    assert "AAEA" not in repr(TOKEN)
    assert str(TOKEN.secret) not in repr(TOKEN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n",
        "eais1",
        TOKEN.text.replace("eais1", "eais2"),
        TOKEN.text.replace("eais1", "EAIS1"),
        TOKEN.text.upper(),
        TOKEN.text[:-1],
        TOKEN.text + "=",
        TOKEN.text[:-1] + "F",  # the same bytes, were spare bits not looked at
        TOKEN.text + ".x",
        TOKEN.text.replace(".", " "),
        TOKEN.text.replace(CA.hex(), CA.hex()[:-2]),
        f"eais1.{CA.hex()}." + "A" * 87,
        f"eais1.{CA.hex()}." + "A" * 29,  # no base64 text has this length
        TOKEN.text + "\x00",
    ],
)
def test_what_is_no_token_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(IdentityError) as refused:
        JoinToken.parse(text)
    assert refused.value.reason == "TOKEN"
    assert refused.value.hint
    assert "AAEA" not in str(refused.value)


@pytest.mark.parametrize(
    ("ca", "secret"),
    [(CA[:-1], TOKEN.secret), (CA, bytes(SECRET_BYTES - 1)), (CA, bytes(MAX_SECRET_BYTES + 1))],
)
def test_a_token_of_other_lengths_cannot_be_made(ca: bytes, secret: bytes) -> None:
    with pytest.raises(ValueError, match="bytes"):
        JoinToken(ca, secret)
