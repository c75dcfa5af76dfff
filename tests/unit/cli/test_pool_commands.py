from __future__ import annotations

import json
import os
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eais.device_type import devices_text
from eais.errors import ConfigError, make_error
from eais_client.cli.completion import complete_instances
from eais_client.cli.local_pool import check_installed, read_ready
from eais_client.cli.testing import CONTEXT, DEVICE, STATUS, FakeOutside, FakeProcess
from eais_client.pool_status import ModelLoad, ShareUse

READY = {
    "pool": "local-5f3a9c1e",
    "user": {"address": "127.64.16.1", "port": 40117, "server_name": "x"},
    "management": {"address": "127.64.16.1", "port": 40118, "server_name": "x"},
    "enrolment": {"address": "127.64.16.1", "port": 7443, "server_name": "x"},
}


def state_dir(outside: FakeOutside, name: str = "local") -> Path:
    return outside.home / ".local/state/eais/pools" / name


def be_ready(outside: FakeOutside, name: str = "local") -> None:
    folder = state_dir(outside, name)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "ready.json").write_text(json.dumps(READY))


def log(outside: FakeOutside, program: str, text: str) -> None:
    with (state_dir(outside) / f"{program}.log").open("a") as file:
        file.write(text)


def that_comes_up(outside: FakeOutside) -> FakeOutside:
    outside.processes.on_spawn = lambda process: be_ready(outside)
    return outside


def that_fails(outside: FakeOutside, program: str, line: str) -> FakeOutside:
    def fail(process: FakeProcess) -> None:
        log(
            outside,
            "supervisor",
            f"2026-01-01T00:00:00Z eais-supervisor {program} ended with 2\n" * 3,
        )
        log(outside, program, f"error: STATE_DIR: an older line\n{line}")

    outside.processes.on_spawn = fail
    return outside


def test_up_starts_the_supervisor_and_writes_the_context(nowhere: FakeOutside) -> None:
    said = that_comes_up(nowhere).run("pool", "up")
    assert said.code == 0
    assert said.out.startswith("pool local is up\n\nPool:        local-5f3a9c1e (context local)\n")
    [(command, _)] = nowhere.processes.spawned
    assert command[1:] == [
        *("-m", "eais_pool.supervisor", "--state-dir", str(state_dir(nowhere))),
        *("--owner-dir", str(nowhere.home / ".config/eais/contexts/local")),
    ]
    listed = nowhere.store.read()
    assert listed.current == "local"
    assert listed.contexts["local"] == replace(CONTEXT, state_dir=str(state_dir(nowhere)))


def test_up_again_is_harmless(nowhere: FakeOutside) -> None:
    that_comes_up(nowhere).run("pool", "up")
    said = nowhere.run("pool", "up", "-o", "json")
    assert (said.code, said.data["started"]) == (0, False)
    assert len(nowhere.processes.spawned) == 1


def test_flags_that_come_too_late_are_said(nowhere: FakeOutside) -> None:
    that_comes_up(nowhere).run("pool", "up")
    said = nowhere.run("pool", "up", "--cpu-cores", "2", "-o", "json")
    assert said.err == "note: the pool was up already; no effect: --cpu-cores\n"
    assert said.data["started"] is False


@pytest.mark.parametrize("verb", [("list",), ("attach", "--type", "cpu"), ("devices",)])
def test_a_pool_of_this_machine_that_is_down_is_not_asked(
    nowhere: FakeOutside, verb: tuple[str, ...]
) -> None:
    that_comes_up(nowhere).run("pool", "up")
    nowhere.run("pool", "down")
    said = nowhere.run(*verb)
    assert said.code == 4
    assert said.err == (
        "error: POOL_NOT_RUNNING: pool 'local' isn't running on this machine (eais pool up)\n"
    )
    assert complete_instances(nowhere.outside(), "", "") == []


def test_up_does_not_take_the_current_context_away(eais: FakeOutside) -> None:
    eais.processes.on_spawn = lambda process: be_ready(eais, "second")
    assert eais.run("pool", "up", "--name", "second").code == 0
    assert eais.store.read().current == "local"


def test_up_passes_its_flags_on(nowhere: FakeOutside) -> None:
    config = nowhere.home / "pool.toml"
    config.write_text("")
    that_comes_up(nowhere)
    nowhere.status = replace(STATUS, hosts=())
    said = nowhere.run("pool", "up", "--cpu-cores", "2", "--no-listener", "--config", str(config))
    assert said.code == 0
    assert "eais pool listener" in said.out
    [(command, environ)] = nowhere.processes.spawned
    assert command[-3:] == ["--config", str(config), "--no-listener"]
    assert environ["EAIS_CPU_CORES"] == "2"


