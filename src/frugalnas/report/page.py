"""Pages of HTML that stand alone: their look, and the pieces that they are made of, in which every text is escaped."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from frugalnas.errors import NAMED

MAGNIFIED = 1.75
"""Pixels of the page for each point of a figure."""

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, "DejaVu Sans", Arial, sans-serif; color: #1a1a1a; background: #fff; margin: 0; }
main { max-width: 1160px; margin: 0 auto; padding: 28px 24px 60px; }
h1 { font-size: 24px; margin: 0 0 2px; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 36px 0 10px; }
h3 { font-size: 15px; margin: 0 0 6px; }
.figures + h3 { margin-top: 26px; }
p.sub { color: #5a5a5a; margin: 0 0 22px; }
dl.key { display: flex; flex-wrap: wrap; gap: 10px 34px; margin: 0; }
dl.key dt { color: #5a5a5a; font-size: 13px; }
dl.key dd { margin: 0; font-size: 22px; font-variant-numeric: tabular-nums; }
dl.key dd small { font-size: 13px; color: #5a5a5a; }
.figures { display: flex; flex-wrap: wrap; gap: 24px 36px; align-items: flex-start; }
figure { margin: 0; max-width: 100%; }
figcaption { color: #5a5a5a; font-size: 13px; max-width: 60ch; }
img { max-width: 100%; height: auto; display: block; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: #5a5a5a; border-bottom: 1px solid #bbb; padding: 3px 18px 3px 0; }
td { padding: 2px 18px 2px 0; border-bottom: 1px solid #eee; }
td.n, th.n { text-align: right; white-space: nowrap; }
ul { padding-left: 20px; margin: 6px 0; }
code, pre { font: 13px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; white-space: pre-wrap; }
pre { background: #f6f6f6; padding: 10px 12px; margin: 8px 0; }
details summary { cursor: pointer; color: #5a5a5a; }
"""


class Markup(str):
    """A piece of HTML, whose parts have been escaped; any other text is escaped where it is put into one."""

    __slots__ = ()


def tag(name: str, *pieces: str, **attributes: str) -> Markup:
    """An element that holds these pieces, each escaped unless it is markup; attributes that are empty are left out.

    Example:
        >>> tag("p", "a < b", tag("code", "c"), cls="sub")
        '<p class="sub">a &lt; b<code>c</code></p>'
    """
    said = "".join(
        f' {"class" if key == "cls" else key}="{html.escape(value)}"' for key, value in attributes.items() if value
    )
    inner = "".join(piece if isinstance(piece, Markup) else _escaped(piece, name) for piece in pieces)
    return Markup(f"<{name}{said}>{inner}</{name}>")


def _escaped(text: str, inside: str) -> str:
    """A text as HTML; arguments that it names in backticks are code, whatever command makes the page."""
    escaped = html.escape(text)
    verbatim = inside in ("pre", "code", "title")
    return escaped if verbatim else NAMED.sub(lambda found: f"<code>{found[0].replace('`', '')}</code>", escaped)


def html_page(
    title: str, subtitle: str, top: Iterable[Markup], sections: Iterable[tuple[str, Iterable[Markup]]], name: str = ""
) -> str:
    """The whole page as text; it needs no other file.

    Args:
        title: the heading.
        subtitle: a line beneath.
        top: what follows at once.
        sections: further headings and what stands beneath; one without anything is left out.
        name: of the page in a browser, where it is not the heading.
    """
    held = [(heading, list(pieces)) for heading, pieces in sections]
    parts = [tag("h1", title), tag("p", subtitle, cls="sub"), *top]
    for heading, pieces in held:
        parts += [tag("h2", heading), *pieces] if pieces else []
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{tag('title', name or title)}\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def key_numbers(numbers: Iterable[tuple[str, str, str]]) -> Markup:
    """The numbers that a page is about: what each is, its value, and a word more."""
    items = (
        tag("div", tag("dt", what), tag("dd", value, Markup(" "), tag("small", more))) for what, value, more in numbers
    )
    return tag("dl", *items, cls="key")


def again(config: Mapping[str, Any]) -> list[Markup]:
    """A run's configuration, folded up."""
    import yaml

    shown = {key: value for key, value in config.items() if key != "kind"}
    version, everything = str(config.get("frugalnas", "")), tag("code", "config.yaml")
    written = tag("pre", yaml.safe_dump(shown, sort_keys=False, width=100))
    return [
        tag("p", f"frugalnas {version}; the run's ", everything, " has everything:"),
        tag("details", tag("summary", "configuration"), written),
    ]


def figure(path: Path, alternative: str, caption: str = "") -> Markup:
    """An image that is part of the page; as an image its names and styles cannot meet those of another one."""
    drawing = path.read_bytes()
    points = re.search(rb'<svg[^>]* width="([\d.]+)pt"', drawing)
    width = f"{MAGNIFIED * float(points[1]):.0f}" if points else ""
    data = f"data:image/svg+xml;base64,{base64.b64encode(drawing).decode('ascii')}"
    image = tag("img", alt=alternative, width=width, src=data).removesuffix("</img>")
    return tag("figure", Markup(image), *([tag("figcaption", caption)] if caption else []))


def side_by_side(*pieces: Markup) -> Markup:
    """Figures, and what else stands beside them."""
    return tag("div", *pieces, cls="figures")


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: int) -> Markup:
    """A table, whose last columns hold numbers and are set to the right; cells are texts or `Markup`."""
    kinds = [""] * (len(headings) - numbers) + ["n"] * numbers
    head = tag("tr", *(tag("th", name, cls=kind) for name, kind in zip(headings, kinds, strict=True)))
    body = (tag("tr", *(tag("td", cell, cls=kind) for cell, kind in zip(row, kinds, strict=True))) for row in rows)
    return tag("table", tag("thead", head), tag("tbody", *body))


def listing(items: Iterable[str]) -> Markup:
    """Sentences as a list."""
    return tag("ul", *(tag("li", item) for item in items))


def millions(count: float) -> str:
    """A count in millions, where it is that large."""
    return f"{count / 1e6:,.2f} M" if count >= 1e6 else f"{count:,.0f}"
