"""`eais run` on a real pool: unchanged programs, in each way that programs are started."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import onnxruntime
import pytest

from eais.rpc import verbs
from eais.rpc.v1 import pool_pb2
from eais_client.run.environment import SITE
from tests.bare_python import bare_python
from tests.system.stack import Stack, op
from tests.system.terminal import PROGRAM, Terminal

MUL = Path(onnxruntime.__file__).parent / "datasets" / "mul_1.onnx"
ANSWER = "[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]\n"
SESSION = """
import os
import numpy as np
from onnxruntime import InferenceSession

def answer(session=None):
    session = session or InferenceSession(os.environ["MODEL"], providers=["CPUExecutionProvider"])
    assert type(session).__module__.startswith("eais_client"), type(session)
    return session.run(None, {"X": np.ones((3, 2), np.float32)})[0].tolist()
"""
FILES = {
    "answering.py": SESSION,
    "double.py": "import answering\nprint(answering.answer())\n",
    "parent.py": """
import subprocess, sys
sys.exit(subprocess.run([sys.executable, "double.py"]).returncode)
""",
    "pool.py": """
import multiprocessing, sys
import onnxruntime
import answering

def work(number):
    return answering.answer()

if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        first, second = pool.map(work, range(2))
    assert first == second
    print(first)
""",
    # As servers do that import in the master and serve in the children.
    "prefork.py": """
import os
import onnxruntime as ort
import answering

ort.get_available_providers()
children = []
for _ in range(2):
    children.append(os.fork())
    if children[-1] == 0:
        assert answering.answer() == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
        os._exit(0)
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
print(answering.answer())
""",
    "forked.py": """
import os, sys
import answering

session = answering.InferenceSession(os.environ["MODEL"])
child = os.fork()
if child == 0:
    try:
        answering.answer(session)
    except Exception as error:
        print(error.reason, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(answering.answer(session))
""",
    "errors.py": """
import concurrent.futures, multiprocessing
from onnxruntime import InferenceSession
from onnxruntime.capi.onnxruntime_pybind11_state import NoSuchFile

if __name__ == "__main__":
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        try:
            pool.submit(InferenceSession, "nowhere.onnx").result()
        except NoSuchFile as error:
            print(error)
""",
    "wrapped.py": """
import multiprocessing, os
import onnxruntime as ort
import answering

class Picklable(ort.InferenceSession):
    def __init__(self, path, **named):
        super().__init__(path, **named)
        self.path = path
    def __getstate__(self):
        return {"path": self.path}
    def __setstate__(self, state):
        self.__init__(state["path"])

def run(session):
    return answering.answer(None) if isinstance(session, ort.InferenceSession) else None

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(run, (Picklable(os.environ["MODEL"], providers=["B"]),)))
""",
}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python without onnxruntime."""
    return str(bare_python(tmp_path_factory.mktemp("bare"), without="onnxruntime"))


@pytest.fixture(scope="module")
def user(stack: Stack, tmp_path_factory: pytest.TempPathFactory, bare: str) -> Iterator[Terminal]:
    """A user with one instance attached, and programs in the home folder."""
    home = tmp_path_factory.mktemp("home")
    for name, text in FILES.items():
        (home / name).write_text(text)
    script = home / "console-script"
    script.write_text(f"#!{bare}\nimport sys\n{FILES['double.py']}")
    script.chmod(0o755)
    made = stack.ask(verbs.POOL_ATTACH, pool_pb2.AttachRequest(op_id=op(), type="cpu.1")).instance
    yield Terminal(home, {"EAIS_CONFIG_DIR": str(stack.config), "MODEL": str(MUL)})
    stack.ask(verbs.POOL_DETACH, pool_pb2.InstanceRequest(op_id=op(), instance=made.id))


def run(user: Terminal, *command: str) -> str:
    """What the program prints below `eais run`, which must do well and say nothing else."""
    done = user.run("run", "--", *command, timeout_s=300)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    "command",
    [
        ["PYTHON", "double.py"],
        ["PYTHON", "-m", "double"],
        ["PYTHON", "-c", "import double"],
        ["./console-script"],
        ["PYTHON", "parent.py"],
        ["sh", "-c", "PYTHON double.py | cat"],
        ["PYTHON", "pool.py", "spawn"],
        ["PYTHON", "pool.py", "forkserver"],
        ["PYTHON", "pool.py", "fork"],
        ["PYTHON", "prefork.py"],
        ["PYTHON", "wrapped.py"],
    ],
    ids=lambda command: " ".join(command[1:]) or command[0],
)
def test_a_program_uses_the_pool_however_it_is_started(
    user: Terminal, bare: str, command: list[str]
) -> None:
    assert run(user, *[word.replace("PYTHON", bare) for word in command]) == ANSWER


