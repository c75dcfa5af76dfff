"""The two life-cycles: every legal move, and that an illegal one changes nothing."""

from __future__ import annotations

import pytest

from eais.instance import INSTANCE_TABLE, InstanceEvent, InstanceState
from eais.rpc.v1 import pool_pb2
from eais.share import SHARE_TABLE, ShareEvent, ShareState
from eais.transition import IllegalMove


def test_the_wire_and_the_table_name_the_same_states() -> None:
    wire = set(pool_pb2.InstanceState.keys()) - {"INSTANCE_STATE_UNSPECIFIED"}
    assert wire == {state.value for state in InstanceState}


def test_the_way_up_and_back() -> None:
    state = InstanceState.PENDING
    walk = ["admit", "created", "bind", "granted", "drain", "stopped", "unbind", "delete"]
    seen = [state := INSTANCE_TABLE.after(state, InstanceEvent(event)) for event in walk]
    assert [s.value for s in seen] == [
        "CREATING",
        "BINDABLE",
        "BOUND",
        "IN_USE",
        "DRAINING",
        "BOUND",
        "BINDABLE",
        "DELETED",
    ]


def test_deleted_is_the_end() -> None:
    assert not any(INSTANCE_TABLE.allows(InstanceState.DELETED, event) for event in InstanceEvent)


@pytest.mark.parametrize("state", [InstanceState.BOUND, InstanceState.IN_USE])
def test_what_is_bound_is_not_deleted(state: InstanceState) -> None:
    with pytest.raises(IllegalMove, match=f"'delete' in state {state.value}"):
        INSTANCE_TABLE.after(state, InstanceEvent.DELETE)


def test_every_instance_state_is_reached_and_left() -> None:
    reached = set(INSTANCE_TABLE.moves.values()) | {InstanceState.PENDING}
    left = {state for state, _ in INSTANCE_TABLE.moves} | {InstanceState.DELETED}
    assert reached == left == set(InstanceState)


def test_a_share_is_granted_only_from_reserved_or_a_return() -> None:
    before = {s for (s, _), after in SHARE_TABLE.moves.items() if after is ShareState.GRANTED}
    assert before == {ShareState.RESERVED, ShareState.LOST}


def test_a_lost_share_is_never_reserved() -> None:
    assert not SHARE_TABLE.allows(ShareState.LOST, ShareEvent.RESERVE)


def test_every_share_state_but_free_can_be_lost() -> None:
    held = {ShareState.RESERVED, ShareState.GRANTED, ShareState.DRAINING}
    assert {s for (s, e) in SHARE_TABLE.moves if e is ShareEvent.LOSE} == held


def test_diagram_has_a_line_a_move() -> None:
    lines = SHARE_TABLE.mermaid().splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert "    FREE --> RESERVED: reserve" in lines
    assert len(lines) == 1 + len(SHARE_TABLE.moves)