def test_an_address_is_passed_on_and_where_to_join_is_said(nowhere: FakeOutside) -> None:
    said = that_comes_up(nowhere).run("pool", "up", "--bind", "10.1.2.3")
    assert said.code == 0
    assert "Joining:     at 127.64.16.1:7443, with a token of `eais token create`\n" in said.out
    [(command, _)] = nowhere.processes.spawned
    assert command[-2:] == ["--bind", "10.1.2.3"]
    assert nowhere.run("pool", "status", "-o", "json").data["enrolment"] == "127.64.16.1:7443"
    again = nowhere.run("pool", "up", "--bind", "10.1.2.4")
    assert again.err == "note: the pool was up already; no effect: --bind\n"


def test_in_the_foreground_the_pool_is_bound_to_the_command(nowhere: FakeOutside) -> None:
    def end_later(process: FakeProcess) -> None:
        be_ready(nowhere)
        process.ends_after_waits = 3

    nowhere.processes.on_spawn = end_later
    assert nowhere.run("pool", "up", "--foreground").code == 0
    [(command, _)] = nowhere.processes.spawned
    assert command[-2:] == ["--parent-pid", str(os.getpid())]


def test_up_in_a_state_dir_is_found_again_by_name(nowhere: FakeOutside) -> None:
    folder = nowhere.home / "elsewhere"
    folder.mkdir(mode=0o700)
    nowhere.processes.on_spawn = lambda process: None
    (folder / "ready.json").write_text("{}")

    def ready(process: FakeProcess) -> None:
        (folder / "ready.json").unlink()
        (folder / "ready.json").write_text(json.dumps(READY))

    nowhere.processes.on_spawn = ready
    assert nowhere.run("pool", "up", "--state-dir", str(folder)).code == 0
    assert nowhere.run("pool", "down", "-o", "json").data["state_dir"] == str(folder)


@pytest.mark.parametrize("program", ["manager", "listener"])
def test_a_program_that_keeps_failing_says_why_and_is_stopped(
    nowhere: FakeOutside, program: str
) -> None:
    that_fails(nowhere, program, "error: CONFIG: [manager] no such key (see docs)\n")
    if program == "listener":
        fail = nowhere.processes.on_spawn

        def serve_then_fail(process: FakeProcess) -> None:
            be_ready(nowhere)
            fail(process)

        nowhere.processes.on_spawn = serve_then_fail
        nowhere.status = replace(STATUS, hosts=())
    said = nowhere.run("pool", "up")
    assert said.code == 2
    assert said.err == "error: CONFIG: [manager] no such key (see docs)\n"
    assert nowhere.processes.supervisor is not None
    assert nowhere.processes.supervisor.signals == ["TERM"]


def test_a_manager_that_dies_without_a_word(nowhere: FakeOutside) -> None:
    said = that_fails(nowhere, "manager", "").run("pool", "up")
    assert said.code == 2  # the older line is this start's: all that the log says
    nowhere.processes.on_spawn = lambda process: log(
        nowhere, "supervisor", "z eais-supervisor manager ended with -11\n" * 3
    )
    said = nowhere.run("pool", "up")
    assert said.code == 5
    assert said.err.startswith("error: PROCESS_FAILED: the pool's manager doesn't stay up (see ")


def test_a_pool_that_never_gets_ready_is_stopped_after_a_minute(nowhere: FakeOutside) -> None:
    said = nowhere.run("pool", "up")
    assert said.code == 5
    assert "isn't ready after 60 s" in said.err
    assert 60 <= nowhere.clock.now < 61
    assert nowhere.run("pool", "status").code == 4


def test_a_stubborn_supervisor_is_killed(nowhere: FakeOutside) -> None:
    def stubborn(process: FakeProcess) -> None:
        process.stubborn = True

    nowhere.processes.on_spawn = stubborn
    nowhere.run("pool", "up")
    assert nowhere.processes.supervisor is not None
    assert nowhere.processes.supervisor.signals == ["TERM", "KILL"]


def test_a_stale_ready_file_is_not_believed(nowhere: FakeOutside) -> None:
    be_ready(nowhere)
    assert "isn't ready after 60 s" in nowhere.run("pool", "up").err


@pytest.mark.parametrize(
    "reason", ["POOL_UNREACHABLE", "CERT_MISSING", "CERT_EXPIRED", "SERVER_UNTRUSTED"]
)
def test_a_manager_that_answers_late_is_waited_for(nowhere: FakeOutside, reason: str) -> None:
    that_comes_up(nowhere)
    nowhere.status = make_error(reason, "of yesterday")

    def answer(now: float) -> None:
        if now > 3:
            nowhere.status = STATUS

    nowhere.clock.on_tick = answer
    assert nowhere.run("pool", "up").code == 0
    assert 3 < nowhere.clock.now < 4


