"""Records whose damage is noticed: a SHA-256 in front of what it is of.

The file's first line is the digest in hex, the rest is JSON. Whatever bit was
turned, and wherever the file was cut, reading it raises `Damaged`.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

_DIGEST_LINE = 65


class Damaged(Exception):
    """The record isn't what was written."""


def seal(record: dict[str, Any]) -> bytes:
    """`record` as the bytes of a file."""
    body = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def unseal(data: bytes) -> dict[str, Any]:
    """The record that `seal` wrote; raises `Damaged`."""
    line, body = data[:_DIGEST_LINE], data[_DIGEST_LINE:]
    if line != hashlib.sha256(body).hexdigest().encode() + b"\n":
        raise Damaged("the digest isn't that of the content")
    record = json.loads(body)
    if not isinstance(record, dict):
        raise Damaged("not a record")
    return record
