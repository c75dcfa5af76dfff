"""Who has a shared device's next turn, for how long, and who overruns. (Brain)

One event says what was seen of all sharers at once; what follows is derived from that alone, so
a bell that is lost or rung in vain changes nothing but when it is looked.
"""

from __future__ import annotations

from eais_server.turns.brain.reactor import next_look, on_event
from eais_server.turns.brain.state import ALWAYS, Device, Limits, Sharer, Stage

__all__ = ["ALWAYS", "Device", "Limits", "Sharer", "Stage", "next_look", "on_event"]
