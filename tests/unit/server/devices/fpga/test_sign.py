"""What an operator signs with, and the folder that signed images lie in."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest

from eais import tls
from eais.errors import EaisError
from eais_server.devices.fpga.image import (
    ONNX,
    XCLBIN,
    RegionSize,
    ServiceTime,
    ShellVersion,
    public_key,
    read_image,
)
from eais_server.devices.fpga.images import SUFFIX, ImageFolder
from eais_server.devices.fpga.sign import main
from tests.unit.server.devices.fpga.rig import DATASETS, KEY, model_image

MODEL = DATASETS / "mul_1.onnx"
COMPUTES = hashlib.sha256(MODEL.read_bytes()).digest()


def sign(tmp_path: Path, *more: str) -> int:
    given = ["--key", str(tmp_path / "key"), "--model", str(MODEL)]
    return main(["image", *given, "--into", str(tmp_path / "images"), *more])


def test_a_key_then_an_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new-key", str(tmp_path / "key")]) == 0
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    capsys.readouterr()
    more = ["--load-ms", "40", "--fixed-us", "5", "--us-per-row", "6", "--needs", "1", "2", "3"]
    assert sign(tmp_path, "--shell-from", "1.1", "--shell-to", "1.7", *more) == 0
    digest, name = capsys.readouterr().out.split()
    (path,) = (tmp_path / "images").iterdir()
    assert path.name == digest + SUFFIX
    trusted = public_key((tmp_path / "key.pub").read_bytes())
    header = read_image(path.read_bytes(), [trusted]).header
    assert (header.name, name, header.computes) == ("mul_1", "mul_1", COMPUTES)
    assert (header.shell_from, header.shell_to) == (ShellVersion(1, 1), ShellVersion(1, 7))
    assert (header.load_ms, header.service) == (40, ServiceTime(5, 6))
    assert header.needs == RegionSize(1, 2, 3)


def test_an_image_for_a_real_board(tmp_path: Path) -> None:
    main(["new-key", str(tmp_path / "key")])
    (tmp_path / "a.xclbin").write_bytes(b"xclbin2")
    assert sign(tmp_path, "--xclbin", str(tmp_path / "a.xclbin"), "--name", "a") == 0
    (path,) = (tmp_path / "images").iterdir()
    trusted = public_key((tmp_path / "key.pub").read_bytes())
    image = read_image(path.read_bytes(), [trusted])
    assert (image.header.format, bytes(image.payload)) == (XCLBIN, b"xclbin2")
    assert image.header.computes == COMPUTES


def test_what_is_wrong_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sign(tmp_path) == 2
    assert main(["new-key", str(tmp_path / "key")]) == 0
    assert main(["new-key", str(tmp_path / "key")]) == 2
    assert sign(tmp_path, "--name", "Not A Name") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("error: ") for line in lines)
    assert lines[2].startswith("error: IMAGE_INVALID: ")


def test_a_folder_gives_what_was_signed_and_nothing_else(tmp_path: Path) -> None:
    folder = ImageFolder(tmp_path / "images", [KEY.public_key()])
    data = model_image("mul_1")
    image = folder.add(data)
    folder.add(data)
    folder.add(model_image("sigmoid"))
    good = tmp_path / "images" / f"{image.digest.hex()}{SUFFIX}"
    (tmp_path / "images" / f"{'0' * 64}{SUFFIX}").write_bytes(data)
    (tmp_path / "images" / f"{'1' * 64}{SUFFIX}").write_bytes(b"rubbish")
    assert sorted(header.name for _, header in folder.headers()) == ["mul_1", "sigmoid"]
    assert folder.find(COMPUTES, ONNX) == data
    assert folder.find(COMPUTES, XCLBIN) is None
    assert folder.find(bytes(32), ONNX) is None
    good.write_bytes(data[:-1])
    assert folder.find(COMPUTES, ONNX) is None


def test_a_folder_takes_no_strangers_image(tmp_path: Path) -> None:
    folder = ImageFolder(tmp_path / "images", [tls.new_key().public_key()])
    with pytest.raises(EaisError) as caught:
        folder.add(model_image("mul_1"))
    assert caught.value.reason == "IMAGE_UNTRUSTED"
    assert list((tmp_path / "images").iterdir()) == []
