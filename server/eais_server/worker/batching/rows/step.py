"""One node of the walk: what a rule is asked, and how it reads the node's attributes. (Brain)"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from eais_server.worker.batching.rows.graph import Node, Number
from eais_server.worker.batching.rows.values import Unproven, Value, steady

Default = TypeVar("Default")


@dataclass(frozen=True, slots=True)
class Step:
    """A node and what is known of its inputs.

    Attributes:
        args: None for one that is left out.
        version: of the operator set that its operator is from.
    """

    node: Node
    args: tuple[Value | None, ...]
    version: int

    def given(self, index: int) -> Value | None:
        """The argument; None if it is left out."""
        return self.args[index] if index < len(self.args) else None

    def arg(self, index: int) -> Value:
        """The argument; raises `Unproven` if it is left out."""
        found = self.given(index)
        if found is None:
            raise Unproven(f"no input {index}")
        return found

    def present(self) -> list[Value]:
        """The arguments that aren't left out, at least one."""
        found = [arg for arg in self.args if arg is not None]
        if not found:
            raise Unproven("no inputs")
        return found

    def rest_is_steady(self, begin: int = 1) -> None:
        """Check that the arguments from `begin` on are the same whatever the rows are."""
        for arg in self.args[begin:]:
            if arg is not None:
                steady(arg)

    def has(self, name: str) -> bool:
        """Whether the attribute is there."""
        found = self.node.attributes
        return any(
            name in names
            for names in (found.ints, found.lists, found.texts, found.tensors, found.unread)
        )

    def integer(self, name: str, default: int) -> int:
        """An integer attribute. Raises `Unproven` if there is one of another kind."""
        found = self.node.attributes.ints.get(name)
        return self._default(name, default) if found is None else found

    def text(self, name: str, default: str) -> str:
        """A string attribute; raises as `integer`."""
        found = self.node.attributes.texts.get(name)
        return self._default(name, default) if found is None else found

    def numbers(self, name: str) -> tuple[Number, ...] | None:
        """An attribute of several numbers, None if it isn't there; raises as `integer`."""
        found = self.node.attributes.lists.get(name)
        return self._default(name, None) if found is None else found

    def integers(self, name: str) -> tuple[int, ...] | None:
        """An attribute of several integers, None if it isn't there; raises as `integer`."""
        found = self.numbers(name)
        if found is None:
            return None
        known = tuple(item for item in found if isinstance(item, int))
        if len(known) != len(found):
            raise Unproven(f"attribute {name} isn't of integers")
        return known

    def _default(self, name: str, default: Default) -> Default:
        if self.has(name):
            raise Unproven(f"attribute {name} can't be read")
        return default


Rule: TypeAlias = Callable[[Step], Value | Sequence[Value]]
"""What a node gives, one value or one for each output.

Raises `Unproven` for what it can't say anything of; it may then still be proven of arguments
all of which are the same for all rows.
"""