def test_an_identity_that_will_not_do_later_either_is_said_at_once(nowhere: FakeOutside) -> None:
    that_comes_up(nowhere)
    nowhere.status = make_error("KEY_MODE", "open to others")
    said = nowhere.run("pool", "up")
    assert (said.code, said.err.startswith("error: KEY_MODE")) == (3, True)
    assert nowhere.clock.now < 3


def test_two_ups_at_once_find_the_same_pool(nowhere: FakeOutside) -> None:
    def lose_the_race(process: FakeProcess) -> None:
        be_ready(nowhere)
        log(nowhere, "supervisor", "error: LOCKED: this pool is already running\n")
        process.ended = True
        nowhere.processes.supervisor = FakeProcess(77)

    nowhere.processes.on_spawn = lose_the_race
    said = nowhere.run("pool", "up", "-o", "json")
    assert (said.code, said.data["pid"], said.data["started"]) == (0, 77, False)


def test_ctrl_c_while_coming_up_stops_what_was_started(nowhere: FakeOutside) -> None:
    def interrupt(now: float) -> None:
        raise KeyboardInterrupt

    nowhere.clock.on_tick = interrupt
    said = nowhere.run("pool", "up")
    assert (said.code, said.err) == (130, "")
    assert nowhere.processes.supervisor is not None
    assert nowhere.processes.supervisor.ended


def test_ctrl_c_while_the_supervisor_is_started_stops_it(nowhere: FakeOutside) -> None:
    nowhere.processes.on_spawn = lambda process: signal.raise_signal(signal.SIGINT)
    said = nowhere.run("pool", "up")
    assert (said.code, said.err) == (130, "")
    assert nowhere.processes.supervisor is not None
    assert nowhere.processes.supervisor.signals == ["TERM"]


def test_down(nowhere: FakeOutside) -> None:
    that_comes_up(nowhere).run("pool", "up")
    assert nowhere.run("pool", "down").out == "pool local stopped\n"
    said = nowhere.run("pool", "down")
    assert (said.code, said.out) == (0, "pool local was not running\n")


def test_down_of_a_stubborn_one_says_so(nowhere: FakeOutside) -> None:
    nowhere.processes.supervisor = FakeProcess(77, stubborn=True)
    said = nowhere.run("pool", "down")
    assert said.code == 5
    assert said.err.startswith("error: PROCESS_FAILED: the supervisor (pid 77) is still stopping")


def test_status_of_a_pool_that_is_not_running(nowhere: FakeOutside) -> None:
    said = nowhere.run("pool", "status")
    assert said.code == 4
    assert said.err == (
        "error: POOL_NOT_RUNNING: pool 'local' isn't running on this machine (eais pool up)\n"
    )
    assert nowhere.run("pool", "status", "--name", "x").err.endswith("(eais pool up --name x)\n")


def test_status(nowhere: FakeOutside) -> None:
    that_comes_up(nowhere).run("pool", "up")
    assert nowhere.run("pool", "status").out.splitlines() == [
        "Pool:        local-5f3a9c1e (context local)",
        "Supervisor:  pid 4242",
        "Manager:     127.64.16.1:40117, eais-manager/0.1.0",
        "Joining:     at 127.64.16.1:7443, with a token of `eais token create`",
        f"State:       {state_dir(nowhere)}",
        "Instances:   1",
        "CA:          STEADY, ends 2036-01-31",
        "",
        "HOST    REACHABLE   ISOLATION",
        "local   yes         L2",
        "",
        "HOST    DEVICE   KIND   MODEL   MEMORY    FREE   USED   SHARES        HEALTH   REAL",
        "local   cpu0     cpu    Xeon    8.0 GiB   1      1      cooperative   ok       yes",
    ]


def test_devices(eais: FakeOutside) -> None:
    assert "SHARES" in eais.run("devices").out
    wide = eais.run("devices", "-o", "wide").out
    assert "ei-7f3a of default: 1 GRANTED" in wide
    assert "onnxruntime/fp32" in wide
    device = eais.run("devices", "-o", "json").data["devices"][0]  # type: ignore[index]
    assert (device["free_milli"], device["used_milli"], device["simulated"]) == (1000, 1000, False)
    assert (device["health"], device["runtimes"]) == ("ok", ["onnxruntime/fp32"])
    [share] = device["shares"]
    assert share == {"instance": "ei-7f3a", "tenant": "default", "milli": 1000, "state": "GRANTED"}


SIM = replace(
    DEVICE,
    id="sim-gpu0",
    kind="gpu",
    model="Simulated GPU (0.1 ms + 100 GB/s)",
    capacity_milli=1000,
    free_milli=625,
    simulated=True,
    health="gone",
    shares=(ShareUse("ei-1", 125, "GRANTED", "acme"), ShareUse("ei-2", 250, "DRAINING", "globex")),
)


