"""Beside whom an instance is to be: apart from others of its tenant's, or near one of them.

Hosts are what counts: apart is on different ones, near is on the same. Both are wishes, unless
they are `strict`: then what can't be had is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from eais.errors import UsageError
from eais.instance import check_instance_name

GROUP_MOST: Final = 64
"""Letters of a group's name."""
_GROUP: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{GROUP_MOST - 1}}}")


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What an owner says of an instance's neighbours.

    Attributes:
        spread: a group of the tenant's instances, itself one of them, each on a host of its own;
            "": none.
        near: an instance of the tenant's, on whose host it is to be; "": none.
        strict: it is refused rather than placed otherwise.
    """

    spread: str = ""
    near: str = ""
    strict: bool = False

    @classmethod
    def checked(cls, spread: str = "", near: str = "", strict: bool = False) -> Neighbours:
        """What was said; `UsageError` ARGUMENT or NAME for what can't be."""
        if spread and not _GROUP.fullmatch(spread):
            raise UsageError(
                "ARGUMENT",
                f"{spread[:GROUP_MOST]!a} is no group's name: 1 to {GROUP_MOST} letters, digits, "
                "and . _ - after the first",
            )
        if near:
            check_instance_name(near)
        if strict and not (spread or near):
            raise UsageError("ARGUMENT", "strict is said of spread or near, and neither is asked")
        return cls(spread, near, strict)

    @property
    def text(self) -> str:
        """In words: "apart from others of web, near ei-7f3a, strictly"; "" if nothing was said."""
        words = [f"apart from others of {self.spread}"] if self.spread else []
        words += [f"near {self.near}"] if self.near else []
        return ", ".join([*words, "strictly"] if self.strict else words)


ANYWHERE: Final = Neighbours()
