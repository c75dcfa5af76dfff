"""The text of a join token: `eais1.<SHA-256 of the CA>.<secret>`.

Whoever has it may join the pool once. The hash is of the DER of the certificate of the CA that
signs, so that the joiner knows the pool before it tells the secret; the secret is the pool's to
judge, and is opaque here.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from eais.errors import IdentityError

SECRET_BYTES = 20
"""How long a new secret is, in bytes; a token with a shorter one is no token."""
MAX_SECRET_BYTES = 64
MAX_SECRET_TEXT = 86
"""How long the text of a secret is at most."""

_VERSION = "eais1"
_TOKEN = re.compile(rf"{_VERSION}\.([0-9a-f]{{64}})\.([A-Za-z0-9_-]{{27,{MAX_SECRET_TEXT}}})")


@dataclass(frozen=True, slots=True)
class JoinToken:
    """What a join token says.

    Attributes:
        ca_sha256: of the DER of the CA certificate that the pool's chain must end in; 32 bytes.
        secret: between 20 and 64 bytes; never in `repr`.

    Raises ValueError for other lengths.
    """

    ca_sha256: bytes
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.ca_sha256) != sha256().digest_size:
            raise ValueError(f"a SHA-256 has 32 bytes, this has {len(self.ca_sha256)}")
        if not SECRET_BYTES <= len(self.secret) <= MAX_SECRET_BYTES:
            raise ValueError(
                f"a secret has {SECRET_BYTES} to {MAX_SECRET_BYTES} bytes, this {len(self.secret)}"
            )

    @classmethod
    def make(cls, ca_sha256: bytes, random_bytes: Callable[[int], bytes]) -> JoinToken:
        """A token with a fresh secret; `random_bytes` is `secrets.token_bytes`."""
        return cls(ca_sha256, random_bytes(SECRET_BYTES))

    @classmethod
    def parse(cls, text: str) -> JoinToken:
        """The token that `text` is, give or take white space around it.

        Raises:
            IdentityError: TOKEN; the message never repeats the text.
        """
        found = _TOKEN.fullmatch(text.strip())
        if found is None:
            raise _no_token(text)
        try:
            secret = base64.urlsafe_b64decode(found[2] + "=" * (-len(found[2]) % 4))
        except binascii.Error:
            raise _no_token(text) from None
        token = cls(bytes.fromhex(found[1]), secret)
        # Base64 has bits to spare at its end, which another text of the same bytes would use.
        if token.text != text.strip():
            raise _no_token(text)
        return token

    @property
    def secret_text(self) -> str:
        """The last part of the text: what a pool is told."""
        return base64.urlsafe_b64encode(self.secret).rstrip(b"=").decode()

    @property
    def text(self) -> str:
        """What `parse` reads: one line without its end."""
        return f"{_VERSION}.{self.ca_sha256.hex()}.{self.secret_text}"


def _no_token(text: str) -> IdentityError:
    shape = f"{_VERSION}.<64 hex digits>.<secret>"
    what = "is empty" if not text.strip() else f"isn't of the form {shape}"
    return IdentityError(
        "TOKEN", f"the join token {what}", hint="an operator makes one: eais token create"
    )
