"""The pool's two policies, on boards: down the gradient of fragmentation, or best fit. (Brain)

Both keep boards and scores between questions, and work out anew what changed. For cores, the
gradient counts what is lost beside the accelerators of the same host, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from eais.device_type import WHOLE_MILLI, DeviceKind, devices_text
from eais_pool.brain.records import SharePick
from eais_pool.policy import BEST_FIT, GRADIENT, Ask, HostView, Placement, Refusal
from eais_pool.policy.asked import Counts
from eais_pool.policy.placement.boards import ANYBODY, Board, Boards
from eais_pool.policy.placement.cluster import Floats, Ints
from eais_pool.policy.placement.demand_of import pieces, shape_of, workload_of
from eais_pool.policy.placement.demands import Shape
from eais_pool.policy.placement.fragmentation import Fragmentation
from eais_pool.policy.placement.gradient import (
    LARGE_CPU_MILLI,
    TIE_BREAK_MILLI,
    Gradient,
    tightest,
)
from eais_pool.policy.placement.scores import NOWHERE, ScoreBook, Scoring
from eais_pool.policy.refusals import refusal


class Rule(Protocol):
    """Makes scorings for boards, once they are made anew or something else was learned."""

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        ...

    @property
    def reason(self) -> str:
        """Why a host is taken rather than another, in words."""
        ...

    def scorings(self, boards: Boards, learned: Counts) -> dict[str, Scoring[Board]]:
        """One for each kind."""
        ...


@dataclass(frozen=True, slots=True)
class Downhill:
    """The gradient on one board, and of cores also on the boards of their hosts' accelerators."""

    gradient: Gradient
    boards: Boards
    others: dict[str, Fragmentation]

    def score(self, board: Board, shape: Shape, rows: Ints) -> tuple[Floats, Ints]:
        """See `Scoring`."""
        left = board.left_for(shape, rows)
        cpu = np.zeros(len(rows), np.int64) if self.others else board.cpu[rows]
        values, units = self.gradient.of(shape, board.model[rows], cpu, left)
        if self.others:
            values = values - self._beside(board, rows, shape.device_milli)
        return values, units

    def _beside(self, board: Board, rows: Ints, milli: int) -> Floats:
        """What more is lost of accelerators whose hosts have so many milli-cores less."""
        lost: Floats = np.zeros(len(rows))
        for kind, measure in self.others.items():
            other = self.boards.of[kind]
            places = [
                (n, row)
                for n, row in enumerate(rows.tolist())
                for row in self.boards.rows_of[board.rows[row].host].get(kind, ())
            ]
            if places:
                which, there = np.array(places, np.int64).T
                model, cpu, left = other.model[there], other.cpu[there], other.left[there]
                more = measure.of(model, cpu - milli, left) - measure.of(model, cpu, left)
                np.add.at(lost, which, more)
        return lost


@dataclass(frozen=True, slots=True)
class ByGradient:
    """Fragmentation gradient, for what was asked for so far."""

    name: str = GRADIENT
    reason: str = "least of what is typically asked for is lost there"
    tie_break: float = TIE_BREAK_MILLI

    def scorings(self, boards: Boards, learned: Counts) -> dict[str, Scoring[Board]]:
        """See `Rule`."""
        measures = measures_of(boards, learned)
        beside = {kind: each for kind, each in measures.items() if kind != DeviceKind.CPU}
        found: dict[str, Scoring[Board]] = {}
        for kind, measure in measures.items():
            cores = kind == DeviceKind.CPU
            gradient = (
                Gradient(measure, self.tie_break, LARGE_CPU_MILLI)
                if cores
                else Gradient(measure, self.tie_break)
            )
            found[kind] = Downhill(gradient, boards, beside if cores else {})
        return found


def measures_of(boards: Boards, learned: Counts) -> dict[str, Fragmentation]:
    """The fragmentation of each board."""
    return {
        kind: Fragmentation(workload_of(board, learned), board.models)
        for kind, board in boards.of.items()
    }


@dataclass(frozen=True, slots=True)
class Tightest:
    """The row, and of it the units, of which least is left."""

    def score(self, board: Board, shape: Shape, rows: Ints) -> tuple[Floats, Ints]:
        """See `Scoring`."""
        scores: Floats = -board.left[rows].sum(axis=1).astype(np.float64)
        return scores, tightest(shape, board.left_for(shape, rows))[:, 0]


