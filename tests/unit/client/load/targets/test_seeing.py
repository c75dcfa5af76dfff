"""Whose processes a target's are, on a /proc that is made up, and on the real one."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from eais.errors import UsageError
from eais_client.load.target import TargetKind, TargetSpec
from eais_client.load.targets.seeing import server_side, titled

HEAD = (
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode"
)


def process(proc: Path, pid: int, cmdline: bytes, *sockets: str) -> None:
    (proc / str(pid) / "fd").mkdir(parents=True)
    (proc / str(pid) / "cmdline").write_bytes(cmdline)
    for number, each in enumerate(sockets):
        (proc / str(pid) / "fd" / str(number)).symlink_to(each)


def listening(proc: Path, *rows: tuple[str, str, int]) -> None:
    """Local address, state and inode of sockets."""
    lines = [
        f"   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 0 1000 0 {inode} 1"
        for address, state, inode in rows
    ]
    (proc / "net").mkdir(parents=True, exist_ok=True)
    (proc / "net" / "tcp").write_text("\n".join([HEAD, *lines]) + "\n")


def server(place: str) -> TargetSpec:
    return TargetSpec(TargetKind.SERVER, "s", place)


def test_an_instances_processes_bear_its_name(tmp_path: Path) -> None:
    process(tmp_path, 7, b"eais-worker ei-1 1")
    process(tmp_path, 8, b"eais-worker\0ei-1\0")
    process(tmp_path, 9, b"eais-worker ei-12 1")
    process(tmp_path, 10, b"vi eais-worker ei-1")
    (tmp_path / "version").write_text("no process")
    (tmp_path / "11").mkdir()
    side = server_side(TargetSpec(TargetKind.INSTANCE, "ei-1", "ei-1"), tmp_path)
    assert (sorted(side.pids), side.why_not) == ([7, 8], "")
    gone = server_side(TargetSpec(TargetKind.INSTANCE, "ei-3", "ei-3"), tmp_path)
    assert (gone.pids, gone.why_not) == ((), "no worker of it is this user's here")


def test_a_servers_process_is_the_one_that_listens_on_its_port(tmp_path: Path) -> None:
    # 8001 is 1F41. Who is connected to it, or listens on another port, isn't the server.
    listening(
        tmp_path,
        ("0100007F:1F41", "0A", 500),
        ("0100007F:1F41", "01", 501),
        ("0100007F:1F42", "0A", 502),
    )
    process(tmp_path, 7, b"server", "socket:[500]", "pipe:[9]")
    process(tmp_path, 8, b"client", "socket:[501]", "socket:[502]")
    assert server_side(server("grpc://127.0.0.1:8001"), tmp_path).pids == (7,)
    assert server_side(server("grpc://localhost:8001"), tmp_path).pids == (7,)
    nobody = server_side(server("grpc://127.0.0.1:9"), tmp_path)
    assert (nobody.pids, nobody.why_not) == (
        (),
        "nobody listens on its port, or it isn't this user's process",
    )


def test_descriptors_that_are_closed_meanwhile_hide_no_other(tmp_path: Path) -> None:
    listening(tmp_path, ("0100007F:1F41", "0A", 500))
    process(tmp_path, 7, b"server", "socket:[500]")
    for number in range(10, 20):
        # As one that has gone: it can't be read as a link.
        (tmp_path / "7" / "fd" / str(number)).touch()
    assert server_side(server("grpc://127.0.0.1:8001"), tmp_path).pids == (7,)


def test_another_machines_cant_be_seen(tmp_path: Path) -> None:
    # 192.0.2.0/24 is for documentation (RFC 5737): nobody has it.
    side = server_side(server("grpc://192.0.2.1:8001"), tmp_path)
    assert (side.pids, side.why_not) == ((), "192.0.2.1 is another machine")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_this_process_is_seen_as_who_listens(family: int) -> None:
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.socket(family) as listener:
        try:
            listener.bind((host, 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        listener.listen()
        shown = f"[{host}]" if ":" in host else host
        side = server_side(server(f"grpc://{shown}:{listener.getsockname()[1]}"))
    assert os.getpid() in side.pids


def test_what_is_said_holds_as_far_as_it_is_there(tmp_path: Path) -> None:
    spec = TargetSpec(TargetKind.PYTHON, "mine", "m:M", {"pids": "17,18"})
    for pid in ("17", "18"):
        (tmp_path / pid).mkdir()
    assert server_side(spec, tmp_path).pids == (17, 18)
    (tmp_path / "18").rmdir()
    assert server_side(spec, tmp_path).pids == (17,)
    (tmp_path / "17").rmdir()
    assert server_side(spec, tmp_path).why_not == "no process 17,18 runs"


@pytest.mark.parametrize("text", ["a", "17,", "-1", "1.5"])
def test_pids_are_numbers(text: str) -> None:
    spec = TargetSpec(TargetKind.PYTHON, "mine", "m:M", {"pids": text})
    with pytest.raises(UsageError, match="not numbers of processes such as 17,18"):
        server_side(spec)


def test_why_there_are_none_is_said() -> None:
    assert (
        "in the processes that make the load"
        in server_side(TargetSpec(TargetKind.ONNXRUNTIME, "here")).why_not
    )
    assert "--set pids=PID" in server_side(TargetSpec(TargetKind.PYTHON, "mine", "m:M")).why_not


def test_nobody_bears_a_name_that_nobody_has() -> None:
    assert titled("no program is called so") == ()
