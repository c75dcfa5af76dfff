"""How a process becomes a confined worker, and when it refuses to."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from eais_server.isolation import probe_level

ENVIRONMENT = {"LANG": "C.UTF-8"}
DATA_BYTES = 1 << 30
CAP_DAC_READ_SEARCH = 1 << 2

CONFINE = """
import json, os, resource, sys
from pathlib import Path
from eais_server.isolation import WorkerConfinement, WorkerLimits, confine

def start(level, own, parent, keep=(), secrets=()):
    limits = WorkerLimits(data_bytes=1 << 30, open_files=128, log_bytes=1000)
    return confine(WorkerConfinement(
        work_dir=Path(own), parent_pid=int(parent), level=int(level),
        keep_fds=tuple(keep), secret_roots=tuple(map(Path, secrets)), limits=limits,
    ))
"""

LEVELS = [1, pytest.param(2, marks=pytest.mark.skipif(probe_level().level < 2, reason="level 1"))]


def run(
    code: str,
    *arguments: object,
    pass_fds: Sequence[int] = (),
    environment: dict[str, str] | None = None,
    stderr: Any = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    """Run CONFINE and `code` in a child, as a spawner would."""
    return subprocess.run(
        [sys.executable, "-I", "-c", CONFINE + code, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        pass_fds=pass_fds,
        env=environment or ENVIRONMENT,
        text=True,
        check=False,
    )


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.strip().splitlines()[-1]


REPORT = """
import ctypes
level, own, parent, keep = sys.argv[1:]
status = os.open("/proc/self/status", os.O_RDONLY)
found = {"level": start(level, own, parent, [status, *json.loads(keep)])}
lines = os.pread(status, 1 << 16, 0).decode().splitlines()
fields = dict(line.split(":", 1) for line in lines)
found |= {name: fields[name].strip() for name in ("NoNewPrivs", "CapEff", "CapPrm", "Seccomp")}
os.close(status)
libc = ctypes.CDLL(None)
signal = ctypes.c_int()
libc.prctl(2, ctypes.byref(signal))
found["death signal"] = signal.value
found["dumpable"] = libc.prctl(3)
found["folder"] = os.getcwd()
found["umask"] = os.umask(0)
kinds = ("CORE", "NOFILE", "FSIZE", "DATA")
found["limits"] = {kind: resource.getrlimit(getattr(resource, f"RLIMIT_{kind}")) for kind in kinds}
def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
found["open"] = [fd for fd in range(4096) if is_open(fd)]
print(json.dumps(found))
"""


@pytest.mark.parametrize("level", LEVELS)
def test_what_a_confined_process_is_like(level: int, tmp_path: Path) -> None:
    kept, closed = os.pipe()
    arguments = (level, tmp_path, os.getpid(), json.dumps([kept]))
    found = json.loads(run(REPORT, *arguments, pass_fds=(kept, closed)).stdout)
    os.close(kept)
    os.close(closed)
    assert found.pop("limits") == {
        "CORE": [0, 0],
        "NOFILE": [128, 128],
        "FSIZE": [1000, 1000],
        "DATA": [DATA_BYTES, DATA_BYTES],
    }
    assert int(found.pop("CapEff"), 16) & ~CAP_DAC_READ_SEARCH == 0
    assert int(found.pop("CapPrm"), 16) & ~CAP_DAC_READ_SEARCH == 0
    assert found == {
        "level": level,
        "NoNewPrivs": "1",
        "Seccomp": "2" if level == 2 else found["Seccomp"],
        "death signal": 9,
        "dumpable": 0,
        "folder": str(tmp_path),
        "umask": 0o077,
        "open": [0, 1, 2, kept],
    }


RAISE = """
level, own, parent = sys.argv[1:]
start(level, own, parent)
resource.setrlimit(resource.RLIMIT_NOFILE, (129, 129))
"""


@pytest.mark.parametrize("level", LEVELS)
def test_limits_are_not_raised_again_even_by_root(level: int, tmp_path: Path) -> None:
    done = run(RAISE, level, tmp_path, os.getpid())
    assert "not allowed to raise maximum limit" in last_line(done)


LOG = """
level, own, parent = sys.argv[1:]
start(level, own, parent)
print(os.write(2, b"x" * 4000))
"""


def test_a_log_that_is_already_long_may_grow_by_the_limit(tmp_path: Path) -> None:
    own, log = tmp_path / "w1", tmp_path / "log"
    own.mkdir()
    log.write_bytes(b"-" * 5000)
    with log.open("ab") as file:
        done = run(LOG, 1, own, os.getpid(), stderr=file)
    assert done.stdout == "1000\n"
    assert log.stat().st_size == 6000


START = """
level, own, parent = sys.argv[1:]
start(level, own, parent)
"""


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        ("import numpy", "NotPristine: already imported: numpy"),
        ("import grpc", "NotPristine: already imported: grpc"),
        (
            "import threading as t; t.Thread(target=t.Event().wait, daemon=True).start()",
            "NotPristine: 2 threads are running",
        ),
        ("Path(sys.argv[2], 'x').touch()", "NotPristine: the work directory isn't an empty"),
        ("os.rmdir(sys.argv[2])", "NotPristine: the work directory isn't an empty directory"),
    ],
)
def test_a_process_that_has_begun_to_work_is_not_confined(
    before: str, reason: str, tmp_path: Path
) -> None:
    own = tmp_path / "w1"
    own.mkdir()
    done = run(f"\n{before}\n{START}", 1, own, os.getpid())
    assert reason in last_line(done)


def test_a_variable_too_many_is_named_but_not_its_value(tmp_path: Path) -> None:
    environment = {**ENVIRONMENT, "SECRET": "hunter2"}
    done = run(START, 1, tmp_path, os.getpid(), environment=environment)
    assert "NotPristine: environment not cleared: SECRET" in last_line(done)
    assert "hunter2" not in done.stderr


def test_secrets_among_the_libraries_make_level_2_unavailable(tmp_path: Path) -> None:
    if probe_level().level < 2:
        pytest.skip("level 1")
    code = (
        "\nlevel, own, parent = sys.argv[1:]\nstart(level, own, parent, (), [sys.prefix + '/lib'])"
    )
    done = run(code, 2, tmp_path, os.getpid())
    assert "IsolationUnavailable" in last_line(done)
    assert "which every worker must read" in last_line(done)


def test_a_unix_datagram_socket_is_not_kept(tmp_path: Path) -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        code = "\nlevel, own, parent, fd = sys.argv[1:]\nstart(level, own, parent, [int(fd)])"
        done = run(code, 1, tmp_path, os.getpid(), left.fileno(), pass_fds=(left.fileno(),))
    assert "is a unix datagram socket" in last_line(done)


def test_an_orphan_does_not_start(tmp_path: Path) -> None:
    done = run(START, 1, tmp_path, os.getppid())
    assert "ParentGone" in last_line(done)


WAIT = """
level, own, parent = sys.argv[1:]
start(level, own, parent)
print(os.getpid(), flush=True)
os.read(0, 1)
"""

SPAWN_AND_WAIT = """
import os, subprocess, sys
subprocess.Popen([sys.executable, "-I", "-c", sys.argv[1], "1", sys.argv[2], str(os.getpid())],
                 env={"LANG": "C.UTF-8"})
os.read(0, 1)
os.abort()
"""


def test_a_worker_dies_with_its_parent(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-c", SPAWN_AND_WAIT, CONFINE + WAIT, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as parent:
        assert parent.stdout is not None
        worker = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
        exited, _, _ = select.select([worker], [], [], 30)
        os.close(worker)
    assert exited == [worker]
