"""The soak's verdict: what grows is called so, and what only moves isn't."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.soak.census import Census, Use, descriptors_of, is_zombie, take, use_of
from benchmarks.soak.growth import growth
from benchmarks.soak.verdict import Sample, allowed_kib, left_over, memory, shortcomings
from tests.system.stack import eventually

MOMENTS = [float(n) for n in range(120)]


def noisy(rise: float, noise: float, seed: int = 1) -> list[float]:
    """Values that rise by `rise` over all moments."""
    chance = random.Random(seed)
    return [1000 + rise * n / 119 + chance.gauss(0, noise) for n in MOMENTS]


# The line


def test_a_line_is_found_exactly() -> None:
    found = growth([0, 1, 2, 3], [5, 7, 9, 11])
    assert (found.grown, found.low, found.high) == pytest.approx((6, 6, 6))


def test_moments_need_no_even_distance() -> None:
    assert growth([0, 1, 5, 10], [0, 1, 5, 10]).grown == pytest.approx(10)


@pytest.mark.parametrize("seed", range(20))
def test_a_leak_amid_noise_is_seen(seed: int) -> None:
    found = growth(MOMENTS, noisy(4000, 500, seed))
    assert found.exceeds(2048)
    assert found.low < 4000 < found.high or abs(found.grown - 4000) < 600


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_is_none(seed: int) -> None:
    assert not growth(MOMENTS, noisy(0, 1500, seed)).exceeds(2048)


@pytest.mark.parametrize("seed", range(20))
def test_a_walk_that_comes_back_is_none(seed: int) -> None:
    """Samples that follow each other are alike: the plain interval would call these leaks."""
    chance, level, values = random.Random(seed), 0.0, []
    for _ in MOMENTS:
        level = 0.9 * level + chance.gauss(0, 400)
        values.append(level)
    assert not growth(MOMENTS, values).exceeds(2048)


def test_what_is_allowed_is_no_leak() -> None:
    assert not growth(MOMENTS, noisy(1500, 10)).exceeds(2048)
    assert growth(MOMENTS, noisy(2200, 10)).exceeds(2048)


def test_what_is_given_back_is_no_leak() -> None:
    assert not growth(MOMENTS, noisy(-9000, 100)).exceeds(0)


def test_the_interval_narrows_with_the_samples() -> None:
    few, many = growth(MOMENTS[::10], noisy(0, 500)[::10]), growth(MOMENTS, noisy(0, 500))
    assert few.high - few.low > many.high - many.low


@pytest.mark.parametrize(
    ("moments", "values"), [([1, 2, 3], [1, 2, 3]), ([1, 1, 1, 1], [1, 2, 3, 4]), ([1] * 5, [1])]
)
def test_too_little_is_no_line(moments: list[float], values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"needed|one moment"):
        growth(moments, values)


# The verdict

AT_REST = Census(
    roles={
        "manager": Use(10, 50_000, 8, 40_000, Counter(socket=5, file=9)),
        "listener": Use(11, 60_000, 9, 50_000, Counter(socket=7, memfd=1)),
    },
    processes=4,
    files=30,
    state_bytes=1 << 20,
)


def samples(kib_per_sample: float, role: str = "listener", calls: int = 1000) -> list[Sample]:
    made = []
    for n in range(60):
        use = AT_REST.roles[role]
        grown = replace(use, uss_kib=(use.uss_kib or 0) + round(n * kib_per_sample))
        census = replace(AT_REST, roles={**AT_REST.roles, role: grown})
        made.append(Sample(float(n), n * calls, n, census))
    return made


def test_what_stays_is_flat() -> None:
    assert shortcomings(samples(0), AT_REST, AT_REST) == []


def heavier(kib: int, role: str = "listener") -> Census:
    use = AT_REST.roles[role]
    grown = replace(use, uss_kib=(use.uss_kib or 0) + kib)
    return replace(AT_REST, roles={**AT_REST.roles, role: grown})


def test_memory_that_grows_with_the_calls_is_not() -> None:
    [said] = shortcomings(samples(500), AT_REST, heavier(29_500))
    assert said.startswith("listener: memory grew by 29500 KiB (29500 to 29500), 16384 are allowed")


def test_memory_that_load_alone_takes_is() -> None:
    assert shortcomings(samples(500), AT_REST, heavier(1000)) == []


def test_memory_of_a_process_that_is_gone_at_rest_is_judged_by_its_line() -> None:
    without = replace(AT_REST, roles={})
    grown = [said for said in shortcomings(samples(500), without, without) if "memory" in said]
    assert [said.split(":")[0] for said in grown] == ["listener"]


def without_listener(census: Census) -> Census:
    return replace(census, roles={"manager": census.roles["manager"]})


def another_listener(census: Census) -> Census:
    listener = replace(census.roles["listener"], pid=7)
    return replace(census, roles={**census.roles, "listener": listener})


@pytest.mark.parametrize("change", [without_listener, another_listener])
@pytest.mark.parametrize("where", ["before", "amid", "after"])
def test_what_is_judged_is_one_process_from_rest_to_rest(
    change: Callable[[Census], Census], where: str
) -> None:
    """Else one that is new would be judged while it warms up, and one that died for nothing."""
    before, made, after = AT_REST, samples(0), AT_REST
    if where == "before":
        before = change(before)
    elif where == "amid":
        made[30] = replace(made[30], census=change(made[30].census))
    else:
        after = change(after)
    [said] = shortcomings(made, before, after)
    assert said.startswith("listener: not one process throughout, but [")


def test_more_is_allowed_for_more_calls() -> None:
    many = samples(500, calls=50_000)
    assert allowed_kib("listener", many[0], many[-1]) == pytest.approx(59 * 50_000 * 1024 / 1e5)
    assert shortcomings(many, AT_REST, heavier(29_500)) == []


def test_the_manager_remembers_attaches_for_a_day() -> None:
    for kib, flat in ((1000, True), (1300, False)):
        made = [replace(one, attaches=one.attaches * 100) for one in samples(kib, "manager")]
        assert (shortcomings(made, AT_REST, heavier(kib * 59, "manager")) == []) == flat


def test_another_process_in_the_role_has_a_line_of_its_own() -> None:
    made = samples(0)
    old = replace(AT_REST.roles["listener"], pid=7, uss_kib=1)
    for n in range(30):
        roles = {**AT_REST.roles, "listener": old}
        made[n] = replace(made[n], census=replace(AT_REST, roles=roles))
    assert memory(made)["listener"][0].grown == 0


def more_sockets(census: Census) -> Census:
    use = census.roles["listener"]
    sockets = replace(use, descriptors=Counter(socket=8, memfd=1))
    return replace(census, roles={**census.roles, "listener": sockets})


def more_threads(census: Census) -> Census:
    use = replace(census.roles["manager"], threads=8 + 5)
    return replace(census, roles={**census.roles, "manager": use})


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda census: replace(census, zombies=1), "zombies"),
        (lambda census: replace(census, processes=5), "processes"),
        (lambda census: replace(census, shm=1), "shm"),
        (lambda census: replace(census, temp=1), "temp"),
        (lambda census: replace(census, files=43), "files"),
        (lambda census: replace(census, state_bytes=64 << 20), "state_bytes"),
        (more_sockets, "listener_descriptors"),
        (more_threads, "manager_threads"),
    ],
)
def test_what_is_left_is_named(change: Callable[[Census], Census], name: str) -> None:
    assert list(left_over(AT_REST, change(AT_REST), 0)) == [name]
    [said] = shortcomings(samples(0), AT_REST, change(AT_REST))
    assert said.startswith(f"{name}: ")


def test_less_is_no_shortcoming() -> None:
    less = replace(AT_REST, roles={"manager": replace(AT_REST.roles["manager"], threads=1)})
    assert left_over(AT_REST, replace(less, processes=1, files=1), 0) == {}


# The census

LEAKS = """
import os, socket, sys, threading
held = []
for line in sys.stdin:
    held.append(socket.socket() if line == "socket\\n" else os.memfd_create("left"))
    print("held", flush=True)
