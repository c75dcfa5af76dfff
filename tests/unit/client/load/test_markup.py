"""HTML in which only our own markup is any."""

from __future__ import annotations

from eais_client.load.report.markup import Markup, definitions, element, html_table

HOSTILE = "<script>alert(1)</script>\"'&"


def test_text_is_escaped_and_markup_is_not() -> None:
    assert element("p", HOSTILE) == (
        "<p>&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;</p>"
    )
    assert element("p", element("b", "x"), "<") == "<p><b>x</b>&lt;</p>"


def test_attributes_are_escaped_and_named_as_html_names_them() -> None:
    found = element("div", class_='a"><script>', http_equiv="x")
    assert found == '<div class="a&quot;&gt;&lt;script&gt;" http-equiv="x"></div>'


def test_what_has_no_content_has_no_end() -> None:
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_tables_and_definitions_escape_their_cells() -> None:
    found = html_table([HOSTILE], [[HOSTILE]]) + definitions([(HOSTILE, HOSTILE)])
    assert "<script>" not in found
    assert found.count("&lt;script&gt;") == 4


def test_columns_of_figures_stand_to_the_right() -> None:
    found = html_table(["run", "p99"], [["a", Markup("<b>1</b>")]])
    assert '<td class="words">a</td><td class="figure"><b>1</b></td>' in found
