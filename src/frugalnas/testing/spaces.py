"""What every search space promises."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.testing import assert_array_equal

from frugalnas.errors import FrugalnasError, SpaceTooLarge
from frugalnas.spaces import Codes, Graphs, SearchSpace
from frugalnas.testing.brute_force import (
    accepted_combinations,
    all_valid_codes,
    labels,
    shares,
    single_edits,
    with_neighbours,
)
from frugalnas.testing.checks import refusal

NOT_ARCHITECTURES = ("", "not an architecture", "|||", "\x00", "ü~0", "[1, 2", "{}", "None")


class SpaceConformance(ABC):
    """Child classes are only required to override `make`.

    Attributes:
        draws: architectures that most tests look at.
        brute_force: how many of them have their neighbours counted out one by one.
    """

    draws: int = 200
    brute_force: int = 3

    @abstractmethod
    def make(self) -> SearchSpace:
        """The space under test, made anew."""

    # -- codes ---------------------------------------------------------------------------------------------------

    def test_every_gene_has_a_value(self) -> None:
        """Name, allowed values and encodings are well formed."""
        space = self.make()
        assert space.name, "a space has a name"
        assert space.allowed.ndim == 2, f"allowed has shape [genes, values], not {list(space.allowed.shape)}"
        assert space.allowed.dtype == np.bool_, f"allowed is boolean, not {space.allowed.dtype}"
        assert space.allowed.any(axis=1).all(), "every gene needs at least one allowed value"
        assert space.genes == len(space.allowed)
        assert space.encodings, "a space offers at least one encoding"
        assert len(set(space.encodings)) == len(space.encodings), "each encoding is named once"

    def test_codes_outside_are_not_valid(self) -> None:
        """Values that no gene has are not valid; a wrong number of genes is refused."""
        space = self.make()
        codes = self._sample(space)
        assert space.valid(codes).shape == (len(codes),)
        assert space.valid(codes[:0]).shape == (0,), "valid() takes an empty matrix too"
        for value in (-1, space.allowed.shape[1]):
            outside = codes.copy()
            outside[:, -1] = value
            assert not space.valid(outside).any(), f"{value} is not a value of any gene, yet valid() accepts it"
        refusal("valid() of codes with a gene too many", space.valid, np.hstack([codes, codes[:, :1]]))

    # -- sampling and listing ------------------------------------------------------------------------------------

    def test_samples_are_valid_codes(self) -> None:
        """Samples are valid codes, as many as wanted, and a seed decides them."""
        space = self.make()
        for n in (0, 1, self.draws):
            codes = space.sample(n, np.random.default_rng(n))
            assert codes.shape == (n, space.genes), f"sample({n}) has shape {list(codes.shape)}"
            assert codes.dtype == space.code_type, f"codes are {space.code_type}, not {codes.dtype}"
            assert space.valid(codes).all(), "sample() draws an invalid code"
        again = space.sample(self.draws, np.random.default_rng(self.draws))
        assert_array_equal(again, codes, "sample() draws from its generator alone, so that a seed decides")

    def test_sampling_is_uniform(self) -> None:
        """Each gene has its values as often among samples as among all valid codes; or networks, if listed by them."""
        space = self.make()
        n = 4_000
        drawn = space.sample(n, np.random.default_rng(1))
        everything = space.enumerate() if space.listed_by == "network" else all_valid_codes(space)
        spread, slack = 1 / n, 1e-9
        if everything is None:
            everything = accepted_combinations(space, 5 * n)
            if len(everything) < n // 4:
                return  # too few to compare with: valid codes are a needle in the haystack of combinations
            spread, slack = spread + 1 / len(everything), 10 / n
        expected, observed = (shares(codes, space.allowed.shape[1]) for codes in (everything, drawn))
        error = 5 * np.sqrt(expected * (1 - expected) * spread) + slack
        off = np.argwhere(np.abs(observed - expected) > error)
        assert not len(off), (
            f"sample() is not uniform: gene {off[0][0]} has value {off[0][1]} with probability "
            f"{expected[tuple(off[0])]:.3f}, but was drawn {observed[tuple(off[0])]:.3f} of the time"
        )

    def test_enumeration_lists_each_valid_code_once(self) -> None:
        """Enumeration is complete, distinct and sorted, or raises SpaceTooLarge; of networks, complete and distinct."""
        space = self.make()
        if not space.enumerable:
            try:
                space.enumerate()
            except SpaceTooLarge:
                return
            raise AssertionError("a space that is not enumerable raises SpaceTooLarge from enumerate()")
        codes = space.enumerate()
        assert codes.dtype == space.code_type
        assert codes.shape == (space.size, space.genes)
        assert space.valid(codes).all(), "enumerate() lists an invalid code"
        assert np.isin(space.identities(self._sample(space)), space.identities(codes)).all(), (
            "enumerate() leaves a sampled architecture out"
        )
        if space.listed_by == "network":
            assert len(np.unique(space.network_ids(codes))) == len(codes), "enumerate() lists a network twice"
            return
        earlier, later = codes[:-1].astype(np.int64), codes[1:].astype(np.int64)
        first_change = np.argmax(earlier != later, axis=1)[:, None]
        rises = np.take_along_axis(later - earlier, first_change, axis=1)
        assert (rises > 0).all(), "enumerate() lists distinct codes in lexicographic order"
        combinations = all_valid_codes(space)
        assert combinations is None or len(combinations) == len(codes), (
            f"enumerate() lists {len(codes)} codes, but {len(combinations)} combinations of allowed values are valid"
        )

    # -- notation ------------------------------------------------------------------------------------------------

    def test_notation_round_trip(self) -> None:
        """What `format` writes, `parse` reads."""
        space = self.make()
        for code in self._sample(space):
            text = space.format(code)
            parsed = space.parse(text)
            assert_array_equal(parsed, code, f"parse() reads another architecture from {text!r}")
            assert parsed.dtype == space.code_type, f"parse() returns {space.code_type}, not {parsed.dtype}"

    def test_unreadable_notation_is_refused(self) -> None:
        """Text that is no architecture raises a FrugalnasError."""
        space = self.make()
        for text in NOT_ARCHITECTURES:
            refusal(f"parse({text!r})", space.parse, text)

    def test_damaged_notation_is_refused_or_means_something(self) -> None:
        """Text with a slip raises nothing but a FrugalnasError; if it is read, it can be written again."""
        space = self.make()
        rng = np.random.default_rng(2)
        for code in self._sample(space)[:50]:
            text = space.format(code)
            at = int(rng.integers(len(text)))
            for damaged in (text[:at], text[:at] + text[at + 1 :], text[:at] + "?" + text[at:], text + text):
                try:
                    parsed = space.parse(damaged)
                except FrugalnasError:
                    continue
                except Exception as error:
                    raise AssertionError(
                        f"parse({damaged!r}) raises {type(error).__name__} ({error}); raise a FrugalnasError"
                    ) from error
                again = space.parse(space.format(parsed))
                assert_array_equal(again, parsed, f"parse({damaged!r}) returns what format() cannot write")

    # -- identity ------------------------------------------------------------------------------------------------

    def test_canonical_codes_stand_for_networks(self) -> None:
        """One canonical code for each network, which is its own representative."""
        space = self.make()
        codes = self._crowd(space)
        before = codes.copy()
        canonical = space.canonical(codes)
        assert_array_equal(codes, before, "canonical() changes its argument")
        assert canonical.dtype == space.code_type
        assert canonical.shape == codes.shape
        assert_array_equal(space.canonical(canonical), canonical, "canonical() of a canonical code is itself")
        assert_array_equal(
            space.network_ids(canonical), space.network_ids(codes), "a representative is the same network"
        )
        assert_array_equal(
            labels(space.network_ids(codes)), labels(canonical), "networks agree exactly where canonical codes do"
        )
        order = np.random.default_rng(3).permutation(len(codes))
        assert_array_equal(space.canonical(codes[order]), canonical[order], "canonical() takes rows one by one")
        assert space.canonical(codes[:0]).shape == (0, space.genes)

    def test_keys_tell_codes_apart(self) -> None:
        """Keys are equal exactly where codes are."""
        space = self.make()
        codes = self._crowd(space)
        keys = space.keys(codes)
        assert keys.dtype == np.uint64
        assert keys.shape == (len(codes),)
        assert_array_equal(labels(keys), labels(codes), "keys agree exactly where codes do")
        assert_array_equal(self.make().keys(codes), keys, "keys are the same in every process")

    # -- moving about --------------------------------------------------------------------------------------------

    def test_children_are_valid_and_near(self) -> None:
        """Children are valid and differ from their parents, in no more genes than asked for."""
        space = self.make()
        parents = with_neighbours(space, self._sample(space))
        before = parents.copy()
        for edits in (1, 2, space.genes):
            if not len(parents):
                return
            children = space.mutate(parents, np.random.default_rng(edits), edits=edits)
            assert children.shape == parents.shape
            assert children.dtype == space.code_type
            assert space.valid(children).all(), f"mutate(edits={edits}) makes an invalid child"
            changed = (children != parents).sum(axis=1)
            assert changed.min() >= 1, "mutate() returns a parent as its own child"
            assert changed.max() <= edits, f"mutate(edits={edits}) changes {changed.max()} genes"
            again = space.mutate(parents, np.random.default_rng(edits), edits=edits)
            assert_array_equal(again, children, "mutate() draws from its generator alone, so that a seed decides")
        assert_array_equal(parents, before, "mutate() changes its argument")
        assert space.mutate(parents[:0], np.random.default_rng(0)).shape == (0, space.genes)

    def test_mutation_reaches_every_neighbour(self) -> None:
        """Mutation leaves no valid single edit out."""
        space = self.make()
        parents = with_neighbours(space, self._sample(space))[:1]
        if not len(parents):
            return
        around = space.keys(space.neighbours(parents)[0])
        crowd = np.repeat(parents, 40 * len(around), axis=0)
        children = space.keys(space.mutate(crowd, np.random.default_rng(4)))
        assert np.isin(around, children).all(), "mutate() never makes some of the valid one-edit children"

    def test_neighbours_are_all_the_single_edits(self) -> None:
        """Neighbours are the valid codes one edit away: all of them, once, at the right row."""
        space = self.make()
        codes = self._sample(space)
        near, rows = space.neighbours(codes)
        assert near.dtype == space.code_type
        assert rows.shape == (len(near),)
        assert space.valid(near).all(), "neighbours() lists an invalid code"
        assert ((near != codes[rows]).sum(axis=1) == 1).all(), (
            "a neighbour differs in one gene from the row it belongs to"
        )
        for row, code in enumerate(codes[: self.brute_force]):
            found = {tuple(neighbour) for neighbour in near[rows == row].tolist()}
            assert len(found) == int((rows == row).sum()), "neighbours() lists a code twice"
            assert found == single_edits(space, code), (
                f"neighbours() of {space.format(code)} are not all its valid edits"
            )
        nothing, none = space.neighbours(codes[:0])
        assert nothing.shape == (0, space.genes)
        assert none.shape == (0,)

    # -- encodings, graphs, counts -------------------------------------------------------------------------------

    def test_encodings_are_fixed_functions_of_each_row(self) -> None:
        """Features are float32 and as wide for no row as for many; rows do not influence each other."""
        space = self.make()
        codes = self._sample(space)
        order = np.random.default_rng(5).permutation(len(codes))
        for name in space.encodings:
            features = space.encode(codes, name)
            assert features.dtype == np.float32, f"{name}: encodings are float32, not {features.dtype}"
            assert features.ndim == 2, f"{name}: encodings have shape [n, d], not {list(features.shape)}"
            assert len(features) == len(codes)
            assert np.isfinite(features).all(), f"{name}: features are finite"
            assert_array_equal(space.encode(codes, name), features, f"{name} is not deterministic")
            assert_array_equal(
                space.encode(codes[order], name), features[order], f"{name}: a row's features depend on other rows"
            )
            assert_array_equal(
                space.encode(codes[:1], name), features[:1], f"{name}: a row's features depend on other rows"
            )
            nothing = space.encode(codes[:0], name)
            assert nothing.shape == (0, features.shape[1]), f"{name}: no rows are as wide as many"
        assert_array_equal(space.encode(codes), space.encode(codes, space.encodings[0]))
        refusal("an unknown encoding", space.encode, codes, "no such encoding")

    def test_graphs_are_directed_and_acyclic(self) -> None:
        """Graphs are upper triangular and every vertex has a named operation."""
        space = self.make()
        codes = self._sample(space)
        graphs = space.graphs(codes)
        assert isinstance(graphs, Graphs)
        n, vertices = graphs.operations.shape
        assert n == len(codes)
        assert graphs.adjacency.shape == (n, vertices, vertices)
        assert graphs.adjacency.dtype == np.bool_
        assert not np.tril(graphs.adjacency).any(), (
            "edges run from earlier to later vertices: adjacency is upper triangular"
        )
        assert graphs.operations.min() >= 0
        assert graphs.operations.max() < len(graphs.names), "every operation id has a name"
        alone = space.graphs(codes[:1])
        assert_array_equal(alone.adjacency, graphs.adjacency[:1], "a row's graph depends on other rows")
        assert_array_equal(alone.operations, graphs.operations[:1], "a row's graph depends on other rows")
        assert space.graphs(codes[:0]).adjacency.shape == (0, vertices, vertices)

    def test_quantities_are_counted_row_by_row(self) -> None:
        """Counts are finite; rows do not influence each other."""
        space = self.make()
        codes = self._sample(space)
        for quantity in space.quantities:
            amounts = space.count(quantity, codes)
            assert amounts.shape == (len(codes),)
            assert np.isfinite(amounts).all(), f"{quantity} are finite"
            assert_array_equal(space.count(quantity, codes[::-1]), amounts[::-1])
        refusal("an unknown quantity", space.count, "no such quantity", codes)

    # -- smaller spaces ------------------------------------------------------------------------------------------

    def test_restricted_space_keeps_the_meaning_of_codes(self) -> None:
        """A restricted space stays inside its mask; ids, notation, identity and features stay the same."""
        space = self.make()
        codes = self._sample(space)
        allowed = space.allowed.copy()
        _warm_up(space)
        rng = np.random.default_rng(6)
        mask = allowed & (rng.random(allowed.shape) < 0.5)
        mask[np.arange(space.genes), codes[0]] = True
        smaller = space.restrict(mask)
        assert_array_equal(space.allowed, allowed, "restrict() changes the space itself")
        assert type(smaller) is type(space)
        inside = smaller.sample(self.draws, rng)
        assert mask[np.arange(space.genes), inside].all(), "a restricted space draws values that it does not allow"
        assert space.valid(inside).all(), "a restricted space draws codes that the whole space does not have"
        permitted = mask[np.arange(space.genes), codes].all(axis=1)
        assert_array_equal(smaller.valid(codes), permitted, "valid() of a restricted space is its mask and the rules")
        assert_array_equal(smaller.network_ids(inside), space.network_ids(inside), "codes keep their identity")
        assert [smaller.format(code) for code in inside[:20]] == [space.format(code) for code in inside[:20]]
        for name in space.encodings:
            assert_array_equal(
                smaller.encode(inside, name), space.encode(inside, name), f"{name} changes in a restricted space"
            )
        if space.enumerable and space.listed_by == "network":
            listed = smaller.network_ids(smaller.enumerate())
            assert np.isin(smaller.network_ids(inside), listed).all(), "enumerate() of a restricted space is incomplete"
            assert np.isin(listed, space.network_ids(space.enumerate())).all(), "a restricted space has new networks"
            assert len(np.unique(listed)) == smaller.size
        elif space.enumerable:
            whole = space.enumerate()
            assert_array_equal(
                smaller.enumerate(),
                whole[mask[np.arange(space.genes), whole].all(axis=1)],
                "enumerate() of a restricted space",
            )
        assert_array_equal(space.limited(smaller.limits).allowed, mask, "limits do not describe the restriction")

    def test_space_can_be_restricted_to_a_single_code(self) -> None:
        """However many genes there are, a space of one code lists and draws that one."""
        space = self.make()
        code = self._sample(space)[:1]
        single = space.restrict(np.arange(space.allowed.shape[1]) == code[0][:, None])
        assert_array_equal(single.enumerate(), code)
        assert_array_equal(single.sample(3, np.random.default_rng(0)), code.repeat(3, axis=0))
        assert single.size == 1
        assert len(single.neighbours(code)[0]) == 0

    def test_impossible_restrictions_are_refused(self) -> None:
        """A mask that leaves a gene nothing, or has another shape, is refused."""
        space = self.make()
        nothing = space.allowed.copy()
        nothing[0] = False
        refusal("restrict() that leaves a gene no value", space.restrict, nothing)
        refusal("restrict() with a mask of another shape", space.restrict, space.allowed[:, :-1])

    def test_limits_hold_wherever_codes_come_from(self) -> None:
        """Samples, children and neighbours under `where` meet the limit."""
        space = self.make()
        codes = self._sample(space)
        _warm_up(space)
        for quantity in space.quantities:
            amounts = space.count(quantity, codes)
            middle = float(np.median(amounts))
            for relation, meets in (("<=", amounts <= middle), (">=", amounts >= middle)):
                rule = f"{quantity}{relation}{middle!r}"
                limited = space.where(rule)
                assert_array_equal(limited.valid(codes), meets, f"valid() under {rule}")
                inside = limited.sample(self.draws, np.random.default_rng(7))
                near, _ = limited.neighbours(inside)
                parents = with_neighbours(limited, inside)
                children = limited.mutate(parents, np.random.default_rng(8)) if len(parents) else parents
                for origin, made in (("sample", inside), ("neighbours", near), ("mutate", children)):
                    amount = limited.count(quantity, made)
                    kept = amount <= middle if relation == "<=" else amount >= middle
                    assert kept.all(), f"{origin}() under {rule} leaves the limit"
                again = space.limited(limited.limits)
                assert_array_equal(again.valid(codes), meets, f"limits do not describe {rule}")

    def test_samples_in_a_band_are_those_of_the_space_that_lie_there(self) -> None:
        """Limits from below and above leave each code as likely as it was among those inside."""
        space = self.make()
        codes = space.sample(8_000, np.random.default_rng(10))
        for quantity in space.quantities:
            amounts = space.count(quantity, codes)
            low, high = (float(bound) for bound in np.quantile(amounts, (0.4, 0.6), method="nearest"))
            band = space.where(f"{quantity}>={low!r},{quantity}<={high!r}")
            inside = codes[(amounts >= low) & (amounts <= high)]
            drawn = band.sample(len(inside), np.random.default_rng(11))
            assert band.valid(drawn).all(), f"sample() leaves the band of {quantity}"
            expected, observed = (shares(part, space.allowed.shape[1]) for part in (inside, drawn))
            pooled = (expected + observed) / 2
            error = 5 * np.sqrt(np.maximum(pooled * (1 - pooled), 1 / len(inside)) * 2 / len(inside))
            off = np.argwhere(np.abs(observed - expected) > error)
            assert not len(off), (
                f"sample() in a band of {quantity} draws gene {off[0][0]} as {off[0][1]} with probability "
                f"{observed[tuple(off[0])]:.3f}; among codes of the space that lie there it is {expected[tuple(off[0])]:.3f}"
            )

    def test_limits_that_cannot_be_met_are_refused(self) -> None:
        """A limit that is unknown, unreadable or leaves nothing is refused."""
        space = self.make()
        refusal("where() on an unknown quantity", space.where, "nosuchquantity<=1")
        refusal("where() with a rule that cannot be read", space.where, "params about a million")
        for quantity in space.quantities:
            rule = f"{quantity}<0"
            refusal(f"sample() under {rule}", lambda rule: space.where(rule).sample(1, np.random.default_rng(0)), rule)

    # -- helpers -------------------------------------------------------------------------------------------------

    def _sample(self, space: SearchSpace) -> Codes:
        return space.sample(self.draws, np.random.default_rng(0))

    def _crowd(self, space: SearchSpace) -> Codes:
        """Codes among which some are the same network: samples, some of them twice, and neighbours."""
        codes = self._sample(space)
        return np.concatenate([codes, codes[:10], space.neighbours(codes[:20])[0]])


def _warm_up(space: SearchSpace) -> None:
    """Let a space remember what it will, so that a smaller copy that inherits stale memories is found out."""
    codes = space.sample(2, np.random.default_rng(0))
    space.network_ids(codes)
    space.encode(codes)
    if space.enumerable:
        _ = space.size
        space.enumerate()