"""


@pytest.fixture
def leaky() -> Iterator[subprocess.Popen[str]]:
    """A process that keeps what it opens."""
    made = subprocess.Popen(
        [sys.executable, "-c", LEAKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield made
    made.kill()
    made.communicate()


def tell(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{word}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "held\n"


def test_a_descriptor_that_leaks_in_another_process_is_found(
    leaky: subprocess.Popen[str], tmp_path: Path
) -> None:
    tell(leaky, "socket")
    before = take({"worker": leaky.pid}, leaky.pid, tmp_path, tmp_path)
    for word in ("socket", "memfd", "socket"):
        tell(leaky, word)
    after = take({"worker": leaky.pid}, leaky.pid, tmp_path, tmp_path)
    assert left_over(before, after, 0) == {"worker_descriptors": 3, "supervisor_descriptors": 3}
    counted = descriptors_of(leaky.pid)
    assert counted
    assert (counted["socket"], counted["memfd"], counted["pipe"]) == (3, 1, 2)


def test_the_dead_that_nobody_waited_for_are_found(tmp_path: Path) -> None:
    child = subprocess.Popen(["true"])
    eventually(lambda: is_zombie(child.pid) or None, "it has ended")
    assert take({}, os.getpid(), tmp_path, tmp_path).zombies == 1
    child.wait()
    assert take({}, os.getpid(), tmp_path, tmp_path).zombies == 0
    assert use_of(child.pid) is None


LISTENER = """
import os, sys
if os.fork():
    print(os.getpid(), flush=True)
sys.stdin.read()
"""
# What stands for a supervisor: other tests have pools that descend from this process.
SUPERVISOR = """
import subprocess, sys
subprocess.run(["eais-listener", "-c", sys.argv[1]], executable=sys.executable)
"""


def test_a_child_that_is_no_program_of_its_own_yet_is_not_its_parent(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SUPERVISOR, LISTENER]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as supervisor:
        assert supervisor.stdout
        listener = int(supervisor.stdout.readline())
        found = take({}, supervisor.pid, tmp_path, tmp_path)
    assert found.processes == 2
    assert found.roles["listener"].pid == listener


def test_files_are_counted_by_what_they_are(tmp_path: Path) -> None:
    state, temp = tmp_path / "state", tmp_path / "tmp"
    for folder in (state / "listener" / "store", temp):
        folder.mkdir(parents=True)
    (state / "manager.log").write_bytes(b"x" * 10)
    (state / "listener" / "store" / "model").write_bytes(b"x" * 100)
    (state / "ready.json").write_bytes(b"x" * 1000)
    (temp / "left").touch()
    found = take({}, os.getpid(), state, temp)
    assert (found.log_bytes, found.temp) == (10, 1)
    assert found.store_bytes >= 100
    assert found.files == 2  # ready.json and the listener's folder
    assert not math.isclose(found.state_bytes, 0)
