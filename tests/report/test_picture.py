"""Pictures of tables: valid SVG, the curves that were asked for, at the places that the numbers say."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from refscore.report import Picture, Table
from refscore.report.picture import svg

SVG = "{http://www.w3.org/2000/svg}"
ROWS = [(1.0, 10.0, None), (2.0, 20.0, 3.5), (4.0, float("inf"), 2.0), ("limit", 0.0, 1.0)]
CURVE = Table("<TV> & $h_1$", ("h", "TV & more", "slope"), ROWS, Picture(x="h", y=("TV & more", "slope")))


def lines(table):
    """The points of every curve, in the order drawn (axes and grid have two points and other colours)."""
    root = ET.fromstring(svg(table))
    for path in root.iter(SVG + "path"):
        if "#0072b2" in path.get("style", "") or "#d55e00" in path.get("style", ""):
            if "fill: none" in path.get("style", ""):
                yield np.array([[float(v) for v in p] for p in re.findall(r"[ML] (\S+) (\S+)", path.get("d"))])


def test_it_is_one_svg_element_without_a_date_and_the_same_every_time():
    text = svg(CURVE)
    assert text == svg(CURVE) and text.startswith("<svg") and ET.fromstring(text).tag == SVG + "svg"
    assert "<metadata" not in text and "dc:date" not in text
    assert "&lt;TV&gt; &amp; $h_1$" in text


def test_curves_pass_through_the_numbers_and_leave_out_what_is_none():
    curves = [c for c in lines(CURVE) if np.ptp(c[:, 0]) > 60]
    first, second = curves[:2]
    assert len(first) == 2 and len(second) == 2  # inf, None and text are left out
    assert second[0, 0] == pytest.approx(first[1, 0]) and first[1, 1] < first[0, 1]  # h = 2 at one place; SVG counts downwards
    assert (first[1, 0] - first[0, 0]) * 2 == pytest.approx(second[1, 0] - second[0, 0])


def test_log_axes_turn_powers_into_lines():
    rows = [(h, h**2) for h in (0.1, 0.2, 0.4, 0.8)]
    (curve, *_) = (c for c in lines(Table("t", ("h", "e"), rows, Picture("h", ("e",), log=True))) if len(c) == 4)
    steps = np.diff(curve, axis=0)
    np.testing.assert_allclose(steps / steps[0], 1, rtol=1e-4)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"draws 'TVD'; its columns are h, TV"):
        Table("t", ("h", "TV"), [], Picture("h", ("TVD",)))
    with pytest.raises(ValueError, match="has no picture"):
        svg(Table("t", ("h",), []))


def test_it_says_in_words_what_it_shows():
    table = Table("A < B & \"C\"", ("h", "one", "two"), [(0.1, 1.0, 2.0), (0.2, 3.0, 4.0)], Picture("h", ("one", "two"), log=True))
    root = ET.fromstring(svg(table))
    said = 'A < B & "C": one, two against h, both axes logarithmic'
    assert root.get("role") == "img" and root.get("aria-label") == said
    assert root[0].tag == SVG + "title" and root[0].text == said
