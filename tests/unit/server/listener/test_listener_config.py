from __future__ import annotations

from pathlib import Path

import pytest

from eais.config import load
from eais.errors import ConfigError
from eais.toml_file import TomlFile
from eais_server.listener.config import ListenerConfig


def loaded(tmp_path: Path, text: str) -> ListenerConfig:
    file = tmp_path / "pool.toml"
    file.write_text(f"[listener]\n{text}\n")
    return load(ListenerConfig, table="listener", flags={}, environ={}, file=TomlFile.read(file))


@pytest.mark.parametrize(
    ("text", "reason", "says"),
    [
        ("user_port = 70000", "PORT", "[listener] user_port = 70000: must be 1 to 65535"),
        ("management_port = -1", "PORT", "management_port = -1"),
        ("user_port = 7\nmanagement_port = 7", "PORT", "must differ"),
        ('bind = "eth0"', "CONFIG", "bind = 'eth0': must be an address of this host"),
        ('bind = "0.0.0.0"', "CONFIG", "bind = '0.0.0.0': must be an address"),
        ('bind = "127.0.0.1:80"', "CONFIG", "bind = '127.0.0.1:80'"),
        ("worker_calls = 0", "CONFIG", "worker_calls = 0: must be above 0"),
        ("worker_calls = 2000000", "CONFIG", "worker_calls = 2000000: must be 1048576 or less"),
        ("tenant_uploads = 0", "CONFIG", "tenant_uploads = 0: must be above 0"),
        (
            'transport = "quic"',
            "CONFIG",
            "transport = 'quic': must be one of auto, ring, h2, grpcio",
        ),
        (
            'simulate = "cpu=1"',
            "CONFIG",
            "simulate = 'cpu=1': 'cpu' can't be simulated; gpu, npu, fpga and board can",
        ),
        ('simulate = "board=1"', "CONFIG", "simulate = 'board=1': boards need fpga_images too"),
        ('fpga_keys = "/a, b"', "CONFIG", "fpga_keys = '/a, b': must be absolute paths"),
        ('fpga_images = "images"', "CONFIG", "fpga_images = 'images': must be absolute paths"),
        ("tenant_store_bytes = -1", "CONFIG", "tenant_store_bytes = -1: must not be below 0"),
    ],
)
def test_what_cannot_be_is_named_by_place(
    tmp_path: Path, text: str, reason: str, says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    assert caught.value.reason == reason
    assert says in caught.value.message
    assert "pool.toml:2:1: " in caught.value.message or "must differ" in says


@pytest.mark.parametrize("bind", ["", "127.64.16.2", "10.1.2.3", "fd00::1"])
def test_addresses(tmp_path: Path, bind: str) -> None:
    assert loaded(tmp_path, f'bind = "{bind}"').bind == bind


def test_how_workers_serve(tmp_path: Path) -> None:
    served = {
        word: loaded(tmp_path, f'transport = "{word}"').served_by
        for word in ("auto", "ring", "h2", "grpcio")
    }
    # A variable of this name may be there for the clients of the same machine.
    assert served == {"auto": "", "ring": "", "h2": "h2", "grpcio": "grpcio"}
