"""A check of a device, in a process that does nothing else: the known model, and its answer."""

from __future__ import annotations

import logging
from typing import Final

from eais.errors import EaisError, make_error
from eais.rpc.v1 import supervision_pb2
from eais_server.devices.driver import PLAIN_RUN, Reservation
from eais_server.worker.adoption import Drivers
from eais_server.worker.canary import FEED, open_canary, why_wrong

log = logging.getLogger(__name__)

# Others have what there is of it, which the device kept track of.
_NO_ROOM: Final = frozenset({"MODEL_MEMORY", "RUN_MEMORY"})


def check(message: supervision_pb2.Check, drivers: Drivers) -> EaisError | None:
    """Load the known model onto the share, and run it; blocks, for ever if the device does.

    What speaks against the device; None if nothing does.
    """
    share = Reservation(
        message.device,
        message.milli,
        threads=1,
        memory_bytes=message.memory_bytes,
        words=dict(message.words),
    )
    try:
        driver = drivers[message.drivers[0]]()
        outputs = open_canary(driver, share).prepare(PLAIN_RUN).execute([], dict(FEED))
        why = why_wrong(outputs)
        return make_error("DEVICE_LOST", why) if why else None
    except EaisError as error:
        return None if error.reason in _NO_ROOM else error
    except Exception as error:
        # A vendor's driver may raise anything.
        log.exception("the known model can't be run")
        return make_error("DEVICE_LOST", f"the known model can't be run ({type(error).__name__})")
