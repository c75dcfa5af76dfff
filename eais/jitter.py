"""The jitter of this process's back-offs, given to the brains that wait."""

from __future__ import annotations

import random
from typing import Final

from eais.backoff import Rng

#: Not `random`'s own functions: their state is the program's, which may have seeded it; and
#: a forked child must not repeat its parent's.
JITTER: Final[Rng] = random.SystemRandom().random
