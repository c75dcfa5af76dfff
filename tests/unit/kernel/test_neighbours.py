"""What may be said of an instance's neighbours."""

from __future__ import annotations

import pytest

from eais.errors import UsageError
from eais.neighbours import ANYWHERE, Neighbours


def test_what_is_said_is_kept_and_can_be_read() -> None:
    assert Neighbours.checked() == ANYWHERE
    assert ANYWHERE.text == ""
    assert Neighbours.checked("web").text == "apart from others of web"
    assert Neighbours.checked(near="ei-7f3a").text == "near ei-7f3a"
    both = Neighbours.checked("web.2", "ei-7f3a", True)
    assert both.text == "apart from others of web.2, near ei-7f3a, strictly"


@pytest.mark.parametrize(
    ("spread", "near", "strict", "said"),
    [
        ("a b", "", False, "'a b' is no group's name"),
        ("-web", "", False, "is no group's name"),
        ("w" * 65, "", False, "is no group's name"),
        ("", "box-1", False, "is no instance's name"),
        ("", "", True, "strict is said of spread or near"),
    ],
)
def test_what_cant_be_is_refused(spread: str, near: str, strict: bool, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Neighbours.checked(spread, near, strict)
