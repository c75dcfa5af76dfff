"""A scenario's calls to its instance: the processes that make them, and what they call with."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from eais_client.instances import Instance
from eais_client.load.background import Background
from eais_client.load.brain.plan import ModelLoad
from eais_client.load.brain.scenario import Scenario
from eais_client.load.checking import Prepared, write_prepared
from eais_client.load.generator.processes import Generators, LiveCounts
from eais_client.load.inputs import InputSpec, check_names, inputs_of
from eais_client.load.reference import add_answers
from eais_client.load.target import TargetKind, TargetSpec
from eais_client.signature import Signature


class InstanceTraffic(Background):
    """Calls of one model to one instance, by processes that end with `close`.

    Args:
        inputs: what the model is called with.
        tolerance: how far answers may be from onnxruntime's here.
        environ: of the processes: it says which context, and thereby which pool.
        stage: is told what is done now; `counts` what the load has come to, once a second.

    Raises what hinders the model from being opened, or answered for by onnxruntime here.
    """

    def __init__(
        self,
        scenario: Scenario,
        instance: Instance,
        model: Path,
        inputs: InputSpec,
        tolerance: str,
        environ: Mapping[str, str],
        stage: Callable[[str], None],
        counts: Callable[[LiveCounts], None],
    ) -> None:
        target = TargetSpec(TargetKind.INSTANCE, instance.id, instance.id)
        load = ModelLoad(model.stem, str(model))
        self._made = Generators([target], [load], scenario.driving, environ)
        self._made.__enter__()
        super().__init__(self._made, scenario.name, scenario.spacing, scenario.burst, counts)
        try:
            self._prepare(load, inputs, tolerance, scenario.driving.check_share > 0, stage)
        except BaseException:
            self._made.close()
            raise

    def _prepare(
        self,
        model: ModelLoad,
        inputs: InputSpec,
        tolerance: str,
        checked: bool,
        stage: Callable[[str], None],
    ) -> None:
        signatures = self._made.signatures[0]
        check_names(signatures, inputs)
        feeds = inputs_of(model.name, signatures[model.name], inputs)
        with tempfile.TemporaryDirectory(prefix="eais-scenario-") as folder:
            place = Path(folder) / "0"
            write_prepared(place, Prepared(tuple(feeds), None, tolerance))
            if checked:
                stage(f"running {model.name} in onnxruntime for right answers")
                add_answers(model.path, place)
            self._made.prepare({model.name: place})

    @property
    def signature(self) -> Signature:
        """The model's inputs and outputs."""
        (found,) = self._made.signatures[0].values()
        return found

    def warm(self, calls: int) -> None:
        """So many calls in each process, one after the other."""
        self._made.warm(0, calls)

    def close(self) -> None:
        """End the processes, and with them the model's sessions."""
        self._made.close()
