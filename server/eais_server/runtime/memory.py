"""What a load or a run says for which there is no memory."""

from __future__ import annotations

import resource
from collections.abc import Mapping

from eais.errors import EaisError, make_error


def no_memory(reason: str, text: str, metadata: Mapping[str, str] | None = None) -> EaisError:
    """The error, with what this process may have as metadata `limit`, in bytes, if it is limited.

    Args:
        reason: MODEL_MEMORY or RUN_MEMORY.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    known = {} if limit == resource.RLIM_INFINITY else {"limit": str(limit)}
    return make_error(reason, text, metadata={**(metadata or {}), **known})
