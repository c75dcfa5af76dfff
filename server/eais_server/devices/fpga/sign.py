"""What an operator signs role images with: `python -m eais_server.devices.fpga.sign`."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from eais import tls
from eais.errors import EaisError, make_error
from eais.files import create_file, read_private
from eais.report import EXIT_USAGE, error_line, exit_code
from eais_server.devices.fpga.image import (
    ONNX,
    XCLBIN,
    RegionSize,
    RoleHeader,
    ServiceTime,
    ShellVersion,
    model_digest,
    sign_image,
)
from eais_server.devices.fpga.images import ImageFolder

PUBLIC_FILE = 0o644


def main(argv: Sequence[str]) -> int:
    """Make a key, or sign an image; the exit code."""
    given = _parser().parse_args(argv)
    try:
        said = _new_key(given.key) if given.command == "new-key" else _sign(given)
    except EaisError as error:
        sys.stderr.write(f"{error_line(error)}\n")
        return exit_code(error)
    except OSError as error:
        sys.stderr.write(f"error: CONFIG: {error}\n")
        return EXIT_USAGE
    sys.stdout.write(f"{said}\n")
    return 0


def _new_key(path: Path) -> str:
    key = tls.new_key()
    create_file(path, tls.key_to_pem(key))
    public = path.with_name(f"{path.name}.pub")
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, form)
    create_file(public, pem, mode=PUBLIC_FILE)
    return f"boards that trust {public.name} take what {path.name} signs"


def _sign(given: argparse.Namespace) -> str:
    key = tls.key_from_pem(read_private(given.key))
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise make_error("CONFIG", "images are signed by a P-256 key")
    model = given.model.read_bytes()
    header = RoleHeader(
        name=given.name or given.model.stem.lower(),
        computes=model_digest(hashlib.sha256(model).digest()),
        shell_from=given.shell_from,
        shell_to=given.shell_to or ShellVersion(given.shell_from.major, 2**16),
        format=ONNX if given.xclbin is None else XCLBIN,
        needs=RegionSize(*given.needs),
        load_ms=given.load_ms,
        service=ServiceTime(given.fixed_us, given.us_per_row),
    )
    payload = model if given.xclbin is None else given.xclbin.read_bytes()
    image = ImageFolder(given.into, [key.public_key()]).add(sign_image(header, payload, key))
    return f"{image.digest.hex()} {header.name}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m eais_server.devices.fpga.sign")
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser("new-key", help="make a key to sign with, and beside it its .pub")
    new.add_argument("key", type=Path)
    sign = commands.add_parser("image", help="sign a role image into a folder")
    sign.add_argument("--key", type=Path, required=True)
    sign.add_argument("--model", type=Path, required=True, help="what the role computes")
    sign.add_argument("--into", type=Path, required=True, help="the folder of images")
    sign.add_argument("--name", help="for people; the model's own by default")
    sign.add_argument("--xclbin", type=Path, help="the payload for real boards")
    sign.add_argument("--shell-from", type=ShellVersion.parse, default=ShellVersion(1, 0))
    sign.add_argument("--shell-to", type=ShellVersion.parse)
    sign.add_argument("--needs", type=int, nargs=3, default=(0, 0, 0), help="LUTs, DSPs, BRAM KiB")
    sign.add_argument("--load-ms", type=int, default=0)
    sign.add_argument("--fixed-us", type=int, default=0)
    sign.add_argument("--us-per-row", type=int, default=0)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
