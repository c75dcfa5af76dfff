"""Console blocks of the docs: the commands in them, and whether output is what they show.

How output is compared is said in CONTRIBUTING.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROMPT = re.compile(r"(?P<who>[a-z0-9-]*)\$ ")
HEREDOC = re.compile(r"<<'(\w+)'")
INSTANCE = re.compile(r"\bei-[0-9a-f]+\b")
VARYING = [
    (INSTANCE, "EI"),
    (re.compile(r"\b\d+\.\d+\.\d+\.\d+(:\d+)?\b"), "ADDRESS"),
    (re.compile(r"\bpid \d+\b"), "PID"),
    (re.compile(r"\b(local|demo)-[0-9a-f]{8}\b"), "POOL"),
    (re.compile(r"\b\d+(\.\d+)? (ms|s)\b"), "TIME"),
    (re.compile(r" +"), " "),
]


@dataclass(frozen=True)
class Step:
    """One command and the output that the page shows; `who` types it, as its prompt says."""

    command: str
    shown: list[str]
    who: str = ""


def steps_of(page: Path, kind: str = "console") -> list[Step]:
    """The steps of the page's blocks of that kind, as stands after their first backquotes."""
    blocks = re.findall(rf"^```{kind}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [step for block in blocks for step in steps_in(block)]


def steps_in(block: str) -> Iterator[Step]:
    """The steps of one block."""
    lines = block.splitlines()
    while lines:
        prompt = PROMPT.match(first := lines.pop(0))
        assert prompt, f"output before a command: {first!r}"
        command = [first[prompt.end() :].split("  # ")[0]]
        if found := HEREDOC.search(first):
            while command[-1] != found[1]:
                command.append(lines.pop(0))
        shown: list[str] = []
        while lines and not PROMPT.match(lines[0]):
            shown.append(lines.pop(0))
        yield Step("\n".join(command), shown, prompt["who"])


def plain(line: str) -> str:
    """The line without what is different each time."""
    for pattern, name in VARYING:
        line = pattern.sub(name, line)
    return line.strip()


def fits(shown: list[str], said: list[str]) -> bool:
    """Whether output `said` is what the page shows."""
    lines = ["\n".join(map(plain, said)), ""] if said else [""]
    parts = [
        r"(?:.*\n)*?" if line == "..." else line_pattern(line) + r"\n" for line in map(plain, shown)
    ]
    return re.fullmatch("".join(parts), "\n".join(lines)) is not None


def line_pattern(line: str) -> str:
    """What a line that the page shows may be."""
    return ".*".join(map(re.escape, line.split("...")))
