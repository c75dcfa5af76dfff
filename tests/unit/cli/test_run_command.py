"""`eais run` up to the moment in which the program takes its place."""

from __future__ import annotations

import sys

import pytest

from eais.errors import make_error
from eais_client.cli.testing import FakeOutside
from eais_client.run.environment import SITE
from eais_client.run.program import Probed

PROGRAM = [sys.executable, "app.py", "--context", "theirs", "-o", "json"]


@pytest.fixture
def attached(eais: FakeOutside) -> FakeOutside:
    assert eais.run("attach", "--type", "cpu.1").code == 0
    return eais


def test_the_program_gets_its_own_arguments_and_one_folder(attached: FakeOutside) -> None:
    said = attached.run("run", "--", *PROGRAM)
    assert (said.code, said.out, said.err) == (0, "", "")
    [(path, argv, environ)] = attached.became
    assert (path, argv) == (sys.executable, PROGRAM)
    own = {"PYTHONPATH": SITE, "EAIS_PROVIDERS": "pool"}
    assert dict(environ) == {**attached.environ, **own}


def test_the_dashes_may_be_left_out(attached: FakeOutside) -> None:
    assert attached.run("run", *PROGRAM).code == 0
    assert attached.became[0][1] == PROGRAM


def test_options_become_variables(attached: FakeOutside) -> None:
    name = next(iter(attached.pool.instances))
    options = ["--context", "local", "--instance", name, "--providers", "as-requested"]
    assert attached.run("run", *options, "--", *PROGRAM).code == 0
    [(_, _, environ)] = attached.became
    assert environ["EAIS_CONTEXT"] == "local"
    assert environ["EAIS_INSTANCE"] == name
    assert environ["EAIS_PROVIDERS"] == "as-requested"


@pytest.mark.parametrize("argv", [[], ["--"], ["--providers", "mine", "--", "true"]])
def test_a_wrong_call_is_refused(attached: FakeOutside, argv: list[str]) -> None:
    said = attached.run("run", *argv)
    assert said.code == 2
    assert said.err.startswith("error: ARGUMENT: ")
    assert attached.became == []


def test_without_an_instance_the_program_isnt_started(eais: FakeOutside) -> None:
    said = eais.run("run", "--", *PROGRAM)
    assert (said.code, eais.became) == (2, [])
    assert said.err.startswith("error: NOT_ATTACHED: no instance is attached here")


def test_without_a_pool_the_program_isnt_started(nowhere: FakeOutside) -> None:
    said = nowhere.run("run", "--", *PROGRAM)
    assert (said.code, nowhere.became) == (2, [])
    assert said.err.startswith("error: NOT_ATTACHED: no pool is known here")


def test_a_pool_that_doesnt_answer_is_told(attached: FakeOutside) -> None:
    attached.pool.fail_next(make_error("POOL_UNREACHABLE", "nobody answers"))
    said = attached.run("run", "--", *PROGRAM)
    assert (said.code, attached.became) == (4, [])
    assert said.err.startswith("error: POOL_UNREACHABLE: nobody answers")


@pytest.mark.parametrize("by_variable", [True, False])
def test_with_a_fall_back_the_program_starts_all_the_same(
    attached: FakeOutside, by_variable: bool
) -> None:
    attached.pool.fail_next(make_error("POOL_UNREACHABLE", "nobody answers"))
    if by_variable:
        attached.environ["EAIS_FALLBACK"] = "local"
    options = [] if by_variable else ["--fallback", "local"]
    said = attached.run("run", *options, "--", *PROGRAM)
    assert said.code == 0
    assert "sessions run in process until the pool can be reached" in said.err
    assert attached.became[0][2]["EAIS_FALLBACK"] == "local"


def test_a_python_that_wont_do_is_told(attached: FakeOutside) -> None:
    attached.pythons[sys.executable] = Probed(hooked=True, fault="it has no EAIS")
    said = attached.run("run", "--", *PROGRAM)
    assert (said.code, attached.became) == (2, [])
    assert said.err.startswith("error: PROGRAM: onnxruntime can't be replaced in ")


def test_unchecked_the_program_just_starts(nowhere: FakeOutside) -> None:
    nowhere.pythons[sys.executable] = Probed(hooked=True, fault="it has no EAIS")
    assert nowhere.run("run", "--no-check", "--", *PROGRAM).code == 0
    assert len(nowhere.became) == 1


def test_a_command_that_isnt_there_is_told(attached: FakeOutside) -> None:
    said = attached.run("run", "--", "no-such-command")
    assert (said.code, attached.became) == (2, [])
    assert said.err == "error: PROGRAM: no-such-command: the command isn't there\n"
