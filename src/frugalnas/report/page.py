"""Pages of HTML that stand alone: their look, and the pieces that they are made of."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "Markup",
    "again",
    "escaped",
    "figure",
    "html_page",
    "key_numbers",
    "listing",
    "millions",
    "paragraph",
    "table",
    "tagged",
]

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
    """A piece of HTML, whose parts have been escaped; any other text is escaped where it is put into a page."""

    __slots__ = ()


def tagged(tag: str, text: str) -> Markup:
    """A text within a tag, such as "code"."""
    return Markup(f"<{tag}>{escaped(text)}</{tag}>")


def paragraph(text: str) -> Markup:
    """A paragraph."""
    return tagged("p", text)


def html_page(title: str, parts: Sequence[str]) -> str:
    """The whole page as text; it needs no other file."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def key_numbers(numbers: Iterable[tuple[str, str, str]]) -> str:
    """The numbers that a page is about: what each is, its value, and a word more."""
    items = [
        f"<div><dt>{escaped(what)}</dt><dd>{escaped(value)} <small>{escaped(more)}</small></dd></div>"
        for what, value, more in numbers
    ]
    return f'<dl class="key">{"".join(items)}</dl>'


def again(config: Mapping[str, Any]) -> str:
    """A run's configuration, folded up."""
    import yaml

    shown = {key: value for key, value in config.items() if key != "kind"}
    written = yaml.safe_dump(shown, sort_keys=False, width=100)
    return (
        f"<p>frugalnas {escaped(str(config.get('frugalnas', '')))}; the run's <code>config.yaml</code> has everything:</p>"
        f"<details><summary>configuration</summary><pre>{escaped(written)}</pre></details>"
    )


def figure(path: Path, alternative: str, caption: str = "") -> str:
    """An image that is part of the page; as an image its names and styles cannot meet those of another one."""
    drawing = path.read_bytes()
    points = re.search(rb'<svg[^>]* width="([\d.]+)pt"', drawing)
    width = f' width="{MAGNIFIED * float(points[1]):.0f}"' if points else ""
    data = base64.b64encode(drawing).decode("ascii")
    said = f"<figcaption>{escaped(caption)}</figcaption>" if caption else ""
    return f'<figure><img alt="{escaped(alternative)}"{width} src="data:image/svg+xml;base64,{data}">{said}</figure>'


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: int) -> str:
    """A table, whose last columns hold numbers and are set to the right; cells are texts or `Markup`."""
    kinds = [""] * (len(headings) - numbers) + [" class=n"] * numbers
    head = "".join(f"<th{kind}>{escaped(name)}</th>" for name, kind in zip(headings, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escaped(cell)}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def listing(items: Iterable[str]) -> str:
    """Sentences as a list."""
    return f"<ul>{''.join(f'<li>{escaped(item)}</li>' for item in items)}</ul>"


def millions(count: float) -> str:
    """A count in millions, where it is that large."""
    return f"{count / 1e6:,.2f} M" if count >= 1e6 else f"{count:,.0f}"


def escaped(text: str) -> str:
    """A text as HTML shows it; markup as it is."""
    return text if isinstance(text, Markup) else html.escape(str(text))
