"""`frugalnas score`: what a trained supernet says of architectures."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalnas.amounts import shown_amount, shown_count
from frugalnas.cli.options import SCORE_HELP, add_angle, add_limit, add_operators, lines_in, settings_of
from frugalnas.cli.parsing import option
from frugalnas.cli.search import described_subject, fit_to_data, refuse, supernet_space
from frugalnas.cli.text import print_columns, print_json
from frugalnas.cli.training_options import add_data
from frugalnas.errors import FrugalnasError
from frugalnas.registry import SPACES

if TYPE_CHECKING:
    from frugalnas.scores import Score
    from frugalnas.spaces import Codes, FloatArray, SearchSpace

DRAWN = {True: 100_000, False: 100}
"""Architectures drawn from a space by a fast score, and by one that takes long for each, where nobody says how many."""
TOP = 10
COUNTS = ("params", "macs", "thop", "latency")
SPELLINGS = 1_000
"""How many codes of one network are looked past on average to find the next."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Score architectures by a trained supernet, or as networks that nobody has trained: all of a space that "
        "can be listed, a sample of a larger one, or those that are named. Parameters and multiply-adds stand beside the "
        "score: what it knows beyond them is what it is worth."
    )
    parser.epilog = (
        "Examples: frugalnas score runs/supernet --score angle --where 'params<=0.5M' --out angles.csv; "
        "frugalnas score --space darts --score naswot --data digits --sample 50"
    )
    option(
        parser,
        "run_dir RUN|SPACE",
        "folder of a supernet's run, or of a method's that trained one; or the name of a space, of whose untrained "
        "networks synflow, naswot, gradnorm, params and macs are scores",
        nargs="?",
    )
    option(parser, "architectures ARCH", "architectures to score, in the space's notation [the space]", nargs="*")
    option(parser, "--score NAME", SCORE_HELP, default="angle")
    add_angle(parser.add_argument_group("which angle"))
    add_accuracy(parser)
    add_data(parser, None, "of a run its own, of a space none")
    group = parser.add_argument_group("of which architectures")
    option(group, "--codes FILE", "a text file, one architecture a line", Path)
    option(group, "--sample N", "draw so many [all, where the space can be listed and the score is fast]", int)
    add_limit(group, "only architectures such as 'macs<=475M'")
    add_operators(group)
    option(group, "--maximise", "compute the largest angle of a space of layers or one that can be listed", bool)
    option(group, "--space NAME", "the space whose untrained networks are scored, without a run")
    option(
        group,
        "--set space.NAME=VALUE",
        "size of the networks that parameters and multiply-adds refer to, such as space.width=36",
        list,
    )
    group = parser.add_argument_group("what is shown")
    option(group, "--top N", f"the best of them [{TOP}]", int, default=TOP)
    option(group, "--out FILE", "write all scores, .csv or .parquet", Path)
    option(group, "--json", "as JSON", bool)
    parser.set_defaults(run=_run)


def add_accuracy(parser: argparse.ArgumentParser) -> None:
    """Add the options of scores that look at images."""
    group = parser.add_argument_group("scores that look at images")
    option(group, "--images N", "held-out ones for an accuracy, at most [1000]", int, default=1_000)
    option(
        group,
        "--recalibrate",
        "recalibrate batch norms for each path, with as many training images [yes]",
        action=argparse.BooleanOptionalAction,
        default=True,
    )
    option(group, "--device", "cpu, cuda, cuda:1, mps [cpu]", default="cpu")
    option(group, "--seed", "of samples, and weights of zero-cost scores [0]", int, default=0)


@dataclass(frozen=True)
class _Scored:
    """Architectures with their scores and costs, the best first.

    Attributes:
        columns: score, its parts, costs, by name.
        which: what architectures these are, for people.
        named: whether somebody named them.
    """

    space: SearchSpace
    codes: Codes
    columns: dict[str, FloatArray]
    which: str
    named: bool = False

    @property
    def scores(self) -> FloatArray:
        """Shape [n]."""
        return next(iter(self.columns.values()))

    def records(self, most: int) -> list[dict[str, Any]]:
        """A record for each of the first; of codes that build one network the first alone, unless they were named."""
        import numpy as np

        head = self.codes[: most * SPELLINGS]
        rows = np.arange(len(head))
        if not self.named:
            rows = np.sort(np.unique(self.space.network_ids(head), return_index=True)[1])
        records: list[dict[str, Any]] = []
        for row in rows[:most]:
            numbers = {name: float(values[row]) for name, values in self.columns.items()}
            records.append({**numbers, "architecture": self.space.format(self.codes[row])})
        return records


