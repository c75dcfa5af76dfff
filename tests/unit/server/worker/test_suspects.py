from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from eais_server.worker.queue import RunQueue
from eais_server.worker.suspects import Suspects


@dataclass(eq=False)
class Call:
    """A call of the session and stream that its name says: "a1" is session a's, stream 1's."""

    name: str

    @property
    def session(self) -> str:
        return self.name[0]

    @property
    def stream(self) -> Hashable:
        return self.name[1:2]

    def __repr__(self) -> str:
        return self.name


@dataclass
class Bench:
    """Calls that wait, those that run, and which were started in which company."""

    suspects: Suspects[Call] = field(default_factory=Suspects)
    queue: RunQueue[Hashable, Call] = field(default_factory=lambda: RunQueue(100))
    running: list[Call] = field(default_factory=list)
    may_run: Callable[[Hashable], bool] = lambda stream: True
    alone: Call | None = None

    def come(self, *names: str) -> None:
        for name in names:
            call = Call(name)
            if call.session in self.suspects:
                self.suspects.add(call)
            else:
                self.queue.offer(call.stream, call.stream, call)

    def start(self) -> str | None:
        call = self.suspects.take(
            self.queue,
            lambda: self.queue.take(self.may_run),
            self.may_run,
            running=bool(self.running),
        )
        if call is None:
            return None
        assert self.alone not in self.running, "something is started beside a suspect's call"
        if call.session in self.suspects:
            assert not self.running, "a suspect's call is started beside others"
            self.alone = call
        self.running.append(call)
        return call.name

    def end(self, name: str, *, answered: bool = True) -> None:
        call = next(call for call in self.running if call.name == name)
        self.running.remove(call)
        self.suspects.over(call, answered=answered)

    def order(self, *, answered: bool = True) -> list[str]:
        """The order in which all that waits runs on one thread."""
        found = []
        while name := self.start():
            self.end(name, answered=answered)
            found.append(name)
        return found


def suspecting(*sessions: str) -> Bench:
    bench = Bench()
    bench.suspects.name(sessions)
    return bench


def test_a_suspect_does_not_wait_for_a_stream_that_reads_nothing() -> None:
    bench = suspecting("s")
    bench.may_run = lambda stream: stream != "9"
    bench.come("a9", "b1", "s1")
    begun = []
    for number in range(3):
        name = bench.start()
        assert name is not None
        bench.end(name)
        begun.append(name)
        bench.come(f"c{number}")  # others come without pause
    assert "s1" in begun
    bench.may_run = lambda stream: True
    assert "a9" in bench.order()


def test_how_many_wait_is_known_wherever_they_wait() -> None:
    bench = suspecting("s", "t")
    bench.come("s1", "s1", "t1")
    assert len(bench.suspects) == len(bench.suspects.waiting()) == 3
    bench.suspects.name(["t"])
    assert len(bench.suspects) == len(bench.suspects.waiting()) == 3


def test_without_suspects_all_run_beside_each_other() -> None:
    bench = Bench()
    bench.come("a1", "b1", "c1")
    assert [bench.start(), bench.start(), bench.start(), bench.start()] == ["a1", "b1", "c1", None]


def test_a_suspect_runs_when_nothing_else_does_and_nothing_beside_it() -> None:
    bench = suspecting("s")
    bench.come("a1", "s1", "b1")
    assert [bench.start(), bench.start()] == ["a1", "b1"]
    assert bench.start() is None
    bench.end("a1")
    assert bench.start() is None
    bench.end("b1")
    assert bench.start() == "s1"
    bench.come("c1", "s1")
    assert bench.start() is None
    bench.end("s1", answered=False)
    assert bench.start() == "c1"


def test_who_comes_when_its_turn_has_come_waits_for_it() -> None:
    bench = suspecting("s")
    bench.come("a1", "s1")
    assert bench.start() == "a1"
    assert bench.start() is None
    bench.come("b1")
    assert bench.start() is None
    bench.end("a1")
    assert [bench.start(), bench.start()] == ["s1", None]


def test_an_answer_clears_it_and_its_calls_go_before_others() -> None:
    bench = suspecting("s")
    bench.come("s1", "s2", "s3")
    assert bench.start() == "s1"
    bench.come("a1")
    bench.end("s1")
    assert "s" not in bench.suspects
    assert [bench.start(), bench.start(), bench.start()] == ["s2", "s3", "a1"]