def test_devices_in_eighths_simulated_and_not_in_health(eais: FakeOutside) -> None:
    eais.status = replace(STATUS, devices=(SIM,))
    row = re.split("   +", eais.run("devices", "-o", "wide").out.splitlines()[1])
    assert row == [
        *("local", "sim-gpu0", "gpu", "Simulated GPU (0.1 ms + 100 GB/s)", "8.0 GiB"),
        *("5/8", "3/8", "cooperative", "gone", "simulated", "onnxruntime/fp32", "1/8", "2"),
        *("ei-1 of acme: 1/8 GRANTED, ei-2 of globex: 1/4 DRAINING", "-"),
    ]


def test_a_device_that_lends_nothing_says_so_and_why(eais: FakeOutside) -> None:
    why = "125 milli-devices have too little memory"
    eais.status = replace(STATUS, devices=(replace(DEVICE, unenforced=why),))
    row = re.split("   +", eais.run("devices", "-o", "wide").out.splitlines()[1])
    assert (row[7], row[-1]) == ("none", why)
    device = eais.run("devices", "-o", "json").data["devices"][0]  # type: ignore[index]
    assert (device["enforcement"], device["unenforced"]) == ("none", why)


def test_what_can_be_loaded_onto_a_device_is_said_with_how_long_it_takes(
    eais: FakeOutside,
) -> None:
    board = replace(DEVICE, attach_s=0.5, loads=(ModelLoad("ab" * 32, 0.8, 500),))
    eais.status = replace(STATUS, devices=(DEVICE, board))
    found: Any = eais.run("devices", "-o", "json").data["devices"]
    assert [(each["attach_s"], each["loads"]) for each in found] == [
        (0.0, None),
        (0.5, [{"model": "ab" * 32, "load_s": 0.8, "ready_milli": 500}]),
    ]


@pytest.mark.parametrize(
    ("milli", "text"),
    [(0, "0"), (125, "1/8"), (500, "1/2"), (2000, "2"), (1750, "1 3/4"), (20, "0.02")],
)
def test_devices_as_people_say_them(milli: int, text: str) -> None:
    assert devices_text(milli) == text


def test_simulated_devices_are_asked_for(nowhere: FakeOutside) -> None:
    that_comes_up(nowhere)
    assert nowhere.run("pool", "up", "--simulate", "gpu=2,npu=1").code == 0
    [(_, environ)] = nowhere.processes.spawned
    assert environ["EAIS_SIMULATE"] == "gpu=2,npu=1"
    again = nowhere.run("pool", "up", "--simulate", "fpga=1")
    assert again.err == "note: the pool was up already; no effect: --simulate\n"


def test_nothing_is_simulated_unless_asked_for(nowhere: FakeOutside) -> None:
    that_comes_up(nowhere).run("pool", "up")
    [(_, environ)] = nowhere.processes.spawned
    assert "EAIS_SIMULATE" not in environ


@pytest.mark.parametrize("command", [("pool", "up"), ("listener", "up")])
def test_what_cant_be_simulated_is_refused_at_once(
    nowhere: FakeOutside, command: tuple[str, ...]
) -> None:
    said = nowhere.run(*command, "--simulate", "gpu=two")
    assert said.code == 2
    assert said.err == ("error: ARGUMENT: --simulate: gpu=two: say a whole number from 1 to 64\n")
    assert nowhere.processes.spawned == []


def test_the_embedded_pools_listener_is_what_the_command_becomes(nowhere: FakeOutside) -> None:
    nowhere.processes.supervisor = FakeProcess()
    assert nowhere.run("pool", "listener").code == 0
    assert nowhere.replaced_by[1:] == [
        *("-m", "eais_server.listener", "--state-dir", str(state_dir(nowhere) / "listener")),
        *("--pool-file", str(state_dir(nowhere) / "ready.json")),
    ]


def test_it_needs_a_pool_that_runs(nowhere: FakeOutside) -> None:
    assert nowhere.run("pool", "listener").code == 4
    assert nowhere.replaced_by == []


def test_a_name_that_is_none_is_refused(nowhere: FakeOutside) -> None:
    said = nowhere.run("pool", "up", "--name", "../x")
    assert said.code == 2
    assert said.err.startswith("error: NAME: ")


def test_all_that_a_pool_needs_is_installed_here() -> None:
    check_installed("manager", "listener")


@pytest.mark.parametrize("text", ["", "[]", '{"pool": 1}', '{"pool": "x", "user": {}}'])
def test_a_broken_ready_file_is_no_bug(tmp_path: Path, text: str) -> None:
    file = tmp_path / "ready.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"STATE_DIR.*not what the manager wrote") as caught:
        read_ready(file, "local", tmp_path)
    assert "eais pool down" in caught.value.hint