def _run(parsed: argparse.Namespace) -> None:
    import numpy as np

    from frugalnas.runs.descriptions import build_space
    from frugalnas.searches.scoring import fast
    from frugalnas.searches.supernet_scores import Looking, open_score
    from frugalnas.searches.untrained import open_untrained

    settings = settings_of(parsed.set, ("space",))
    if parsed.top < 1 or (parsed.sample is not None and parsed.sample < 1):
        raise FrugalnasError("--top and --sample are at least 1")
    if parsed.out is not None and parsed.out.suffix not in (".csv", ".parquet"):
        raise FrugalnasError(f"--out {parsed.out}: end it in .csv or .parquet")
    reading = {name: getattr(parsed, name) for name in ("data", "root", "download", "max_corrupt", "workers")}
    given = [name for name, value in reading.items() if value]
    _settle_whose(parsed)
    if parsed.run_dir is None:
        refuse(parsed, ("rule", "base", "epoch"), f"is of a supernet's angle; {parsed.space} is a space")
        described = described_subject(parsed, parsed.space, settings)
        data = None if parsed.data is None else fit_to_data(described, **reading)
        if data is None:
            refuse(parsed, given, "is about images; add --data")
        space = build_space(described)
        score: Score = open_untrained(space, parsed.score, data=data, seed=parsed.seed, device=parsed.device)
    else:
        refuse(parsed, given, "goes with a space; a supernet's run has its own images")
        space = supernet_space(parsed.run_dir, None, settings, parsed)
        looking = Looking(parsed.recalibrate, parsed.images, parsed.seed, parsed.device)
        angle = {name: getattr(parsed, name) for name in ("rule", "base", "epoch")}
        score = open_score(parsed.run_dir, parsed.score, space=space, looking=looking, **angle)
    if parsed.maximise:
        _maximise(parsed, space, score)
        return
    lines = [] if parsed.codes is None else lines_in(parsed.codes, "--codes", "an architecture")
    lines = [line for line in lines if not line.startswith("#")]
    if parsed.codes is not None and not lines:
        raise FrugalnasError(f"--codes {parsed.codes} has no architecture; write one a line")
    named = [*parsed.architectures, *lines]
    if named and parsed.sample is not None:
        raise FrugalnasError("--sample draws architectures; leave it out where they are named")
    codes, which = _parsed(space, named) if named else _drawn(space, parsed.sample, fast(parsed.score), parsed.seed)
    if not fast(parsed.score) and len(codes) > 1:
        print(f"scoring {len(codes):,} architectures by {parsed.score}", file=sys.stderr)
    scored = _scored(space, score, codes, which, bool(named))
    if not np.isfinite(scored.scores).all():
        raise FrugalnasError(f"the {score.name} of some architectures is not finite; take an earlier epoch")
    if parsed.out is not None:
        _write(scored, parsed.out)
    if parsed.json:
        print_json({"which": which, **_numbers(scored), "top": scored.records(parsed.top)})
        return
    _show(scored, parsed)


def _settle_whose(parsed: argparse.Namespace) -> None:
    """Either a run or a space is left of what was named; with `--space` every other word is an architecture."""
    first = parsed.run_dir
    if first is not None and not Path(first).exists():
        if first in SPACES.targets:
            if parsed.space not in (None, first):
                raise FrugalnasError(f"{first} and --space {parsed.space} are two spaces; leave --space out")
            parsed.space, parsed.run_dir = first, None
        elif parsed.space is not None:
            parsed.architectures, parsed.run_dir = [first, *parsed.architectures], None
    if (parsed.space is None) == (parsed.run_dir is None):
        raise FrugalnasError("score by RUN, the folder of a supernet's run, or untrained networks of --space; give one")


def _parsed(space: SearchSpace, texts: Sequence[str]) -> tuple[Codes, str]:
    import numpy as np

    codes = space.as_codes([space.parse(text) for text in texts])
    outside = np.flatnonzero(~space.valid(codes))
    if outside.size:
        raise FrugalnasError(
            f"{texts[outside[0]]} is not an architecture of {space!r}; leave it out, or lift the limit"
        )
    return codes, f"{len(codes):,} architectures" if len(codes) > 1 else "one architecture"


def _drawn(space: SearchSpace, sample: int | None, quick: bool, seed: int) -> tuple[Codes, str]:
    """All architectures, or a sample."""
    import numpy as np

    size, words = _words(space)
    if space.enumerable and (sample is None if quick else (sample or DRAWN[False]) >= space.size):
        codes = space.enumerate()
        return codes, f"all {len(codes):,} architectures of {words}"
    drawn = DRAWN[quick] if sample is None else sample
    codes = np.unique(space.sample(drawn, np.random.default_rng(seed)), axis=0)
    return codes, f"{len(codes):,} architectures drawn from {size} of {words} (seed {seed})"


def _words(space: SearchSpace) -> tuple[str, str]:
    """The number of its architectures, and what it is called with its limits."""
    where = space.limits.get("where")
    return shown_count(space.size), f"{space.name} with {where}" if where else space.name


def _scored(space: SearchSpace, score: Score, codes: Codes, which: str, named: bool = False) -> _Scored:
    import numpy as np

    from frugalnas.searches.scoring import scored_with_parts

    values, parts = scored_with_parts(score, codes)
    columns: dict[str, FloatArray] = {score.name: values, **parts}
    for name in space.quantities:
        columns.setdefault(name, space.count(name, codes))
    order = np.argsort(-values, kind="stable")
    return _Scored(space, codes[order], {name: column[order] for name, column in columns.items()}, which, named)


