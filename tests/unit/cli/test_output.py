from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eais_client.cli.printer import Format, Printer, has_colour
from eais_client.cli.table import Column, pairs, table
from eais_client.cli.yaml_text import to_yaml

SCALARS = st.none() | st.booleans() | st.integers() | st.text()
DATA = st.dictionaries(
    st.text(),
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=12,
    ),
    max_size=4,
)


class Reader:
    """Reads the part of YAML that we write; anything else fails."""

    def __init__(self, text: str) -> None:
        self.lines = [
            (len(raw) - len(raw.lstrip(" ")), raw.lstrip(" ")) for raw in text[:-1].split("\n")
        ]

    def read(self) -> Any:
        found = self.block(0)
        assert self.lines == []
        return found

    def block(self, indent: int) -> Any:
        assert self.lines[0][0] == indent
        text = self.lines[0][1]
        if text.startswith("- "):
            return list(self.items(indent))
        if key_end(text) is None:
            return scalar(self.lines.pop(0)[1])
        return dict(self.entries(indent))

    def items(self, indent: int) -> Any:
        while self.lines and self.lines[0][0] == indent and self.lines[0][1].startswith("- "):
            self.lines[0] = (indent + 2, self.lines[0][1][2:])
            yield self.block(indent + 2)

    def entries(self, indent: int) -> Any:
        while self.lines and self.lines[0][0] == indent:
            text = self.lines.pop(0)[1]
            end = key_end(text)
            assert end is not None
            rest = text[end + 1 :].strip(" ")
            yield scalar(text[:end]), scalar(rest) if rest else self.block(indent + 2)


def key_end(text: str) -> int | None:
    """Where the colon behind a key is."""
    if text.startswith('"'):
        _, used = json.JSONDecoder().raw_decode(text)
        return used if text[used : used + 1] == ":" else None
    found = text.find(":")
    return None if found < 0 else found


def scalar(text: str) -> Any:
    if text.startswith('"') or text in ("null", "true", "false", "{}", "[]"):
        return json.loads(text)
    try:
        return int(text)
    except ValueError:
        return text


@given(DATA)
def test_yaml_reads_back_as_it_was(data: dict[str, Any]) -> None:
    assert Reader(to_yaml(data)).read() == data


@pytest.mark.parametrize(
    "word", ["yes", "No", "null", "on", "1", "1.5", "-", "", "a: b", "#x", " a"]
)
def test_yaml_quotes_strings_that_could_be_taken_for_something_else(word: str) -> None:
    assert to_yaml({"x": word}) == f"x: {json.dumps(word)}\n"


def test_yaml_as_people_expect_it() -> None:
    data = {"id": "ei-7f3a", "workers": [{"n": 1, "on": True}, {"n": 2}], "none": [], "at": None}
    assert to_yaml(data) == (
        'id: ei-7f3a\nworkers:\n  - n: 1\n    "on": true\n  - n: 2\nnone: []\nat: null\n'
    )


def test_yaml_refuses_what_has_no_place_in_it() -> None:
    with pytest.raises(TypeError):
        to_yaml({"x": object()})


def test_table_columns_are_as_wide_as_they_need_be() -> None:
    assert table(("ID", "STATE"), [["ei-7f3a", "IN_USE"], ["ei-1", ""]]) == [
        "ID        STATE",
        "ei-7f3a   IN_USE",
        "ei-1      -",
    ]


def test_table_counts_wide_characters_as_two() -> None:
    assert table(("A", "B"), [["日本", "x"]]) == ["A      B", "日本   x"]


def test_pairs_stand_under_each_other() -> None:
    assert pairs([("Id", "ei-1"), ("Front-end", "")]) == ["Id:         ei-1", "Front-end:  -"]


def printed(format: Format) -> str:
    out = io.StringIO()
    Printer(format, out, io.StringIO()).answer({"a": "é", "n": [1, 2]}, ["for people"])
    return out.getvalue()


def test_json_is_one_object_on_one_line() -> None:
    assert printed(Format.JSON) == '{"a": "é", "n": [1, 2]}\n'


def test_tables_are_for_people() -> None:
    assert printed(Format.TABLE) == printed(Format.WIDE) == "for people\n"


def test_yaml_is_the_same_data() -> None:
    assert printed(Format.YAML) == 'a: "é"\nn:\n  - 1\n  - 2\n'


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "colour"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colour_only_on_a_terminal_that_may_have_it(
    stream: io.StringIO, environ: dict[str, str], colour: bool
) -> None:
    assert has_colour(stream, environ) is colour
    text = Printer(Format.TABLE, stream, stream, environ).paint("x", "green")
    assert text == ("\x1b[32mx\x1b[0m" if colour else "x")


WIDE_ROWS = [["cpu0", "an accelerator of some model", "forced"], ["日本", "short", "cooperative"]]
FITTED = ("DEVICE", Column("MODEL", 2, least=8), Column("SHARES", 1))


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (
            60,
            [
                "DEVICE   MODEL                          SHARES",
                "cpu0     an accelerator of some model   forced",
                "日本     short                          cooperative",
            ],
        ),
        (
            32,
            [
                "DEVICE  MODEL        SHARES",
                "cpu0    an acceler…  forced",
                "日本    short        cooperative",
            ],
        ),
        (28, ["DEVICE  SHARES", "cpu0    forced", "日本    cooperative"]),
        (12, ["DEVICE", "cpu0", "日本"]),
        (3, ["DEVICE", "cpu0", "日本"]),
    ],
)
def test_a_table_fits_on_a_screen_by_its_columns_ranks(width: int, lines: list[str]) -> None:
    assert table(FITTED, WIDE_ROWS, width) == lines


@pytest.mark.parametrize(
    ("stream", "format", "environ", "width"),
    [
        (Terminal(), Format.TABLE, {"COLUMNS": "80"}, 80),
        (Terminal(), Format.WIDE, {"COLUMNS": "80"}, None),
        (io.StringIO(), Format.TABLE, {"COLUMNS": "80"}, None),
        (Terminal(), Format.TABLE, {"COLUMNS": "0"}, None),
        (Terminal(), Format.TABLE, {"COLUMNS": "wide"}, None),
    ],
)
def test_only_who_reads_a_terminal_has_fewer_columns(
    stream: io.StringIO, format: Format, environ: dict[str, str], width: int | None
) -> None:
    assert Printer(format, stream, io.StringIO(), environ).width == width