@dataclass(frozen=True, slots=True)
class ByBestFit:
    """Best fit."""

    name: str = BEST_FIT
    reason: str = "least is left there"

    def scorings(self, boards: Boards, learned: Counts) -> dict[str, Scoring[Board]]:
        """See `Rule`."""
        del learned
        return dict.fromkeys(boards.of, Tightest())


class Live:
    """A policy that keeps boards and scores."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._boards = Boards()
        self._made: tuple[int, Counts] | None = None
        self._scorings: dict[str, Scoring[Board]] = {}
        self._books: dict[str, ScoreBook[Board]] = {}

    def place(self, ask: Ask, hosts: Sequence[HostView]) -> Placement | Refusal:
        """See `Policy.place`."""
        self._boards.follow(hosts)
        self._learn(ask.learned)
        among = {host.host: host for host in hosts}
        for kind in _kinds(ask, hosts, self._boards):
            found = self._on(kind, ask, among)
            if found is not None:
                return found
        return refusal(ask, hosts)

    def _learn(self, learned: Counts) -> None:
        now = (self._boards.forms, learned)
        if now != self._made:
            self._scorings = self._rule.scorings(self._boards, learned)
            boards = self._boards.of.items()
            self._books = {kind: ScoreBook(board, self._scorings[kind]) for kind, board in boards}
            self._made = now

    def _on(self, kind: str, ask: Ask, among: dict[str, HostView]) -> Placement | None:
        board, shape = self._boards.of[kind], shape_of(kind, ask.type.milli)
        if shape.devices > board.width:
            return None
        if ask.only is None:
            line = self._books[kind].line(shape)
        else:
            board = board.narrowed(ask.only)
            line = ScoreBook(board, self._scorings[kind]).line(shape)
        scores = np.where(self._allowed(board, ask, among), line.scores, NOWHERE)
        row = int(scores.argmax())
        if scores[row] == NOWHERE:
            return None
        count = int((scores > NOWHERE).sum())
        shares = _shares(board, row, shape, int(line.device[row]))
        name = board.rows[row].host
        chosen = f"; of {count} with room, {self._rule.reason}" if count > 1 else ""
        places = ", ".join(f"{devices_text(share.milli)} of {share.device}" for share in shares)
        why = f"{self._rule.name} for {ask.type.text}: host {name} had room ({places}){chosen}"
        return Placement(name, shares, why)

    def _allowed(self, board: Board, ask: Ask, among: dict[str, HostView]) -> npt.NDArray[np.bool_]:
        """The rows of hosts that it may be on."""
        code = self._boards.code(ask.tenant)
        allowed: npt.NDArray[np.bool_] = board.open & (
            (board.sole == ANYBODY) | (board.sole == code)
        )
        if len(among) < len(self._boards.rows_of):
            allowed &= np.array([row.host in among for row in board.rows], np.bool_)
        return allowed


def _kinds(ask: Ask, hosts: Sequence[HostView], boards: Boards) -> list[str]:
    """The kinds to try: the one that is named, or those there are in the order of the hosts."""
    if ask.type.kind is not None:
        found = [ask.type.kind.value]
    else:
        found = list(dict.fromkeys(device.kind for host in hosts for device in host.devices))
    return [kind for kind in found if kind in boards.of and kind not in ask.without]


def _shares(board: Board, row: int, shape: Shape, unit: int) -> tuple[SharePick, ...]:
    """The shares of a row that a shape gets: on `unit`, or on the tightest that it wants."""
    if shape.devices == 1:
        units: list[int] = [unit]
    else:
        left = board.left_for(shape, np.array([row]))
        units = sorted(tightest(shape, left)[0].tolist())
    milli = list(pieces(shape, board.kind))
    found: list[SharePick] = []
    for n, (each, where) in enumerate(zip(milli, units, strict=False), start=1):
        device, number = board.device(row, where)
        found.append(SharePick(n, device.id, each, number if each < WHOLE_MILLI else 0))
    return tuple(found)


def policy_of(name: str) -> Live:
    """The policy of that name, of `POLICIES`."""
    rules: dict[str, Rule] = {GRADIENT: ByGradient(), BEST_FIT: ByBestFit()}
    return Live(rules[name])