def test_a_failure_clears_nothing() -> None:
    bench = suspecting("s")
    bench.come("s1", "s2")
    assert bench.start() == "s1"
    bench.end("s1", answered=False)
    assert "s" in bench.suspects
    assert [bench.start(), bench.start()] == ["s2", None]


def test_the_trusted_ones_calls_all_go_before_the_next_suspects_first() -> None:
    bench = suspecting("a", "s")
    bench.come("s1", "a1", "a2", "a3")
    assert bench.order() == ["a1", "a2", "a3", "s1"]


def test_suspects_that_clear_themselves_by_nothing_take_turns() -> None:
    bench = suspecting("a", "s")
    bench.come("a1", "a2", "s1", "s2")
    assert bench.order(answered=False) == ["a1", "s1", "a2", "s2"]


def test_those_that_wait_go_between_two_suspects_calls() -> None:
    bench = suspecting("s")
    bench.come("s1", "s2")
    assert bench.start() == "s1"
    bench.come("a1")
    bench.end("s1", answered=False)
    assert bench.order(answered=False) == ["a1", "s2"]


def test_one_that_is_held_waits_and_holds_nobody_up() -> None:
    bench = suspecting("s", "t")
    bench.suspects.hold("s")
    bench.come("s1", "t1", "a1")
    assert bench.order(answered=False) == ["a1", "t1"]
    bench.suspects.release("s")
    assert bench.order() == ["s1"]


def test_who_doesnt_read_its_answers_holds_no_suspect_up() -> None:
    bench = suspecting("s")
    bench.may_run = lambda stream: stream != "9"
    bench.come("a9", "s1", "s9")
    assert [bench.start(), bench.start()] == ["s1", None]
    bench.end("s1", answered=False)
    assert bench.start() is None


def test_a_call_ahead_that_is_stopped_is_waited_for_no_more() -> None:
    bench = suspecting("s")
    bench.come("a1", "a2", "s1")
    assert bench.start() == "a1"
    stopped = next(iter(bench.queue))
    assert bench.queue.discard(stopped.stream, stopped)
    bench.come("b1")
    bench.end("a1")
    assert bench.start() == "s1"


def test_a_stopped_call_of_a_suspect_is_gone_once() -> None:
    bench = suspecting("s")
    bench.come("s1")
    (call,) = bench.suspects.waiting()
    assert bench.suspects.discard(call)
    assert not bench.suspects.discard(call)
    assert len(bench.suspects) == 0
    assert bench.start() is None


def test_new_names_keep_what_waits_and_say_who_is_new() -> None:
    bench = suspecting("s", "t")
    bench.suspects.hold("s")
    bench.come("s1", "t1")
    assert bench.suspects.name(["s", "u"]) == ["u"]
    assert len(bench.suspects) == 2
    assert bench.order() == ["t1"]
    assert bench.suspects.name([]) == []
    assert bench.order() == ["s1"]


@given(
    st.lists(
        st.one_of(
            st.sampled_from(["a1", "a2", "b1", "s1", "s2", "t1"]),
            st.sampled_from(["start", "end", "fail", "name", "hold", "release"]),
        ),
        max_size=60,
    ),
    st.integers(1, 3),
)
def test_a_suspect_is_always_alone_and_everybody_has_a_turn(what: list[str], threads: int) -> None:
    bench = suspecting("s", "t")
    came = ran = 0
    for step in what:
        if step in ("end", "fail") and bench.running:
            bench.end(bench.running[0].name, answered=step == "end")
        elif step == "start" and len(bench.running) < threads:
            ran += bench.start() is not None
        elif step == "name":
            bench.suspects.name(["t", "s"])
            for call in [call for call in bench.queue if call.session in bench.suspects]:
                bench.queue.discard(call.stream, call)
                bench.suspects.add(call)
        elif step in ("hold", "release"):
            getattr(bench.suspects, step)("s")
        elif len(step) == 2:
            bench.come(step)
            came += 1
    bench.suspects.release("s")
    while bench.running:
        bench.end(bench.running[0].name, answered=False)
    assert ran + len(bench.order(answered=False)) == came
