"""A report as one self-contained HTML page: no scripts, no fonts or styles from elsewhere, readable on paper."""

from __future__ import annotations

import jinja2
from markupsafe import Markup

from refscore.report.outcome import Report, Table
from refscore.report.terminal import COLUMNS, absent, cell, number, summary

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>refscore {{ report.command }}: {{ summary }}</title>
<style>
  :root { color-scheme: light dark; }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
  h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
  table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; }
  th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #8884; vertical-align: top; }
  th.n, td.n { text-align: right; white-space: nowrap; }
  code { font-family: ui-monospace, monospace; font-size: .9em; overflow-wrap: anywhere; }
  .pass { color: #1a7f37; } .info { color: #0969da; } .convention, .xfail { color: #9a6700; }
  .fail, .error, .xpass, .blocked { color: #cf222e; font-weight: bold; }
  pre { font: .85em/1.4 ui-monospace, monospace; padding: .8rem; border: 1px solid #8884; border-radius: 4px; overflow-x: auto; }
  .wide { overflow-x: auto; } .quiet { opacity: .75; } dt { font-weight: bold; } dd { margin: 0 0 .4rem 1.5rem; }
  summary { cursor: pointer; } svg { max-width: 100%; height: auto; background: white; }
</style>
</head>
<body>
<h1>refscore {{ report.version }} {{ report.command }}, seed {{ report.seed }}</h1>
<p class="{{ 'pass' if report.holds else 'fail' }}">{{ summary }}</p>
{% if report.notes %}<ul class="quiet">{% for note in report.notes %}<li>{{ note }}</li>{% endfor %}</ul>{% endif %}
<p class="quiet">Error and {{ bound }} are those of the worst case, relative to the size of the quantities compared.
{% if report.command == "verify" %}Every bound is derived; above 1e-10 it counts as no evidence and the identity fails.
{%- else %}The tolerance is what rounding in the precision found can explain, measured on the reference.{% endif %}</p>
<div class="wide"><table>
<thead><tr><th>id</th><th>{{ statement }}</th><th class="n">error</th><th class="n">{{ bound }}</th><th>verdict</th>
<th class="n">time</th></tr></thead>
<tbody>
{% for o in shown %}<tr>
<td><a href="#{{ o.id }}">{{ o.id }}</a></td><td>{{ o.title }}</td><td class="n">{{ o.error | number }}</td>
<td class="n">{{ o.bound | number }}</td><td class="{{ o.outcome }}">{{ o.outcome }}</td>
<td class="n">{{ "%.1f" | format(o.seconds) }} s</td></tr>
{% endfor %}</tbody></table></div>
{% for line in absent %}<p class="quiet">{{ line }}</p>
{% endfor %}{% for o in explained %}
<h2 id="{{ o.id }}">{{ o.id }} {{ o.title if not o.finding }} <span class="{{ o.outcome }}">{{ o.outcome }}</span></h2>
{% if o.message %}<p class="{{ o.outcome }}">{{ o.message }}</p>{% endif %}
<dl>
{% for name, text in o.details.items() %}<dt>{{ name }}</dt><dd>{% if text == o.statement %}<code>{{ text }}</code>
{%- else %}{{ text }}{% endif %}</dd>
{% endfor %}</dl>
{% if o.finding and o.finding.script %}<details open><summary>Reproducer, NumPy alone</summary>
<pre>{{ o.finding.script }}</pre></details>{% endif %}
{% for t in o.tables %}{% if t.picture %}<div class="wide">{{ t | svg }}</div>{% endif %}
<details {{ 'open' if not t.picture }}><summary>{{ t.title }}</summary><div class="wide"><table>
<thead><tr>{% for c in t.columns %}<th class="n">{{ c }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in t.rows %}<tr>{% for v in row %}<td class="n">{{ v | cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div></details>
{% endfor %}{% endfor %}
</body>
</html>
"""


def dumps(report: Report) -> str:
    """The report as an HTML page; all text is escaped."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters.update(number=number, cell=cell, svg=_drawn)
    statement, bound = COLUMNS[report.command]
    page = environment.from_string(_PAGE)
    shown = [o for o in report.outcomes if o.outcome != "unsupported"]
    explained = sorted(shown, key=lambda o: o.finding is not None and o not in report.bad)  # of checks first what is wrong
    return page.render(report=report, summary=summary(report), shown=shown, explained=explained, absent=absent(report),
                       statement=statement, bound=bound)


def _drawn(table: Table) -> Markup:
    from refscore.report.picture import svg  # Matplotlib, where there is something to draw

    return Markup(svg(table))  # its texts are escaped there
