"""Contexts: read, written whole, faults named by place, the user's own lines kept."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eais.errors import ConfigError, EaisError, IdentityError, UsageError
from eais_client.context import Context, ContextList, ContextStore, _kept, _toml_of
from eais_client.instances import Address

LOCAL = Context("local", "local-5f3a9c1e", "127.64.16.1:40117", "127.64.16.1:40118", "/s")
OTHER = Context("other", "p.q-1", "[::1]:7443")


@pytest.fixture
def store(tmp_path: Path) -> ContextStore:
    return ContextStore(tmp_path / "eais")


def write(store: ContextStore, text: str) -> None:
    store.directory.mkdir(mode=0o700, exist_ok=True)
    store.file.write_text(text)


def test_what_is_set_is_read(store: ContextStore) -> None:
    store.set(LOCAL)
    store.set(OTHER)
    assert store.read() == ContextList("local", {"local": LOCAL, "other": OTHER})
    assert store.file.stat().st_mode & 0o777 == 0o600


def test_the_current_one_is_by_flag_then_variable_then_file(store: ContextStore) -> None:
    store.set(LOCAL)
    store.set(OTHER)
    assert store.current({}) == LOCAL
    assert store.current({"EAIS_CONTEXT": "other"}) == OTHER
    assert store.current({"EAIS_CONTEXT": "other"}, "local") == LOCAL
    store.use("other")
    assert store.current({}) == OTHER


def test_deleting_the_current_one_leaves_none(store: ContextStore) -> None:
    store.set(LOCAL)
    store.delete("local")
    with pytest.raises(EaisError) as caught:
        store.current({})
    assert caught.value.reason == "NOT_ATTACHED"
    assert "eais pool up" in caught.value.hint


@pytest.mark.parametrize("change", ["use", "delete"])
def test_what_is_not_there_is_named_with_what_is(store: ContextStore, change: str) -> None:
    store.set(LOCAL)
    with pytest.raises(EaisError, match="'nope'; known: local") as caught:
        getattr(store, change)("nope")
    assert caught.value.reason == "NOT_FOUND"
    assert store.read().current == "local"


def test_the_users_own_lines_are_kept(store: ContextStore) -> None:
    own = '# mine\nunavailable = 1\n\ncurrent = "old"\n[contexts.old]\npool = "p"\n'
    own += 'manager = "a:1"\n# theirs\n[client]\ncontrol_timeout_s = 3\n'
    write(store, own)
    store.set(LOCAL, make_current=True)
    text = store.file.read_text()
    assert text.startswith("# mine\nunavailable = 1\n")
    assert tomllib.loads(text)["client"] == {"control_timeout_s": 3}
    assert set(store.read().contexts) == {"old", "local"}
    assert store.read().current == "local"


FAULTS = {
    'current = "x"': "1:1: current = 'x', but there is no",
    "current = 3": "1:1: current must be the name",
    '[contexts.a]\npool = "p"': r"1:1: \[contexts.a\] needs manager",
    '[contexts.a]\npool = "p"\nmanager = "nowhere"': "3:1: manager: 'nowhere' is not an address",
    '[contexts.a]\npool = "p"\n  manager = 3': "3:3: manager must be a string",
    '[contexts.a]\npool = "P P"\nmanager = "a:1"': "2:1: pool: pool 'P P'",
    '[contexts.a]\npool = "p"\nmanager = "a:1"\ncolour = "red"': "4:1: 'colour' is not known",
    '[contexts."A B"]\npool = "p"\nmanager = "a:1"': "context 'A B': 1 to 64",
    "contexts = 3": "1:1: contexts must be a table",
    '[listener]\nnet_agent = "/a"': r"1:1: \[listener\] is of a pool's file",
    "current = \n": "config.toml:1:11: Invalid value",
}


@pytest.mark.parametrize("text", FAULTS)
def test_faults_are_named_by_place(store: ContextStore, text: str) -> None:
    write(store, text)
    with pytest.raises(ConfigError, match=FAULTS[text]) as caught:
        store.read()
    assert caught.value.reason == "CONFIG"
    assert str(store.file) in str(caught.value)


@pytest.mark.parametrize("name", ["", "A", "../x", "a..b", "a/b", "-rf", "x" * 65, "a b", "ä"])
def test_names_are_checked(store: ContextStore, name: str) -> None:
    for make in (
        lambda: store.folder(name),
        lambda: Context(name, "p", "a:1"),
        lambda: store.read().get(name),
    ):
        with pytest.raises(UsageError, match="1 to 64") as caught:
            make()
        assert caught.value.reason == "NAME"


def test_identities_are_beside_the_file(store: ContextStore) -> None:
    assert store.frontend_file("local") == store.directory / "contexts/local/frontend.pem"
    assert store.operator_file("local") == store.directory / "contexts/local/operator.pem"


def test_addresses() -> None:
    assert LOCAL.manager_address() == Address(
        "127.64.16.1", 40117, "manager.local-5f3a9c1e.internal"
    )
    assert OTHER.manager_address().target == "ipv6:[::1]:7443"
    assert LOCAL.management_address().target == "ipv4:127.64.16.1:40118"
    with pytest.raises(IdentityError, match="no operator's identity"):
        OTHER.management_address()
    for bad in ("a", ":1", "a:", "a:0", "a:65536", "a:x", "a:\uff11"):
        with pytest.raises(ConfigError):
            Address.parse(bad, "")


NAMES = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,9}", fullmatch=True).filter(lambda n: ".." not in n)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


@example({"a": "\x85["}, "")
@given(st.dictionaries(NAMES, TEXTS, max_size=4), TEXTS)
def test_whatever_is_written_is_read_and_written_alike(places: dict[str, str], note: str) -> None:
    contexts = {name: Context(name, "p", "a:1", state_dir=s) for name, s in places.items()}
    listed = ContextList(min(contexts, default=""), contexts)
    head = "# " + "".join(note.splitlines()).translate(dict.fromkeys((*range(32), 127)))
    text = _toml_of(listed, head.strip(), "[client]\nx = 1")
    found = tomllib.loads(text)
    assert found["client"] == {"x": 1}
    assert {n: t.get("state_dir", "") for n, t in found.get("contexts", {}).items()} == places
    assert _toml_of(listed, *_kept(text)) == text
