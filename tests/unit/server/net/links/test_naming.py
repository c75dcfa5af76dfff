"""What the agent's interfaces are called, and what is theirs."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from eais.errors import ConfigError
from eais.net.plan import Side, VnicKey
from eais_server.net.links.naming import (
    NAME_LENGTH,
    PREFIX,
    interface_name,
    mark,
    mark_of,
    other_end,
)
from eais_server.net.links.spaces import Spaces

KEY = VnicKey("pool", "ei-1", "rack1", Side.BACKEND)
#: Linux keeps 255 characters of an alias (IFALIASZ, linux/if.h).
ALIAS_MOST = 255


def test_each_end_of_each_agent_has_a_name_of_its_own() -> None:
    keys = [
        VnicKey(pool, instance, host, side)
        for pool, instance, host, side in product(["p", "q"], ["ei-1", "ei-2"], ["a", "b"], Side)
    ]
    names = {interface_name(agent, key) for agent, key in product(["a1", "a2"], keys)}
    assert len(names) == 2 * len(keys)
    assert all(len(name) == NAME_LENGTH and name.startswith(PREFIX) for name in names)


def test_a_name_is_the_same_each_time() -> None:
    # An agent that is newer finds what an older one made.
    assert interface_name("a1", KEY) == "eais90290162405"
    assert other_end(other_end(KEY)) == KEY
    assert other_end(KEY).side is Side.FRONTEND


def test_a_mark_says_whose_and_of_what_and_fits() -> None:
    text = mark("a1", KEY)
    assert text.startswith(mark_of("a1") + "ei-1:")
    assert not text.startswith(mark_of("a"))
    longest = VnicKey("p" * 63, "e" * 63, "h" * 63, Side.FRONTEND)
    assert len(mark("a" * 63, longest)) <= ALIAS_MOST


def test_namespaces_are_known_by_the_number_of_their_file(tmp_path: Path) -> None:
    first, second, other = (tmp_path / name for name in ("first", "second", "other"))
    for path in (first, second, other):
        path.touch()
    spaces = Spaces((second, first), own=first)
    assert spaces.path(spaces.number(second)) == second
    assert spaces.number(other) == spaces.number(tmp_path / "none") == 0
    assert set(spaces.all) == {first, second}
    with pytest.raises(ConfigError, match="is none that this agent was given"):
        spaces.path(other.stat().st_ino)
    second.unlink()
    assert list(spaces.all) == [first]
