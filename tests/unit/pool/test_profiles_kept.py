from __future__ import annotations

from eais_pool.brain.events import ModelMeasured, SessionsChanged
from eais_pool.brain.records import MODELS_MOST, LeaseKey
from eais_pool.testing import FakeHost
from tests.unit.pool.policy.known import CPU, DIGEST, GPU, cpu_times, gpu_times, profile
from tests.unit.pool.rig import Pool


def test_what_was_measured_is_kept_by_model_and_replayed() -> None:
    pool = Pool(FakeHost())
    measured = (profile(CPU, 1000, cpu_times), profile(GPU, 125, gpu_times))
    pool.shell.feed(ModelMeasured(measured))
    assert pool.shell.state.profiles.of(DIGEST) == list(measured)
    assert set(pool.shell.state.profiles.curves(DIGEST)) == {CPU, GPU}
    pool.end()


def test_an_instance_remembers_its_newest_models_and_who_opened_them() -> None:
    pool = Pool(FakeHost())
    made = pool.attached()
    key = LeaseKey("h1", made.id, 1)
    names = [f"{n:064x}" for n in range(MODELS_MOST + 1)]
    for name in names:
        pool.shell.feed(SessionsChanged(*key, (name,), (name,)))
    pool.shell.feed(SessionsChanged(*key, (), ()))
    record = pool.instance(made.id)
    assert (record.models, record.opened_by) == (tuple(names[1:]), "box")
    pool.ask("detach", made.id)
    pool.deliver()
    assert pool.instance(made.id).models == tuple(names[1:])


def test_what_was_opened_just_before_the_end_is_remembered() -> None:
    pool = Pool(FakeHost())
    made = pool.attached()
    pool.ask("detach", made.id)
    pool.shell.feed(SessionsChanged(*LeaseKey("h1", made.id, 1), ("spec",), ("ab" * 32,)))
    pool.deliver()
    assert pool.instance(made.id).models == ("ab" * 32,)
    assert pool.instance(made.id).opened_by == "box"
