"""What all tests share: a cache of their own, the real data where it is present, and the command line as a person meets it."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings

# Before NumPy is imported: more threads than free cores make small linear algebra many times slower.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# Every test process rewrites the assertions of all tests, and every command that a test starts compiles the package: where
# the environment forbids to keep what was compiled, that is done anew dozens of times.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

gc.disable()  # nothing of what is imported will be garbage: see `pytest_collection_finish`

settings.register_profile(
    "frugalnas",
    max_examples=25,
    deadline=None,
    database=None,
    # On a developer's machine every run tries other examples; a submission is judged by the same ones each time.
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.register_profile("thorough", settings.get_profile("frugalnas"), max_examples=100)
settings.load_profile("frugalnas")

REPOSITORY = Path(__file__).parent.parent
SHARED_DATA = Path(os.environ.get("FRUGALNAS_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
NO_SHARED_DATA = "the shared data is not there"

UNMET = pytest.StashKey[list[str]]()

_cache: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return  # one of several test processes: it shares the cache of the process that started it
    # Doctests open tables too and see no fixtures of this folder: the cache is set before anything is collected.
    _cache.append(tempfile.mkdtemp(prefix="frugalnas-test-cache-"))
    os.environ["FRUGALNAS_CACHE"] = _cache[0]


@pytest.hookimpl(tryfirst=True)  # before those that are slow are left out
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Cases of a test marked `typical` are slow unless one of its patterns is of their id."""
    cases = defaultdict(list)
    for item in items:
        if typical := item.get_closest_marker("typical"):
            cases[item.nodeid.partition("[")[0], typical.args].append(item)
    for (_, patterns), whole in cases.items():
        unmet = set(patterns)
        for item in whole:
            met = {pattern for pattern in patterns if fnmatchcase(item.callspec.id, pattern)}
            unmet -= met
            if not met:
                item.add_marker(pytest.mark.slow)
        if not any(
            "[" in argument for argument in config.args
        ):  # where cases were chosen by hand, others may be absent
            whole[0].stash[UNMET] = sorted(unmet)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if unmet := item.stash.get(UNMET, None):
        pytest.fail(f"no case of the test is of these patterns of its mark `typical`: {', '.join(unmet)}")


def pytest_collection_finish() -> None:
    """What is imported stays: the collector need not look at a million objects of torch and its like again and again."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_unconfigure(config: pytest.Config) -> None:
    while _cache:
        shutil.rmtree(_cache.pop(), ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if NO_SHARED_DATA in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(
            f"{len(skipped)} tests were skipped for want of the shared data; "
            f"FRUGALNAS_TEST_DATA names its folder (looked in {SHARED_DATA})"
        )


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data that is not part of the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"{NO_SHARED_DATA}: set FRUGALNAS_TEST_DATA to its folder (looked in {SHARED_DATA})")
    return SHARED_DATA


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for one test."""
    folder = tmp_path / "fresh-cache"
    monkeypatch.setenv("FRUGALNAS_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def _unrendered(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are set up and saved by what a test calls in this process, but as empty files: most tests that draw look at texts
    and journals alone. A test marked `pictures` gets what a user gets, at least one of every command and all of `tests/report`.
    """
    if request.node.get_closest_marker("pictures") is None:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: Path(path).write_bytes(b""))
        monkeypatch.setattr(ConstrainedLayoutEngine, "execute", lambda engine, figure: None)


class Outcome(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def rewritten() -> Callable[..., bytes]:
    """A journal of such records, as if a run had written them."""
    from frugalnas.runs.seal import summed

    def journal(records: Iterable[dict[str, object]]) -> bytes:
        lines, total = [], 0
        for record in records:
            line, total = summed({name: value for name, value in record.items() if name != "sum"}, total)
            lines.append(line + b"\n")
        return b"".join(lines)

    return journal


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command in this process; an exception that reaches the terminal as a traceback fails the test."""
    from frugalnas.cli import main

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        path = list(sys.path)
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as leaving:  # argparse
            code = int(leaving.code or 0)
        finally:
            sys.path[:] = path
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    return run


class Process(NamedTuple):
    """A command in a process of its own, with a slow evaluator where that is asked for."""

    child: subprocess.Popen[str]

    def wait_for(self, file: Path, lines: int, seconds: float = 60.0) -> None:
        """Return once `file` has so many lines, or the process has ended."""
        until = time.monotonic() + seconds
        while self.child.poll() is None and time.monotonic() < until:
            if file.exists() and file.read_bytes().count(b"\n") >= lines:
                return
            time.sleep(0.002)
        assert time.monotonic() < until, f"{file} did not grow to {lines} lines in {seconds} s"

    def kill(self) -> None:
        """SIGKILL: nothing is cleaned up."""
        self.child.kill()
        self.child.communicate()

    def interrupt(self) -> Outcome:
        """Ctrl-C."""
        self.child.send_signal(signal.SIGINT)
        return self.end()

    def end(self, seconds: float = 120.0) -> Outcome:
        """Wait for the end."""
        out, err = self.child.communicate(timeout=seconds)
        return Outcome(self.child.returncode, out, err)


def start(arguments: Sequence[object], cwd: Path, **environment: str) -> Process:
    """A Python process that finds the modules of this folder and uses one thread."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY / "tests"), os.environ.get("PYTHONPATH", "")]))
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "COLUMNS": "200"}
    child = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, **one_thread, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Process(child)


@pytest.fixture
def python(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start Python with arguments; whatever still runs at the end of the test is ended."""
    started: list[Process] = []

    def run(*arguments: object, cwd: Path | None = None, **environment: str) -> Process:
        started.append(start(arguments, cwd or tmp_path, **environment))
        return started[-1]

    yield run
    for process in started:
        if process.child.poll() is None:
            process.kill()


@pytest.fixture
def command(python: Callable[..., Process]) -> Callable[..., Process]:
    """Start the installed `frugalnas` command in a process of its own."""
    # A shell that starts its jobs in the background has them ignore Ctrl-C, and children inherit that.
    heed = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
    call = f"{heed}; from frugalnas.cli import main; sys.exit(main())"

    def run(*arguments: object, **options: str) -> Process:
        return python("-c", call, *arguments, **options)

    return run
