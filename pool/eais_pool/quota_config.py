"""Quotas in the pool's file: `[quota]` for every tenant, `[quota.tenants.NAME]` for one.

[quota]
instances = 20
gpu = 1.5

[quota.tenants.acme]
gpu = "unlimited"
weight = 2
"""

from __future__ import annotations

from collections.abc import Mapping

from eais.config import finite
from eais.device_type import WHOLE_MILLI, DeviceKind
from eais.errors import ConfigError
from eais.identity import Identity
from eais.toml_file import TomlFile
from eais_pool.brain.quotas import INSTANCES, OPERATIONS, WEIGHT, WEIGHT_MOST, Quotas

DEFAULTS = {INSTANCES: 1000, OPERATIONS: 100_000}
UNLIMITED = "unlimited"
_KINDS = tuple(kind.value for kind in DeviceKind)
_COUNTS = (INSTANCES, OPERATIONS)
_KEYS = (*_COUNTS, *_KINDS, WEIGHT)
_TENANTS = "tenants"
_MOST = 1 << 53


def read_quotas(file: TomlFile | None) -> Quotas:
    """What the file says, or `DEFAULTS`; devices are unlimited then.

    Raises:
        ConfigError: CONFIG, a key is unknown or its value no limit; the place is named.
    """
    default: dict[str, int | None] = {**DEFAULTS}
    if file is None:
        return Quotas(_set(default))
    file.check_known(("quota",), (*_KEYS, _TENANTS))
    default |= _limits(file, "quota")
    names = file.table("quota", _TENANTS)
    tenants = {name: _of_tenant(file, name) for name in names}
    return Quotas(_set(default), tenants)


def _set(limits: Mapping[str, int | None]) -> dict[str, int]:
    return {key: limit for key, limit in limits.items() if limit is not None}


def _of_tenant(file: TomlFile, name: str) -> dict[str, int | None]:
    path = ("quota", _TENANTS, name)
    try:
        Identity.frontend("pool", name, "any")
    except ValueError as error:
        raise ConfigError("CONFIG", f"{file.place(*path)}: {error}") from None
    file.check_known(path, _KEYS)
    return _limits(file, *path)


def _limits(file: TomlFile, *path: str) -> dict[str, int | None]:
    """What the table at `path` says, in instances and milli-devices; None: unlimited."""
    found: dict[str, int | None] = {}
    for key, value in file.table(*path).items():
        if key in _KEYS:
            try:
                found[key] = _limit(key, value)
            except ValueError as error:
                place = file.place(*path, key)
                raise ConfigError("CONFIG", f"{place}: {key} = {error}") from None
    return found


def _limit(key: str, value: object) -> int | None:
    """One limit; ValueError says what is wrong with it."""
    if key == WEIGHT:
        if type(value) is not int or not 1 <= value <= WEIGHT_MOST:
            raise ValueError(f"{str(value)[:80]!r}: must be a whole number, 1 to {WEIGHT_MOST}")
        return value
    if value == UNLIMITED:
        return None
    whole = value if key in _COUNTS else _milli(value)
    if type(whole) is not int or not 0 <= whole <= _MOST:
        want = f"a number of {key}" if key in _COUNTS else "devices in eighths, such as 1.5"
        raise ValueError(f'{str(value)[:80]!r}: must be {want}, or "{UNLIMITED}"')
    return whole


def _milli(value: object) -> int | None:
    devices = finite(value)
    if devices is None or (devices * 8) % 1:
        return None
    return int(devices * WHOLE_MILLI)