def _numbers(scored: _Scored) -> dict[str, Any]:
    """How the scores are distributed, and how much of them is size."""
    import numpy as np

    from frugalnas.scores.correlation import kendall_tau

    scores = scored.scores
    shares = (0, 0.25, 0.5, 0.75, 0.95, 1)
    known = {
        "architectures": len(scores),
        "distinct": len(np.unique(scores)),
        "quantiles": {f"{share:g}": float(np.quantile(scores, share)) for share in shares},
    }
    if len(scores) > 1:
        taus = {
            name: kendall_tau(scores, scored.columns[name])
            for name in scored.space.quantities
            if name in scored.columns and not np.array_equal(scored.columns[name], scores)
        }
        known["tau"] = {name: None if tau != tau else tau for name, tau in taus.items()}
    return known


def _show(scored: _Scored, parsed: argparse.Namespace) -> None:
    from frugalnas.searches.scoring import score_title

    numbers = _numbers(scored)
    rows: list[tuple[str, ...]] = [("score", f"{score_title(parsed.score)}: {_how(parsed)}"), ("of", scored.which)]
    if len(scored.codes) > 1:
        low, first, middle, third, _, high = numbers["quantiles"].values()
        rows.append(
            ("spread", f"{low:.6g} to {high:.6g}, half of them {first:.6g} to {third:.6g}, median {middle:.6g}")
        )
        rows.append(("distinct", f"{numbers['distinct']:,} values"))
        said = ", ".join(f"{name} {'none' if tau is None else f'{tau:.3f}'}" for name, tau in numbers["tau"].items())
        rows.append(("Kendall's tau", f"with {said}"))
    if parsed.out is not None:
        rows.append(("all scores", str(parsed.out)))
    print_columns(rows)
    print()
    rows = []
    for place, record in enumerate(scored.records(parsed.top), 1):
        rows.append((str(place), *(_shown(name, record[name]) for name in scored.columns), record["architecture"]))
    print_columns(rows, ("place", *scored.columns, "architecture"))
    if len(scored.codes) > 1:
        text = scored.space.format(scored.codes[0])
        best = shlex.quote(text) if "'" not in text else f'"{text}"'  # a genotype reads better so
        print(f"\nTrain the first with: frugalnas train {best} --space {scored.space.name} ...")


def _shown(name: str, value: float) -> str:
    return shown_amount(name, value) if name in COUNTS else f"{value:.6g}"


def _how(parsed: argparse.Namespace) -> str:
    """From which weights to which."""
    from frugalnas.searches.supernet_scores import angle_base, supernet_folder
    from frugalnas.trainings.supernet import load_supernet

    if parsed.run_dir is None:
        return f"of networks that nobody has trained, seed {parsed.seed}{f', {parsed.data}' if parsed.data else ''}"
    folder = supernet_folder(parsed.run_dir)
    if not {"angle", "accuracy"} & set(parsed.score.split("+")):
        return f"of the networks themselves, no weight of {folder} counts"
    run = load_supernet(folder)
    epoch = len(run.epochs) if parsed.epoch is None else parsed.epoch
    words = [str(folder), f"after epoch {epoch} of {run.total_epochs}"]
    if "angle" in parsed.score.split("+"):
        base = angle_base(run, epoch) if parsed.base is None else parsed.base
        words += [f"from the weights after epoch {base}", f"rule {parsed.rule or 'default'}"]
    return ", ".join(words)


def _write(scored: _Scored, path: Path) -> None:
    """All scores, as CSV or Parquet."""
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    texts = [scored.space.format(code) for code in scored.codes]
    table = pyarrow.table({"architecture": texts, **scored.columns})
    if not path.parent.is_dir():
        raise FrugalnasError(f"--out {path}: there is no folder {path.parent}; make it, or choose another file")
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pyarrow.parquet.write_table(table, path, compression="zstd")


def _maximise(parsed: argparse.Namespace, space: SearchSpace, score: Score) -> None:
    """Show the architecture of the largest angle."""
    from frugalnas.scores import Angle
    from frugalnas.scores.maximise import largest_angle

    if not isinstance(score, Angle):
        raise FrugalnasError(f"--maximise computes the largest angle; of {parsed.score} rank a sample (leave it out)")
    if parsed.architectures or parsed.codes is not None or parsed.sample is not None:
        raise FrugalnasError("--maximise looks at the whole space; leave architectures, --codes and --sample out")
    found = largest_angle(score.table, space, seed=parsed.seed)
    scored = _scored(space, score, found.code[None], "the largest angle")
    if parsed.json:
        print_json({"certified": found.certified, "at_most": found.at_most, **scored.records(1)[0]})
        return
    sure = "certified: no architecture has a larger one" if found.certified else f"none is above {found.at_most:.6g}"
    rows = [
        ("score", f"angle, rad: {_how(parsed)}"),
        ("of", "all {} architectures of {}".format(*_words(space))),
        ("largest", f"{found.angle:.9g} ({sure})"),
        *((name, _shown(name, float(scored.columns[name][0]))) for name in space.quantities),
        ("architecture", space.format(found.code)),
    ]
    print_columns(rows)
