"""What README and docs say is true: every command in a block that begins with ```bash run is typed, and links lead somewhere."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).parents[2]
PAGES = [
    REPOSITORY / "README.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *sorted((REPOSITORY / "docs").glob("[!_]*/*.md")),
]
WRITTEN = {"howto/searches.md": "scored.py", "tutorials/own_method.md": "climber.py"}
"""Pages that tell to save their Python under a name."""


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix().removeprefix("docs/")


def blocks(page: Path, info: str) -> list[str]:
    return re.findall(rf"^```{info}\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    lines = "".join(blocks(page, "bash run")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip()]


def photos(folder: Path) -> None:
    """Twelve small pictures each of two classes."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for name, shade in (("cats", 60), ("dogs", 180)):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(shade, shade + 60, size=(8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name_of)
@pytest.mark.pictures
def test_commands_do_what_pages_say(page, tmp_path, monkeypatch, cli):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    if "photos" in page.read_text():
        photos(tmp_path / "photos")
    if name_of(page) in WRITTEN:
        (tmp_path / WRITTEN[name_of(page)]).write_text(doctest.script_from_examples(page.read_text()))
    for line in commands(page):
        words = shlex.split(line, comments=True)
        assert words[0] == "frugalnas", f"{line}: only commands of frugalnas are typed"
        said = cli(*words[1:])
        assert said.code == 0, f"{line}\n{said.err}"


def test_links_lead_somewhere():
    broken = []
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path = target.partition("#")[0]
            if path and "://" not in path and not (page.parent / path).exists():
                broken.append(f"{name_of(page)}: {target}")
    assert not broken, "\n".join(broken)


def test_readme_has_the_two_commands_of_the_set_up():
    lines = (REPOSITORY / "README.md").read_text().splitlines()
    assert [line for line in lines if line.startswith("python -m pip install")][:2] == [
        "python -m pip install -e . && frugalnas search",
        "python -m pip install -e '.[test]' && pytest",
    ]
    assert (REPOSITORY / "README.md").stat().st_size < 9_000
