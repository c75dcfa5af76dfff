"""Show `eais top` under load in docs/operations.md, as a real terminal shows it.

`python -m tools.capture_top` brings up a pool of its own, makes calls, runs `eais top` below
tmux, and writes what is on the screen between the marks of the page.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.overload.model import model
from tests.system.stack import eventually
from tests.system.terminal import PROGRAM, Terminal
from tests.system.tmux_screen import Screen, screen

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "operations.md"
MARKS = ("<!-- captured: eais top -->\n", "<!-- end -->")
WARM = 20.0
CALLS = re.compile(r"(\d+\.\d) calls/s")

_CALLER = """
import sys, threading
import numpy as np
import eais

session = eais.InferenceSession("model.onnx")
def call():
    while True:
        session.run(None, {"x": np.ones(1, np.float32)})
for _ in range(2):
    threading.Thread(target=call, daemon=True).start()
sys.stdin.read()
"""


@contextlib.contextmanager
def calling(user: Terminal) -> Iterator[None]:
    """Calls on what the user has attached, without end."""
    (user.home / "model.onnx").write_bytes(model())
    caller = subprocess.Popen(
        [sys.executable, "-c", _CALLER], env=user.environ, cwd=user.home, stdin=subprocess.PIPE
    )
    try:
        yield
    finally:
        caller.kill()
        caller.communicate()


@contextlib.contextmanager
def pool_of(user: Terminal) -> Iterator[None]:
    """A pool that is up, with an instance in use."""
    user.data("pool", "up", "--cpu-cores", "2")
    try:
        user.data("attach", "--type", "cpu.1")
        yield
    finally:
        user.data("pool", "down")


def shown(terminal: Screen, fits: Callable[[str], bool], what: str) -> str:
    """What the terminal shows once that fits."""

    def look() -> str | None:
        text = terminal.text()
        return text if fits(text) else None

    try:
        return eventually(look, what, 60)
    except AssertionError as error:
        raise AssertionError(f"{error}, on:\n{terminal.text()}") from None


def busy(text: str, calls_per_s: float = 0.0) -> bool:
    """Whether more calls than that are made, and their times are known."""
    found = CALLS.search(text)
    return found is not None and float(found[1]) > calls_per_s and "p99 -" not in text


def captured() -> str:
    """The screen of a pool under load."""
    with tempfile.TemporaryDirectory(prefix="eais-top-") as folder:
        user = Terminal(Path(folder))
        with pool_of(user), calling(user):
            command = [PROGRAM, "top"]
            with screen(user.temp, command, user.environ, columns=130) as terminal:
                return shown(terminal, lambda text: busy(text, WARM), "many calls are made")


def placed(page: str, text: str) -> str:
    """The page with the text between its marks, in the place of what is there.

    Raises:
        ValueError: it has no marks.
    """
    first, last = MARKS
    begin = page.index(first) + len(first)
    return f"{page[:begin]}```\n{text}\n```\n{page[page.index(last, begin) :]}"


def main() -> int:
    """Write the page; the exit code."""
    text = captured()
    PAGE.write_text(placed(PAGE.read_text(), text))
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
