"""What every search strategy promises."""

from __future__ import annotations

import copy
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from frugalnas.evaluation import Evaluations, Trials
from frugalnas.registry import STRATEGIES, constructor_options
from frugalnas.spaces import Codes, SearchSpace
from frugalnas.strategies import RandomSearch, Strategy
from frugalnas.testing.checks import landscape, refusal

Fate = Callable[[int], bool]
"""Whether the evaluation of the trial with this id fails."""


class StrategyConformance(ABC):
    """Child classes are only required to override `make`.

    Attributes:
        rounds: asks that most tests go through; the initial sample is the first.
        never_repeats: whether no network is asked for twice, as the package's own strategies promise.
    """

    rounds: int = 4
    never_repeats: bool = True

    @abstractmethod
    def make(self, seed: int) -> Strategy:
        """The strategy under test on some space, made anew."""

    def make_on(self, space: SearchSpace, *, seed: int = 0, initial: int = 1) -> Strategy:
        """The same strategy on another space.

        The default makes it from its constructor arguments, which a strategy keeps as attributes of the same name.
        """
        model = self.make(seed)
        options = {name: getattr(model, name) for name in constructor_options(type(model))}
        return type(model)(space, **{**options, "seed": seed, "initial": initial})

    # -- what is asked -------------------------------------------------------------------------------------------

    def test_asks_for_valid_codes(self) -> None:
        """Trials are valid codes of the space."""
        strategy = self.make(0)
        for trials in _advance(strategy, self.rounds):
            assert trials.codes.dtype == strategy.space.code_type
            assert trials.codes.shape == (len(trials.ids), strategy.space.genes)
            assert strategy.space.valid(trials.codes).all(), "ask() gives an invalid code"

    def test_starts_from_the_initial_sample_that_all_strategies_share(self) -> None:
        """Strategies of one seed start alike, however the sample is asked for."""
        for seed in (0, 1):
            strategy = self.make(seed)
            shared = RandomSearch(strategy.space, seed=seed, initial=strategy.initial).ask().codes
            assert_array_equal(strategy.ask().codes, shared, "the first ask() is the shared initial sample")
            bit_by_bit = self.make(seed)
            pieces = [bit_by_bit.ask(1).codes for _ in range(strategy.initial)]
            assert_array_equal(np.concatenate(pieces), shared, "asked one by one the initial sample is the same")

    def test_asks_for_at_most_as_many_as_told(self) -> None:
        """`ask(n)` gives between one and n trials; `ask(0)` is refused."""
        strategy = self.make(0)
        for n in (3, strategy.initial + 5, 1, 7, 2):
            trials = strategy.ask(n)
            assert 1 <= len(trials) <= n, f"ask({n}) gives {len(trials)}"
            _tell(strategy, trials)
        refusal("ask(0)", strategy.ask, 0)

    def test_trials_have_ids_of_their_own(self) -> None:
        """No two trials have the same id."""
        strategy = self.make(0)
        ids = np.concatenate([trials.ids for trials in _advance(strategy, self.rounds)])
        assert len(set(ids.tolist())) == len(ids), "two trials have the same id"

    def test_asks_for_each_network_once(self) -> None:
        """A query is not spent twice on the same network."""
        if not self.never_repeats:
            return
        strategy = self.make(0)
        codes = np.concatenate([trials.codes for trials in _advance(strategy, 3 * self.rounds)])
        assert len(np.unique(strategy.space.network_ids(codes))) == len(codes), (
            "a network is asked for twice; leave out those that unasked() knows, or set never_repeats = False"
        )

    def test_seed_decides_the_trajectory(self) -> None:
        """The same seed asks the same, another seed something else."""
        first, same, other = (_trajectory(_advance(self.make(seed), self.rounds)) for seed in (5, 5, 6))
        assert first == same, "two strategies of one seed go different ways"
        assert first != other, "two seeds go the same way"

    def test_can_be_written_down_and_made_again(self) -> None:
        """A run folder can hold the strategy: its description makes an equal one."""
        strategy = self.make(2)
        description = json.loads(json.dumps(STRATEGIES.describe(strategy)))
        again = STRATEGIES.create(description, strategy.space)
        assert _trajectory(_advance(again, self.rounds)) == _trajectory(_advance(strategy, self.rounds)), (
            f"{description} makes another strategy"
        )

    # -- what is told --------------------------------------------------------------------------------------------

    def test_protocol_is_guarded(self) -> None:
        """What was not asked for, or was told already, is refused and leaves no trace."""
        strategy = self.make(0)
        _advance(strategy, 2)
        told = strategy.ask()
        _tell(strategy, told)
        trials = strategy.ask()
        assert len(trials), "the strategy gives up after three rounds"
        answer = _answer(strategy, trials)
        before = json.dumps(strategy.state_dict())
        never_asked = Trials(trials.codes, trials.ids + 1_000_000)
        refusal("tell() of a trial that was never asked for", strategy.tell, never_asked, answer)
        refusal("tell() of a trial already told", strategy.tell, told, _answer(strategy, told))
        stranger = strategy.space.neighbours(trials.codes[:1])[0][:1]
        swapped = Trials(np.concatenate([stranger, trials.codes[1:]]), trials.ids)
        refusal("tell() of another architecture under a trial's id", strategy.tell, swapped, answer)
        one = trials.take([0])
        refusal("tell() of one trial with two evaluations", strategy.tell, one, Evaluations(np.zeros(2)))
        twice = trials.take([0, 0])
        refusal("tell() of one trial twice in one call", strategy.tell, twice, _answer(strategy, twice))
        assert json.dumps(strategy.state_dict()) == before, "a refused tell() leaves traces in the strategy"
        strategy.tell(trials, answer)

    def test_remembers_what_it_was_told(self) -> None:
        """`codes` and `values` list what was told, failures as NaN."""
        strategy = self.make(0)
        trials = _advance(strategy, self.rounds, fails=lambda trial: trial % 3 == 1)
        codes = np.concatenate([part.codes for part in trials])
        ids = np.concatenate([part.ids for part in trials])
        values = landscape(strategy.space, codes)
        values[ids % 3 == 1] = np.nan
        assert_array_equal(strategy.codes, codes)
        assert_array_equal(strategy.values, values)

    def test_arrays_stay_their_owners(self) -> None:
        """The strategy does not write into arrays it is told, nor read them later."""
        strategy, undisturbed = self.make(0), self.make(0)
        for _ in range(self.rounds):
            trials = strategy.ask()
            answer = _answer(strategy, trials)
            codes, ids, values = trials.codes.copy(), trials.ids.copy(), answer.values.copy()
            strategy.tell(trials, answer)
            assert_array_equal(trials.codes, codes, "tell() changes the trials")
            assert_array_equal(trials.ids, ids, "tell() changes the trials")
            assert_array_equal(answer.values, values, "tell() changes the evaluations")
            trials.codes[...] = 0
            answer.values[...] = 0.0
        _advance(undisturbed, self.rounds)
        assert_array_equal(
            strategy.codes,
            undisturbed.codes,
            "what a caller does to its arrays after tell() reaches the strategy: copy them",
        )
        assert_array_equal(strategy.values, undisturbed.values)

    def test_out_of_order_and_in_pieces(self) -> None:
        """Trials may be told in any order and one by one."""
        strategy = self.make(0)
        rng = np.random.default_rng(0)
        told = 0
        for _ in range(self.rounds):
            waiting = [strategy.ask(), strategy.ask(2), strategy.ask()]
            single = [trials.take([row]) for trials in waiting for row in range(len(trials))]
            for place in rng.permutation(len(single)):
                _tell(strategy, single[place])
            told += len(single)
        assert len(strategy.values) == told

    def test_asks_while_trials_are_pending(self) -> None:
        """A strategy keeps several workers busy."""
        strategy = self.make(0)
        _advance(strategy, 1)
        waiting = [strategy.ask(3) for _ in range(5)]
        assert all(len(trials) for trials in waiting), "ask() gives nothing while trials are pending"
        codes = np.concatenate([trials.codes for trials in waiting])
        if self.never_repeats:
            assert len(np.unique(strategy.space.network_ids(codes))) == len(codes), (
                "a pending network is asked for again"
            )
        for trials in reversed(waiting):
            _tell(strategy, trials)
        assert len(strategy.ask())

    def test_failures_are_survived(self) -> None:
        """A third of the evaluations, the first ones, or all of them may fail."""
        for fails in (lambda trial: trial % 3 == 0, lambda trial: trial < 25, lambda trial: True):
            strategy = self.make(0)
            for trials in _advance(strategy, 2 * self.rounds, fails):
                assert len(trials), "the strategy gives up because evaluations failed"
                assert strategy.space.valid(trials.codes).all()

    # -- state ---------------------------------------------------------------------------------------------------

    def test_continues_exactly_from_a_saved_state(self) -> None:
        """A state that went through JSON continues with identical trials."""
        strategy = self.make(3)
        asked, states = [], [json.dumps(strategy.state_dict())]
        for _ in range(2 * self.rounds - 1):
            asked += _advance(strategy, 1, _a_quarter_fails)
            states.append(json.dumps(strategy.state_dict()))
        for told in range(self.rounds):
            restored = self.make(3)
            restored.load_state_dict(json.loads(states[told]))
            ahead, end = asked[told : told + self.rounds], states[told + self.rounds]
            self._goes_the_same_way(restored, ahead, end, f"after {told} rounds")

    def test_continues_exactly_with_trials_pending(self) -> None:
        """So does one saved while trials are pending, which are told later."""
        strategy = self.make(3)
        for point in range(self.rounds):
            waiting = [strategy.ask(3), strategy.ask(2)]
            self._same_future(strategy, waiting, f"for the {point + 1}. time, trials pending", rounds=2)

    def test_continues_exactly_from_within_the_initial_sample(self) -> None:
        """So does one saved while part of the initial sample is still to be asked for."""
        strategy = self.make(3)
        _tell(strategy, strategy.ask(2))
        self._same_future(strategy, [strategy.ask(1)], "within the initial sample", self.rounds)

    def test_saved_state_is_a_snapshot(self) -> None:
        """A saved state does not change as the strategy goes on."""
        strategy = self.make(3)
        _advance(strategy, 2)
        state = strategy.state_dict()
        kept = copy.deepcopy(state)
        _advance(strategy, 2)
        assert state == kept, "a state_dict() changes as the strategy goes on: copy the lists in memory()"

    def _same_future(self, strategy: Strategy, waiting: list[Trials], when: str, rounds: int) -> None:
        """Both go on for so many rounds; as their states are alike then, what follows is too."""
        restored = self.make(3)
        restored.load_state_dict(json.loads(json.dumps(strategy.state_dict())))
        for trials in waiting:
            _tell(strategy, trials)
            _tell(restored, trials)
        ahead = _advance(strategy, rounds, _a_quarter_fails)
        self._goes_the_same_way(restored, ahead, json.dumps(strategy.state_dict()), when)

    def _goes_the_same_way(self, restored: Strategy, ahead: list[Trials], end: str, when: str) -> None:
        anew = _advance(restored, len(ahead), _a_quarter_fails)
        assert _trajectory(anew) == _trajectory(ahead), f"a strategy saved {when} does not continue as it would have"
        assert json.dumps(restored.state_dict()) == end, f"a strategy saved {when} ends in another state"

    # -- small spaces --------------------------------------------------------------------------------------------

    def test_small_space_is_exhausted_gracefully(self) -> None:
        """Where nothing is left, `ask` gives nothing, and neither loops nor fails."""
        space = self.make(0).space
        for free_genes in (0, 1, 3):
            tiny = _tiny(space, free_genes)
            for n in (None, 3):
                strategy = self.make_on(tiny)
                asked: list[Trials] = []
                while not asked or len(asked[-1]):
                    assert len(asked) < 50, f"ask() still gives trials in a space of {tiny.size} codes after 50 rounds"
                    asked.append(strategy.ask(n))
                    _tell(strategy, asked[-1])
                codes = np.concatenate([trials.codes for trials in asked])
                assert tiny.valid(codes).all(), "ask() leaves the space"
                if self.never_repeats:
                    assert len(np.unique(tiny.network_ids(codes))) == len(codes), (
                        "a network is asked for twice near the end"
                    )
                assert not len(strategy.ask(n)), "an exhausted space stays exhausted"

    def test_initial_sample_fits_the_space(self) -> None:
        """An initial sample of none, or of more than there are, is refused."""
        space = self.make(0).space
        tiny = _tiny(space, 2)
        too_many = tiny.size + 1
        refusal("an initial sample larger than the space", lambda: self.make_on(tiny, initial=too_many))
        refusal("an empty initial sample", lambda: self.make_on(space, initial=0))


