"""`eais top` in a real terminal, on a real pool under load."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.terminal import PROGRAM, Terminal
from tests.system.tmux_screen import TMUX, WHY_NOT, Screen, screen
from tools.capture_top import busy, calling, placed, pool_of, shown

# Not 39, the terminal's own.
COLOUR = re.compile(r"\x1b\[(?:\d+;)*3[0-8]")

pytestmark = pytest.mark.skipif(TMUX is None, reason=WHY_NOT)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A user whose pool is up, and who calls an instance of it."""
    made = Terminal(tmp_path_factory.mktemp("home"))
    with pool_of(made), calling(made):
        yield made


def top(user: Terminal, tmp_path: Path, *more: str, columns: int = 130) -> Iterator[Screen]:
    command = [PROGRAM, "top", "--interval", "0.3", *more]
    with screen(tmp_path, command, user.environ, columns=columns) as made:
        yield made


@pytest.fixture
def terminal(user: Terminal, tmp_path: Path) -> Iterator[Screen]:
    yield from top(user, tmp_path)


def ended(text: str) -> bool:
    """Whether the shell asks for the next command, and nothing of the drawing is left."""
    return text.rstrip().endswith("$") and "INSTANCE" not in text


def test_a_pool_under_load(terminal: Screen) -> None:
    text = shown(terminal, busy, "calls are made")
    head, words, *rest = text.splitlines()
    assert "1 of 1 in use" in head
    assert words == "every 0.3 s; q ends"
    assert [line.split()[0] for line in rest if line] == [
        *("HOST", "local", "DEVICE", "cpu0", "INSTANCE"),
        next(word for word in text.split() if word.startswith("ei-")),
    ]


def test_it_follows_the_terminals_size(terminal: Screen) -> None:
    shown(terminal, lambda text: "P50" in text, "all columns")
    terminal.resize(60, 12)
    narrow = shown(terminal, lambda text: "P50" not in text and "P99" in text, "fewer columns")
    assert max(map(len, narrow.splitlines())) <= 60
    terminal.resize(130, 24)
    shown(terminal, lambda text: "P50" in text, "all columns again")


@pytest.mark.parametrize("key", ["q", "C-c"])
def test_a_key_ends_it_and_leaves_the_terminal_as_it_was(terminal: Screen, key: str) -> None:
    shown(terminal, lambda text: "INSTANCE" in text, "the pool")
    terminal.press(key)
    shown(terminal, ended, "the shell")
    for typed in ("e", "c", "h", "o", "Space", "$", "?", "Enter"):
        terminal.press(typed)
    shown(terminal, lambda text: "echo $?\n0\n" in text, "its exit code, 0")


def test_no_colours_where_none_are_wanted(user: Terminal, tmp_path: Path) -> None:
    plain = Terminal(user.home, {"NO_COLOR": "1"})
    for terminal in top(plain, tmp_path):
        shown(terminal, busy, "calls are made")
        assert not COLOUR.search(terminal.colours())
    for terminal in top(user, tmp_path):
        shown(terminal, busy, "calls are made")
        assert COLOUR.search(terminal.colours())


def test_where_is_no_terminal_it_is_printed_once(user: Terminal) -> None:
    done = user.run("top")
    assert (done.returncode, done.stderr) == (0, "")
    assert "ei-" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_capture_takes_the_place_of_the_one_before() -> None:
    page = "a\n<!-- captured: eais top -->\n{}<!-- end -->\nb\n<!-- end -->\n"
    first = placed(page.format(""), "one")
    assert first == page.format("```\none\n```\n")
    assert placed(first, "two") == page.format("```\ntwo\n```\n")


# Last: what is called when the pool is away for long ends.
def test_a_pool_that_goes_away_and_comes_back(user: Terminal, terminal: Screen) -> None:
    shown(terminal, lambda text: "every 0.3 s" in text, "the pool")
    user.data("pool", "down")
    away = shown(terminal, lambda text: "s ago: POOL_" in text, "that it is away")
    assert "cpu0" in away
    user.data("pool", "up")
    shown(terminal, lambda text: "every 0.3 s" in text, "the pool again")
