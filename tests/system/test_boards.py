"""A board with shell and role in a pool: what is loaded there, for whom, and when it breaks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest

from tests.system.stack import eventually
from tests.system.team import Team, team_at
from tests.system.terminal import Terminal

DATASETS = Path(ort.__file__).parent / "datasets"
MODEL, OTHER, THIRD = (DATASETS / f"{name}.onnx" for name in ("mul_1", "sigmoid", "logreg_iris"))
# A slow machine takes its time for each worker, one after another.
LONG_S = 240.0
SETTINGS = """
[manager]
enrolment_port = 0
[listener]
cpu_cores = 2
fpga_images = "{root}/images"
fpga_keys = "{root}/operator.pem.pub"
"""
# Keeps a session, and says what it answers for each line that it is sent; or the error.
ASK = """
import sys, numpy, onnxruntime, eais
def ask(session):
    [value] = session.get_inputs()
    feed = {value.name: numpy.random.default_rng(1).standard_normal(value.shape, numpy.float32)}
    return session.run([session.get_outputs()[0].name], feed)[0].tobytes().hex()
right = ask(onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"]))
try:
    session = eais.InferenceSession(sys.argv[1])
    for _ in sys.stdin:
        print("right" if ask(session) == right else "wrong", flush=True)
except Exception as error:
    print(str(error).replace("\\n", " "), flush=True)
"""


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    root = tmp_path_factory.mktemp("boards")
    sign(root, "new-key", f"{root}/operator.pem")
    for model in (MODEL, THIRD):
        words = ("--key", f"{root}/operator.pem", "--model", str(model), "--load-ms", "300")
        sign(root, "image", *words, "--into", f"{root}/images")
    settings, tenants = SETTINGS.format(root=root), ("acme", "globex")
    with team_at(root, "127.0.0.93", settings, "--simulate", "board=1", tenants=tenants) as made:
        yield made


@pytest.fixture(scope="module")
def ada(team: Team) -> Terminal:
    return team.user("ada", "acme")


@pytest.fixture(scope="module")
def bob(team: Team) -> Terminal:
    return team.user("bob", "globex")


def sign(root: Path, *words: str) -> None:
    command = [sys.executable, "-m", "eais_server.devices.fpga.sign", *words]
    subprocess.run(command, cwd=root, check=True, capture_output=True)


@contextmanager
def attached(user: Terminal, kind: str) -> Iterator[dict[str, Any]]:
    made = user.data("attach", "--type", kind)
    try:
        yield made
    finally:
        assert user.data("detach", str(made["id"]))["state"] == "DELETED"


class Asker:
    """A program that has a session."""

    def __init__(self, user: Terminal, model: Path) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-c", ASK, str(model)],
            env=user.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self) -> str:
        """What one call gives."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.write("\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            pass  # it has said why
        return self._child.stdout.readline().strip()

    def end(self) -> str:
        """Its last words."""
        return self._child.communicate(timeout=60)[0].strip()


def asked(user: Terminal, model: Path = MODEL) -> str:
    program = Asker(user, model)
    try:
        return program.ask()
    finally:
        program.end()


def processes(title: str) -> dict[int, str]:
    """Those of this machine with such a title."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if words.startswith(title):
            found[int(path.parent.name)] = words
    return found


def below(team: Team, title: str) -> list[int]:
    """Those whose listener is the team's."""
    said = (team.operator.pools / "local" / "listener" / "lock").stat()
    listener = [pid for pid in processes("eais-listener") if _holds(pid, said)]
    return [pid for pid in processes(title) if _parent(pid) in listener]


def _holds(pid: int, lock: os.stat_result) -> bool:
    try:
        found = [path.stat() for path in Path(f"/proc/{pid}/fd").iterdir() if path.exists()]
    except OSError:
        return False
    return any((each.st_dev, each.st_ino) == (lock.st_dev, lock.st_ino) for each in found)


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def test_a_model_with_an_image_is_answered_as_the_cpu_would(team: Team, ada: Terminal) -> None:
    with attached(ada, "fpga.1-2") as made:
        [worker] = made["workers"]
        assert (worker["device"], worker["simulated"]) == ("fpga0", True)
        assert asked(ada) == "right"
        assert "IMAGE_MISSING" in asked(ada, OTHER)
        assert "QUOTA" in asked(ada, THIRD)
        assert asked(ada) == "right"
    with attached(ada, "fpga"):
        assert asked(ada, THIRD) == "right"


def test_each_tenant_has_a_region(team: Team, ada: Terminal, bob: Terminal) -> None:
    with attached(ada, "fpga.1-2"), attached(bob, "fpga.1-2"):
        assert asked(ada) == asked(bob) == "right"
        assert asked(bob) == "right"
        refused = ada.run("attach", "--type", "fpga.1-2")
        assert "NO_DEVICE" in refused.stderr


def profiled(user: Terminal, model: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What was measured on boards, and what wasn't."""
    data = user.data("profile", str(model), timeout_s=LONG_S)
    boards = [each for each in data["profiles"] if each["kind"] == "fpga"]
    return boards, [each for each in data["unmeasured"] if each["kind"] == "fpga"]


def test_a_model_is_measured_on_a_board_that_nobody_uses(team: Team, ada: Terminal) -> None:
    found, unmeasured = profiled(ada, MODEL)
    assert not unmeasured
    assert {(each["runtime"], each["simulated"]) for each in found} == {("role", True)}

    def half_measured() -> bool | None:
        """A slow machine needs more than the time that one asking is given."""
        shares = {each["share_milli"] for each in profiled(ada, MODEL)[0] if each["points"]}
        return True if 500 in shares else None

    eventually(half_measured, "half of a board is measured", LONG_S)
    # It holds nothing any more.
    with attached(ada, "fpga"):
        assert asked(ada) == "right"


def ready_milli(team: Team, model: Path) -> int:
    """The largest share of the board that has the model's image now."""
    [board] = [d for d in team.operator.data("devices")["devices"] if d["id"] == "fpga0"]
    digest = sha256(model.read_bytes()).hexdigest()
    [load] = [each for each in board["loads"] if each["model"] == digest]
    assert load["load_s"] == 0.3
    return int(load["ready_milli"])


def test_when_a_board_is_ready_is_part_of_the_choice(team: Team, ada: Terminal) -> None:
    profiled(ada, MODEL)
    with attached(ada, "fpga"):
        assert asked(ada, MODEL) == "right"
    eventually(lambda: ready_milli(team, MODEL) == 1000 or None, "both regions have it")
    with attached(ada, "auto") as made:
        said = ada.data("explain", str(made["id"]))
        [half] = [each for each in said["weighed"] if each.startswith("fpga.1-2 ")]
        assert half.endswith("; the model's image is loaded there")
    with attached(ada, "fpga"):
        assert asked(ada, THIRD) == "right"
    eventually(lambda: ready_milli(team, THIRD) == 1000 or None, "they have another")
    # The model that was opened last is another now, of which nothing was measured.
    with attached(ada, "auto") as made:
        said = ada.data("explain", str(made["id"]))
        [half] = [each for each in said["weighed"] if each.startswith("fpga.1-2 ")]
        assert half.endswith("; ready in 0.3 s")


def test_what_has_no_image_is_not_measured_on_a_board_and_that_is_not_kept(
    team: Team, ada: Terminal
) -> None:
    found, [unmeasured] = profiled(ada, OTHER)
    assert not found
    assert unmeasured["why"] == "it has no image of this model"


def test_a_board_of_which_somebody_has_a_region_is_left_alone(
    team: Team, ada: Terminal, bob: Terminal
) -> None:
    with attached(bob, "fpga.1-2"):
        assert asked(bob, THIRD) == "right"
        _, [unmeasured] = profiled(ada, MODEL)
        assert unmeasured["why"] == "it isn't idle"
        assert asked(bob, THIRD) == "right"


def test_the_next_worker_takes_the_region_up(team: Team, ada: Terminal) -> None:
    with attached(ada, "fpga.1-2") as made:
        program = Asker(ada, MODEL)
        assert program.ask() == "right"
        [pid] = below(team, f"eais-worker {made['id']}")
        os.kill(pid, signal.SIGKILL)
        assert program.ask() == "right"
        [after] = below(team, f"eais-worker {made['id']}")
        assert after != pid
        program.end()


def test_a_board_that_dies_is_started_again_and_answers_but_not_for_ever(
    team: Team, ada: Terminal
) -> None:
    with attached(ada, "fpga.1-2"):
        program = Asker(ada, MODEL)
        for _ in range(2):
            assert program.ask() == "right"
            [board] = below(team, "eais-board")
            os.kill(board, signal.SIGKILL)
            eventually(partial(other_than, team, board), "another board is there")
            assert program.ask() == "right"
            eventually(lambda: is_health(team, "ok"), "it is healthy")
        [board] = below(team, "eais-board")
        os.kill(board, signal.SIGKILL)
        eventually(lambda: is_health(team, "bad"), "it is bad")
        program.end()
    refused = ada.run("attach", "--type", "fpga.1-2")
    assert refused.stderr.startswith("error: NO_DEVICE: ")
    assert team.operator.run("host", "uncordon", "local", "fpga0").returncode == 0
    with attached(ada, "fpga.1-2"):
        assert asked(ada) == "right"


def other_than(team: Team, board: int) -> bool | None:
    return any(pid != board for pid in below(team, "eais-board")) or None


def is_health(team: Team, word: str) -> bool | None:
    [board] = [d for d in team.operator.data("devices")["devices"] if d["id"] == "fpga0"]
    return board["health"] == word or None


def pair(found: list[int]) -> list[int] | None:
    return found if len(found) == 2 else None


def test_nothing_of_it_is_left(tmp_path: Path) -> None:
    """After `pool down`, of a pool whose boards are whole."""
    sign(tmp_path, "new-key", f"{tmp_path}/operator.pem")
    settings = SETTINGS.format(root=tmp_path)
    with team_at(tmp_path, "127.0.0.94", settings, "--simulate", "board=2") as team:
        # A process has its title soon after it was started.
        boards = eventually(lambda: pair(below(team, "eais-board")), "there are two boards")
        workers = below(team, "eais-worker")
        assert workers
    gone = [*boards, *workers]
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in gone), "all have ended")
