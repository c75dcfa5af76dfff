"""What a server's process allows itself: no core dump, and the descriptors that it may have.

Its memory has private keys in it, a manager's that of the pool's CA, and a core dump would leave
them in a file. Descriptors are what connections take: shells allow a thousand at first, and
more to who asks for more.
"""

from __future__ import annotations

import resource
from typing import Final

OPEN_FILES: Final = 65_536
"""How many descriptors a server asks for; the units of systemd allow as many."""


def keep_keys_and_connections() -> None:
    """Set both limits of this process and of those that it starts; a hard limit is kept."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
