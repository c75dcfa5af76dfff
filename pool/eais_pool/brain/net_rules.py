"""What the pool's file says of vNICs: whose addresses are of which network, and caps. (Brain)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from eais.errors import make_error
from eais.net.rate import rate_text

#: Kept for measuring networks (RFC 2544, appendix C), so that few networks have it.
NETWORK: Final = "198.18.0.0/15"


@dataclass(frozen=True, slots=True)
class NetRule:
    """Of one tenant.

    Attributes:
        network: IPv4, of which its vNICs of the kernel have their addresses.
        cap_bytes_per_s: that each of them carries at most, each way; 0: no limit.
    """

    network: str = NETWORK
    cap_bytes_per_s: int = 0


@dataclass(frozen=True, slots=True)
class NetRules:
    """Of all tenants.

    Attributes:
        default: of those that aren't named.
        tenants: by name.
    """

    default: NetRule = NetRule()
    tenants: Mapping[str, NetRule] = field(default_factory=dict)

    def of(self, tenant: str) -> NetRule:
        """A tenant's."""
        return self.tenants.get(tenant, self.default)

    def cap(self, tenant: str, asked: int) -> int:
        """What a vNIC carries, for which a cap of `asked` was asked; 0: as much as it can."""
        most = self.of(tenant).cap_bytes_per_s
        return min(asked, most) if asked and most else asked or most

    def not_kept(self, tenant: str, driver: str) -> str:
        """That a driver which isn't the kernel's keeps no cap, though the tenant's has one."""
        most = self.of(tenant).cap_bytes_per_s
        return f"its tenant's cap of {rate_text(most)} isn't kept by {driver}" if most else ""

    def check_cap(self, tenant: str, asked: int) -> None:
        """Raise `UsageError` ARGUMENT for a cap above the tenant's."""
        most = self.of(tenant).cap_bytes_per_s
        if most and asked > most:
            text = f"a vNIC of the tenant {tenant} carries {rate_text(most)} at most"
            hint = f"{rate_text(asked)} was asked for: ask for less, or for no cap, which is that"
            raise make_error("ARGUMENT", text, hint=hint)
