from __future__ import annotations

from eais_server.listener.sessions import KeptSession, SessionBook, session_id

A, B = KeptSession("a", "acme", b"spec a", b""), KeptSession("b", "acme", b"spec b", b"")


def book(*sessions: KeptSession) -> SessionBook:
    found = SessionBook(idle_s=600)
    for session in sessions:
        found.keep("ei-1", session, 0)
    return found


def test_equal_specs_of_an_instance_are_one_session() -> None:
    assert session_id("ei-1", b"spec") == session_id("ei-1", b"spec")
    assert len(session_id("ei-1", b"spec")) == 32


def test_other_specs_and_other_instances_are_other_sessions() -> None:
    names = {session_id(i, s) for i in ("ei-1", "ei-2") for s in (b"", b"1", b"2")}
    assert len(names) == 6
    assert session_id("ei-1", b"2x") != session_id("ei-12", b"x")


def test_nobody_holds_it_so_it_is_dropped_in_time() -> None:
    found = book(A)
    assert found.due(599.9) == []
    assert found.due(600) == [("ei-1", "a")]
    found.drop("ei-1", "a")
    assert found.of("ei-1") == ()
    assert found.instances() == ()
    assert found.due(1e9) == []


def test_while_it_is_held_it_stays() -> None:
    found = book(A, B)
    found.holds("ei-1", 1, ["a"], 10)
    assert found.due(1e9) == [("ei-1", "b")]


def test_idle_begins_when_the_last_one_lets_go() -> None:
    found = book(A)
    found.holds("ei-1", 1, ["a"], 10)
    found.holds("ei-1", 2, ["a"], 20)
    found.holds("ei-1", 1, [], 100)
    assert found.due(1e9) == []
    found.gone("ei-1", 2, 200)
    assert found.due(799.9) == []
    assert found.due(800) == [("ei-1", "a")]


def test_letting_go_of_what_one_never_held_changes_nothing() -> None:
    found = book(A)
    found.holds("ei-1", 1, [], 500)
    assert found.due(600) == [("ei-1", "a")]


def test_an_open_gives_time_to_hold_it() -> None:
    found = book(A)
    found.touch("ei-1", "a", 300)
    assert found.due(899.9) == []
    assert found.due(900) == [("ei-1", "a")]


def test_a_worker_cant_hold_what_isnt_there() -> None:
    found = book(A)
    found.holds("ei-1", 1, ["x", "y"], 0)
    found.holds("ei-2", 1, ["a"], 0)
    assert found.due(600) == [("ei-1", "a")]


def test_what_was_dropped_is_unknown() -> None:
    found = book(A, B)
    found.drop("ei-1", "a")
    found.drop("ei-1", "a")
    assert found.get("ei-1", "a") is None
    assert found.get("ei-1", "b") == B
    assert found.count() == 1
