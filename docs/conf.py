"""How Sphinx builds these pages: `bash docs/build`."""

from __future__ import annotations

import os
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

# Before NumPy is imported: more threads than free cores make small linear algebra many times slower.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import frugalnas

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from pictures import Pictures

EXAMPLES = HERE / "_examples"
"""Copies of the gallery's scripts: they run beside themselves, and what they write is thrown away."""
API = HERE / "reference" / "api"
"""Pages that are written anew by each build: one for each room, from its `__all__`."""

project = "frugalnas"
author = "the authors of frugalnas"
copyright = author
version = release = frugalnas.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["_build", "_examples", "gallery/*.ipynb"]
nitpicky = True
default_role = "code"
highlight_language = "text"
suppress_warnings = [
    "ref.python",  # a type's short name may mean a class here and in a room
    "config.cache",  # the gallery's settings hold a function, and no build continues another
]
# Types in signatures belong to other packages too, whose pages no build fetches.
nitpick_ignore_regex = [("py:(class|data)", ".*"), ("py:obj", r"(?!frugalnas\.).*"), ("py:exc", ".*")]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Contents", "params_style")]

html_theme = "pydata_sphinx_theme"
html_title = "frugalnas"
html_show_sourcelink = False
html_show_copyright = False
html_theme_options = {"navbar_align": "left", "show_nav_level": 2, "secondary_sidebar_items": ["page-toc"]}


sphinx_gallery_conf = {
    "examples_dirs": "_examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "image_scrapers": (Pictures(EXAMPLES),),
    "reset_modules": (),
    "capture_repr": (),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
    "remove_config_comments": True,
}


def copy_examples() -> None:
    """The scripts that draw, in a folder where nothing else is."""
    shutil.rmtree(EXAMPLES, ignore_errors=True)
    EXAMPLES.mkdir()
    scripts = (HERE.parent / "examples").glob("plot_*.py")
    for file in [*sorted(scripts), HERE.parent / "examples" / "GALLERY_HEADER.rst"]:
        shutil.copyfile(file, EXAMPLES / file.name)


def write_reference() -> None:
    """A page for the public names, one for each room, and one with the help of every command."""
    shutil.rmtree(API, ignore_errors=True)
    API.mkdir(parents=True)
    rooms = [found.name for found in pkgutil.iter_modules(frugalnas.__path__) if found.ispkg and found.name != "cli"]
    for room in ["", *rooms]:
        name = f"frugalnas.{room}".rstrip(".")
        page = f"{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n   :members:\n   :show-inheritance:\n"
        if room:  # what stands at the top stands there only
            page += f"   :exclude-members: {', '.join(frugalnas.__all__)}\n"
        (API / f"{name}.rst").write_text(page)
    (API / "commands.md").write_text("\n".join(["# Commands", "", *help_of_commands()]))


def help_of_commands() -> list[str]:
    """What `--help` says, of the program and of each of its commands."""
    top = said_by()
    names = re.findall(r"^    ([a-z][a-z-]+)(?: |$)", top, flags=re.MULTILINE)
    lines = ["```text", top, "```"]
    for name in names:
        lines += ["", f"## {name}", "", "```text", said_by(name), "```"]
    return lines


def said_by(*command: str) -> str:
    """The help of a command, in a process of its own: argparse measures the terminal and ends the program."""
    call = "import sys; from frugalnas.cli import main; sys.exit(main())"
    environment = {**os.environ, "COLUMNS": "110"}
    arguments = [sys.executable, "-c", call, *command, "--help"]
    return subprocess.run(arguments, capture_output=True, text=True, check=True, env=environment).stdout.strip()


def plain(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are written to be read as they stand: only their backticks and blocks mean something to Sphinx."""
    spans = re.split(r"(`(?:[^`\n]|\n(?![ ]*\n))+`)", "\n".join(lines))
    text = "".join(f"``{span[1:-1]}``" if span.startswith("`") else escaped(span) for span in spans)
    lines[:] = text.split("\n")


def escaped(text: str) -> str:
    """Text in which nothing means anything to reStructuredText, examples and blocks left as they are."""
    lines, example, before = [], False, "beginning"
    for line in text.split("\n"):
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if not example and (before.strip() or not line.startswith("    ")):
            line = re.sub(r"([*|]|(?<=\w)_(?!\w))", r"\\\1", line)
        lines.append(line)
        before = line
    return "\n".join(lines)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    copy_examples()
    write_reference()
    app.connect("autodoc-process-docstring", plain, priority=100)