def _a_quarter_fails(trial: int) -> bool:
    return trial % 4 == 3


def _advance(strategy: Strategy, rounds: int, fails: Fate = lambda trial: False) -> list[Trials]:
    """Ask and tell; the trials of each round."""
    asked = []
    for _ in range(rounds):
        trials = strategy.ask()
        _tell(strategy, trials, fails)
        asked.append(trials)
    return asked


def _tell(strategy: Strategy, trials: Trials, fails: Fate = lambda trial: False) -> None:
    strategy.tell(trials, _answer(strategy, trials, fails))


def _answer(strategy: Strategy, trials: Trials, fails: Fate = lambda trial: False) -> Evaluations:
    values = landscape(strategy.space, trials.codes)
    errors = tuple("made to fail" if fails(trial) else None for trial in trials.ids.tolist())
    return Evaluations(values, {}, errors)


def _trajectory(asked: list[Trials]) -> list[Any]:
    return [(trials.ids.tolist(), trials.codes.tolist()) for trials in asked]


def _tiny(space: SearchSpace, free_genes: int) -> SearchSpace:
    """The space around one architecture, in which a few genes have two values and the others one."""
    rng = np.random.default_rng(free_genes)
    code: Codes = space.sample(1, rng)[0]
    genes = np.arange(space.genes)
    mask: NDArray[np.bool_] = np.zeros_like(space.allowed)
    mask[genes, code] = True
    movable = np.flatnonzero(space.allowed.sum(axis=1) > 1)
    for gene in rng.permutation(movable)[:free_genes]:
        others = np.flatnonzero(space.allowed[gene] & ~mask[gene])
        mask[gene, rng.choice(others)] = True
    return space.restrict(mask)
