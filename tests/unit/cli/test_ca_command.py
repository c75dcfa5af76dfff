from __future__ import annotations

from dataclasses import replace

import pytest

from eais.errors import IdentityError
from eais_client.cli.testing import CA, STATUS, FakeOutside


def test_a_roll_is_begun_once(eais: FakeOutside) -> None:
    first = eais.run("pool", "roll-ca")
    assert (first.code, first.err) == (0, "")
    assert first.out.splitlines() == [
        "roll of the CA begun: ANNOUNCED (a new one is trusted too, and signs in 1 h 0 min), "
        "ends 2036-01-31",
        "over in 2 h 0 min",
    ]
    again = eais.run("pool", "roll-ca")
    assert again.out.startswith("roll of the CA under way already: ANNOUNCED")


def test_a_roll_as_json(eais: FakeOutside) -> None:
    said = eais.run("pool", "roll-ca", "-o", "json")
    assert said.data == {
        "phase": "ANNOUNCED",
        "phase_left_s": 3600,
        "roll_left_s": 7200,
        "ends": "2036-01-31T12:00:00Z",
        "sha256": "ab" * 32,
        "begun": True,
    }


@pytest.mark.parametrize(
    ("left_s", "text"), [(5, "5 s"), (125, "2 min 5 s"), (86_400, "24 h 0 min")]
)
def test_how_long_the_old_one_is_still_trusted(eais: FakeOutside, left_s: int, text: str) -> None:
    ca = replace(CA, phase="RETIRING", phase_left_s=left_s, roll_left_s=left_s)
    eais.status = replace(STATUS, ca=ca)
    said = eais.run("pool", "roll-ca")
    assert f"the new one signs, the old one is dropped in {text})" in said.out
    assert said.out.splitlines()[1] == f"over in {text}"


def test_a_roll_that_is_refused(eais: FakeOutside) -> None:
    eais.status = IdentityError("PERMISSION_DENIED", "a frontend may not call RollCa")
    said = eais.run("pool", "roll-ca")
    assert said.code == 3
    assert said.err == "error: PERMISSION_DENIED: a frontend may not call RollCa\n"
