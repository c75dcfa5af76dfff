"""Prices in the pool's file: `[prices]`, for a whole device of each kind, or a core, and an hour.

[prices]
cpu = 0.02
gpu = 2.5
"""

from __future__ import annotations

from eais.config import finite
from eais.device_type import DeviceKind
from eais.errors import ConfigError
from eais.toml_file import TomlFile
from eais_pool.policy.prices import DEFAULTS, Prices

TABLE = "prices"
_MOST = 1_000_000


def read_prices(file: TomlFile | None) -> Prices:
    """What the file says, and `DEFAULTS` for kinds of which it says nothing.

    Raises:
        ConfigError: CONFIG, a key is no kind or its value no price; the place is named.
    """
    per_h = dict(DEFAULTS)
    if file is None:
        return Prices(per_h)
    file.check_known((TABLE,), tuple(DeviceKind))
    for name, value in file.table(TABLE).items():
        price = finite(value)
        if price is None or not 0 <= price <= _MOST:
            place = file.place(TABLE, name)
            text = f"{name} = {str(value)[:80]!r}: must be a price an hour, 0 to {_MOST}"
            raise ConfigError("CONFIG", f"{place}: {text}")
        per_h[DeviceKind(name)] = price
    return Prices(per_h)
