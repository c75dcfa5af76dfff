"""vNICs in the pool's file: `[vnic]` for every tenant, `[vnic.tenants.NAME]` for one.

[vnic]
network = "198.18.0.0/15"
cap = "1Gbit"

[vnic.tenants.acme]
network = "10.9.0.0/16"
cap = "unlimited"
"""

from __future__ import annotations

from typing import Final

from eais.errors import ConfigError, UsageError
from eais.identity import Identity
from eais.net.rate import cap_of
from eais.toml_file import TomlFile
from eais_pool.brain.net_links import check_network
from eais_pool.brain.net_rules import NetRule, NetRules

TABLE: Final = "vnic"
UNLIMITED: Final = "unlimited"
_TENANTS: Final = "tenants"
_KEYS: Final = ("network", "cap")


def read_net_rules(file: TomlFile | None) -> NetRules:
    """What the file says.

    Raises:
        ConfigError: CONFIG, a key is unknown or its value no network or cap; the place is named.
    """
    if file is None:
        return NetRules()
    file.check_known((TABLE,), (*_KEYS, _TENANTS))
    default = _rule(file, NetRule(), TABLE)
    names = file.table(TABLE, _TENANTS)
    return NetRules(default, {name: _of_tenant(file, default, name) for name in names})


def _of_tenant(file: TomlFile, default: NetRule, name: str) -> NetRule:
    path = (TABLE, _TENANTS, name)
    try:
        Identity.frontend("pool", name, "any")
    except ValueError as error:
        raise ConfigError("CONFIG", f"{file.place(*path)}: {error}") from None
    file.check_known(path, _KEYS)
    return _rule(file, default, *path)


def _rule(file: TomlFile, default: NetRule, *path: str) -> NetRule:
    """What the table at `path` says, key by key in the place of `default`'s."""
    said = {key: value for key, value in file.table(*path).items() if key in _KEYS}
    network, cap = default.network, default.cap_bytes_per_s
    for key, value in said.items():
        try:
            if key == "network":
                network = check_network(_text(value))
            else:
                cap = _cap(_text(value))
        except (ValueError, UsageError) as error:
            why = error.message if isinstance(error, UsageError) else error
            raise ConfigError("CONFIG", f"{file.place(*path, key)}: {key} = {why}") from None
    return NetRule(network, cap)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{str(value)[:80]!r}: must be a text, in quotes")
    return value


def _cap(text: str) -> int:
    return 0 if text == UNLIMITED else cap_of(text)
