"""The driver of simulated boards as listener and worker at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eais_server.devices.driver import (
    ModelSource,
    Reservation,
    Runtime,
    RuntimeSession,
    SessionSettings,
)
from eais_server.devices.fpga.boards import SimulatedBoard
from eais_server.devices.fpga.driver import REGIONS, ROLE, FpgaDriver, with_user_functions
from tests.unit.server.devices.fpga.rig import model_image


class InOneProcess(FpgaDriver):
    """What a model needs is provided before it is opened."""

    def __init__(self, boards: Sequence[SimulatedBoard], **given: Any) -> None:
        super().__init__(boards, **given)
        self._shares: dict[str, Reservation] = {}

    def open(
        self,
        share: Reservation,
        model: ModelSource,
        settings: SessionSettings,
        runtime: Runtime = ROLE,
    ) -> RuntimeSession:
        share = self.connected(share)
        self.provide(share, model_image(model.path.stem))
        return super().open(share, model, settings, runtime)

    def connected(self, share: Reservation) -> Reservation:
        """The share, as a worker would have it."""
        regions = share.words[REGIONS]
        if regions not in self._shares:
            fds = [sock.detach() for sock in self.connect(share, "one")]
            self._shares[regions] = with_user_functions(share, fds)
        return self._shares[regions]
