from __future__ import annotations

from dataclasses import replace

from eais.errors import Unavailable
from eais_client.cli.completion import complete_contexts, complete_instances
from eais_client.cli.testing import CONTEXT, FakeOutside


def test_list_marks_the_current_one(eais: FakeOutside) -> None:
    eais.store.set(replace(CONTEXT, name="other"))
    assert eais.run("context", "list").out.splitlines() == [
        "    NAME    POOL             MANAGER",
        "*   local   local-5f3a9c1e   127.64.16.1:40117",
        "    other   local-5f3a9c1e   127.64.16.1:40117",
    ]


def test_list_of_none(nowhere: FakeOutside) -> None:
    assert (
        nowhere.run("context", "list").out
        == "No contexts: `eais pool up` or `eais join` makes one.\n"
    )
    assert nowhere.run("context", "list", "-o", "json").data == {"current": None, "contexts": []}


def test_use(eais: FakeOutside) -> None:
    eais.store.set(replace(CONTEXT, name="other"))
    assert eais.run("context", "use", "other").out == "other is the current context\n"
    assert eais.run("context", "show", "-o", "json").data["name"] == "other"


def test_use_of_an_unknown_one_names_those_there_are(eais: FakeOutside) -> None:
    said = eais.run("context", "use", "x")
    assert said.code == 2
    assert said.err == "error: NOT_FOUND: there is no context 'x'; known: local\n"


def test_the_flag_is_before_the_variable_is_before_the_file(eais: FakeOutside) -> None:
    for name in ("b", "c"):
        eais.store.set(replace(CONTEXT, name=name))
    eais.environ["EAIS_CONTEXT"] = "b"
    shown = [eais.run("context", "show", *flag, "-o", "json") for flag in ([], ["--context", "c"])]
    assert [said.data["name"] for said in shown] == ["b", "c"]


def test_completion_of_instances_and_contexts(eais: FakeOutside) -> None:
    eais.run("create", "cpu.1")
    eais.run("attach", "--type", "cpu.2")
    outside = eais.outside()
    assert complete_instances(outside, "", "ei-") == [
        ("ei-0001", "cpu.1 BINDABLE"),
        ("ei-0002", "cpu.2 IN_USE"),
    ]
    assert complete_instances(outside, "", "ei-0002") == [("ei-0002", "cpu.2 IN_USE")]
    assert complete_contexts(outside, "lo") == ["local"]


def test_completion_is_silent_when_nobody_answers(eais: FakeOutside, nowhere: FakeOutside) -> None:
    eais.pool.fail_next(Unavailable("NO_DEVICE", "x"))
    assert complete_instances(eais.outside(), "", "") == []
    assert complete_instances(eais.outside(), "no-such-context", "") == []
