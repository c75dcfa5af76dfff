"""`eais join`: where the token is read from, and what is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from eais.errors import make_error
from eais.identity import Identity
from eais_client.cli.testing import FakeOutside
from eais_client.testing.fake_manager import TOKEN
from eais_pool.authority import Authority
from tests.unit.client.served import POOL, now
from tests.unit.client.test_joining import OPERATOR, Pool


@pytest.fixture
def pool(nowhere: FakeOutside, tmp_path: Path) -> Pool:
    """A pool that the user may join, with the token in a file."""
    made = Pool(Authority.create(tmp_path / "ca", POOL, now()))
    nowhere.join = made.join
    nowhere.typed = f"{TOKEN}\n"
    return made


def test_a_token_from_a_file(nowhere: FakeOutside, pool: Pool) -> None:
    said = nowhere.run("join", "10.0.0.5:7443")
    assert (said.code, said.err) == (0, "")
    head, _, *rows = said.out.splitlines()
    assert head == f"joined pool {POOL} as frontend ada of tenant acme"
    assert [row.split()[0] for row in rows] == ["Context:", "Manager:", "Identity:", "Renewed"]
    assert pool.asked[0][:2] == ("10.0.0.5:7443", TOKEN)
    assert nowhere.run("context", "show", "-o", "json").data["pool"] == POOL


def test_a_token_that_is_typed(nowhere: FakeOutside, pool: Pool) -> None:
    nowhere.at_terminal = True
    assert nowhere.run("join", "10.0.0.5").code == 0
    assert pool.used == 1


@pytest.mark.parametrize("typed", ["", "\n", "hunter2\n", TOKEN.replace("eais1", "eais2")])
@pytest.mark.parametrize("at_terminal", [True, False])
def test_what_is_no_token_goes_nowhere(
    nowhere: FakeOutside, pool: Pool, typed: str, at_terminal: bool
) -> None:
    nowhere.typed, nowhere.at_terminal = typed, at_terminal
    said = nowhere.run("join", "10.0.0.5")
    assert (said.code, said.out, pool.asked) == (3, "", [])
    assert said.err.startswith("error: TOKEN: the join token ")
    assert "hunter2" not in said.err


def test_the_token_is_no_argument(nowhere: FakeOutside, pool: Pool) -> None:
    said = nowhere.run("join", "10.0.0.5", TOKEN)
    assert (said.code, pool.asked) == (2, [])


def test_an_operator_as_json(nowhere: FakeOutside, pool: Pool) -> None:
    pool.identity = OPERATOR
    said = nowhere.run("join", "10.0.0.5", "--as", "operator", "--context", "team", "-o", "json")
    data = said.data
    assert (data["context"], data["role"], data["tenant"]) == ("team", "operator", None)
    assert data["management"] == "10.0.0.5:40118"
    assert data["current"] is True
    assert str(data["enrolment_ends"]) > str(data["leaf_ends"])


def test_which_context_is_current_and_whose_place_was_taken(
    nowhere: FakeOutside, pool: Pool
) -> None:
    nowhere.know_the_pool()
    said = nowhere.run("join", "10.0.0.5", "--context", "team")
    use = "`eais context use team` changes that"
    assert said.err == f"note: context local is the current one; {use}\n"
    before = pool.identity
    pool.identity = Identity.frontend(POOL, "globex", "ada")
    said = nowhere.run("join", "10.0.0.5", "--context", "team")
    assert said.err.splitlines()[0] == f"note: it took the place of {before.uri}"


@pytest.mark.parametrize(
    ("reason", "code"), [("TOKEN", 3), ("SERVER_UNTRUSTED", 3), ("POOL_UNREACHABLE", 4)]
)
def test_a_refusal(nowhere: FakeOutside, pool: Pool, reason: str, code: int) -> None:
    pool.failure = make_error(reason, "no")
    said = nowhere.run("join", "10.0.0.5")
    assert (said.code, said.out, said.err) == (code, "", f"error: {reason}: no\n")
