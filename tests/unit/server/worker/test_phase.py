from __future__ import annotations

from pathlib import Path

import pytest

from eais.rpc.v1 import supervision_pb2
from eais.transition import IllegalMove
from eais_server.worker.phase import PHASE_TABLE, Phase, PhaseEvent

BEGIN = (PhaseEvent.ADOPT, PhaseEvent.MEASURE, PhaseEvent.CHECK)


def test_each_message_of_the_listener_is_an_event() -> None:
    kinds = supervision_pb2.ToWorkerProcess.DESCRIPTOR.oneofs_by_name["kind"].fields
    assert {field.name for field in kinds} == {event.value for event in PhaseEvent}


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.SPARE])
def test_a_worker_is_adopted_once_or_measures(phase: Phase) -> None:
    for event in BEGIN:
        with pytest.raises(IllegalMove):
            PHASE_TABLE.after(phase, event)


@pytest.mark.parametrize("event", [e for e in PhaseEvent if e.value not in ("time_batch", "drain")])
def test_one_that_measures_does_nothing_else(event: PhaseEvent) -> None:
    with pytest.raises(IllegalMove):
        PHASE_TABLE.after(Phase.MEASURING, event)


@pytest.mark.parametrize(
    "event", [PhaseEvent.LOAD, PhaseEvent.UNLOAD, PhaseEvent.LEAF, PhaseEvent.SERVE]
)
def test_a_spare_has_nothing_to_load_or_serve(event: PhaseEvent) -> None:
    with pytest.raises(IllegalMove):
        PHASE_TABLE.after(Phase.SPARE, event)


@pytest.mark.parametrize("event", [e for e in PhaseEvent if e not in BEGIN])
def test_whatever_crossed_a_drain_changes_nothing(event: PhaseEvent) -> None:
    assert PHASE_TABLE.after(Phase.DRAINING, event) is Phase.DRAINING


def test_every_phase_can_be_drained() -> None:
    assert all(PHASE_TABLE.after(phase, PhaseEvent.DRAIN) is Phase.DRAINING for phase in Phase)


def test_the_diagram_in_the_docs_is_the_table() -> None:
    text = (Path(__file__).parents[4] / "docs/worker.md").read_text()
    drawn = text.split("<!-- generated: worker process -->\n```mermaid\n")[1].split("\n```")[0]
    assert drawn == PHASE_TABLE.mermaid()