def test_a_program_whose_environment_has_onnxruntime_uses_the_pool(user: Terminal) -> None:
    assert run(user, sys.executable, "double.py") == ANSWER


def test_a_child_forked_after_a_session_is_told_so(user: Terminal, bare: str) -> None:
    assert run(user, bare, "-W", "ignore", "forked.py") == f"FORKED\n{ANSWER}"


def test_errors_go_from_a_pools_process_to_the_programs(user: Terminal, bare: str) -> None:
    said = run(user, bare, "errors.py")
    assert said.startswith("[ONNXRuntimeError] : 3 : NO_SUCHFILE : Load model from nowhere.onnx")


def test_the_program_is_the_process(user: Terminal, bare: str) -> None:
    code = "import os, sys; print(os.getpid(), sys.stdin.read()); sys.stdout.flush(); os.abort()"
    process = subprocess.Popen(
        [PROGRAM, "run", "--", bare, "-c", code],
        env=user.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    said, _ = process.communicate("typed", timeout=120)
    assert said == f"{process.pid} typed\n"
    assert process.returncode == -signal.SIGABRT


def test_a_signal_reaches_the_program(user: Terminal, bare: str) -> None:
    code = "print('up', flush=True); import signal; signal.pause()"
    process = user.start("run", "--", bare, "-c", code)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.terminate()
    assert process.wait(60) == -signal.SIGTERM
    process.communicate()


def test_the_exit_code_is_the_programs(user: Terminal, bare: str) -> None:
    assert user.run("run", "--", bare, "-c", "import sys; sys.exit(37)").returncode == 37


SHOW = """
import json, os, sys
print(json.dumps([dict(os.environ), sorted(os.listdir("/proc/self/fd")), sys.path, sys.argv]))
"""


def test_the_programs_surroundings_are_its_own(user: Terminal, bare: str) -> None:
    plain = subprocess.run(
        [bare, "-c", SHOW, "-o", "--", "x"],
        env=user.environ,
        cwd=user.home,
        capture_output=True,
        text=True,
        check=True,
    )
    before, fds, path, argv = json.loads(plain.stdout)
    environ, fds_below, path_below, argv_below = json.loads(
        run(user, bare, "-c", SHOW, "-o", "--", "x")
    )
    assert (fds_below, path_below, argv_below) == (fds, path, argv)
    assert environ == {**before, "PYTHONPATH": SITE, "EAIS_PROVIDERS": "pool"}


def test_nothing_is_left_in_the_programs_environment(user: Terminal, bare: str) -> None:
    place = Path(bare).parents[1]

    def listing() -> dict[str, float]:
        # The links aside: what they lead to is this environment, which other tests use.
        found = (Path(folder, name) for folder, _, names in os.walk(place) for name in names)
        return {str(path): path.lstat().st_mtime for path in found}

    before = listing()
    assert run(user, bare, "double.py") == ANSWER
    assert listing() == before


def test_without_an_instance_the_first_session_says_so(user: Terminal, bare: str) -> None:
    elsewhere = Terminal(user.home, {**user.more, "EAIS_CONFIG_DIR": str(user.temp)})
    checked = elsewhere.run("run", "--", bare, "double.py")
    assert checked.returncode == 2
    assert checked.stderr.startswith("error: NOT_ATTACHED: no pool is known here")
    unchecked = elsewhere.run("run", "--no-check", "--", bare, "double.py")
    assert unchecked.returncode == 1
    assert "UsageError: NOT_ATTACHED: no pool is known here" in unchecked.stderr


def test_with_a_fall_back_it_runs_here_while_nobody_answers(
    user: Terminal, stack: Stack, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    shutil.copytree(stack.config, config)
    manager = stack.endpoint("user")
    contexts = (config / "config.toml").read_text()
    nobody = contexts.replace(f'"{manager.address}:{manager.port}"', '"127.0.0.1:1"')
    assert nobody != contexts
    (config / "config.toml").write_text(nobody)
    alone = Terminal(user.home, {**user.more, "EAIS_CONFIG_DIR": str(config)})
    program = ["--", sys.executable, "double.py"]
    without = alone.run("run", *program, timeout_s=300)
    assert without.returncode == 4
    assert without.stderr.startswith("error: POOL_UNREACHABLE: ")
    done = alone.run("run", "--fallback", "local", *program, timeout_s=300)
    assert (done.returncode, done.stdout) == (0, ANSWER), done.stderr
    assert "sessions run in process until the pool can be reached" in done.stderr


def test_a_run_below_a_run_is_one(user: Terminal, bare: str) -> None:
    said = run(user, "sh", "-c", f"{PROGRAM} version; {PROGRAM} run -- {bare} double.py")
    assert said.splitlines()[1:] == ANSWER.splitlines()
