"""The picture of a table, as SVG: what people would rather look at than read.

A table that carries a `Picture` is drawn where pages are written; everywhere else its rows speak. Matplotlib draws,
loaded when there is something to draw; the same table gives the same text, and several of them can stand in one page.
A title names the curves for those who cannot see them.
"""

from __future__ import annotations

import io
import re
from itertools import cycle
from typing import Any

import numpy as np
from markupsafe import escape

from refscore.report.outcome import Table

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")  # Okabe & Ito: told apart by everybody
_MARKS = "osD^vPX"
_MANY = 25
"""Points of a curve from which no marks are drawn."""


def svg(table: Table) -> str:
    """The curves of ``table.picture``, one a column, as an <svg> element; what is no number is left out."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    picture = table.picture
    if picture is None:
        raise ValueError(f"table {table.title!r} has no picture: give it Table(..., picture=Picture(x=..., y=...))")
    column = {name: [row[i] for row in table.rows] for i, name in enumerate(table.columns)}
    with matplotlib.rc_context({"svg.hashsalt": table.title, "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.add_subplot()
        for name, colour, mark in zip(picture.y, cycle(_COLOURS), cycle(_MARKS)):
            x, y = _points(column[picture.x], column[name])
            axes.plot(x, y, mark + "-" if len(x) < _MANY else "-", color=colour, markersize=4, label=_plain(name))
        axes.set(xlabel=_plain(picture.x), ylabel=_plain(picture.ylabel), title=_plain(table.title))
        axes.title.set(wrap=True, size=9)
        if picture.log:
            axes.set(xscale="log", yscale="log")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axis.set_major_formatter("{x:g}")
                axis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3)
        if len(picture.y) > 1:
            axes.legend(frameon=False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    drawing = text.getvalue()
    said = escape(f"{table.title}: {', '.join(picture.y)} against {picture.x}" + (", both axes logarithmic" if picture.log else ""))
    drawing = f'<svg role="img" aria-label="{said}"{drawing[drawing.index("<svg") + 4:]}'
    drawing = drawing.replace(">", f"><title>{said}</title>", 1)
    return re.sub(r"<metadata>.*?</metadata>\s*", "", drawing, flags=re.DOTALL)


def _plain(text: str) -> str:
    """Dollars are dollars, no formulas."""
    return text.replace("$", r"\$")


def _points(x: list, y: list) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(a, b) for a, b in zip(x, y, strict=True) if _is_number(a) and _is_number(b)]
    return np.array([a for a, _ in pairs], dtype=float), np.array([b for _, b in pairs], dtype=float)


def _is_number(value: Any) -> bool:
    try:
        return bool(np.isfinite(value))
    except TypeError:
        return False
