"""The bench's picture: bars of the medians, a panel for each scenario, as an SVG that a README can show.

Written by hand and not by a library: so it needs none, and its colours follow the reader's light or dark mode.
The ground is part of the picture, hence it can be read on whatever page it stands. The thin line on a bar is the range.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape

from tests.bench.figures import Figures, Spread, Value
from tests.bench.scenario import CHILDREN, ONE_THREAD, THREADS


@dataclass(frozen=True)
class Panel:
    """One group of bars.

    Attributes:
        title: of it.
        scenario, of: what is shown.
        unit: behind each number.
        is_less_better: said in the title.
        only, but: entries that are shown there, and that are not; by default all are.
        is_of_worker: whether an entry's setting has to do with it.
    """

    title: str
    scenario: str
    of: str
    unit: str
    is_less_better: bool = False
    only: Collection[str] = ()
    but: Collection[str] = ()
    is_of_worker: bool = True


_SIXTEEN = (ONE_THREAD.label, THREADS.label, CHILDREN.label)

PANELS = (
    Panel("Single send_mail, drained", "singles", "rate", "mails/s"),
    Panel("send_mass_mail, drained", "mass", "rate", "mails/s"),
    Panel("20 ms away, one connection", "far", "rate", "mails/s", but=_SIXTEEN),
    Panel("20 ms away, 16 connections", "far", "rate", "mails/s", only=_SIXTEEN),
    Panel("Memory of 16 connections", "far", "memory_mb", "MB", is_less_better=True, only=_SIXTEEN),
    Panel("100 KB attached, drained", "attachment", "rate", "mails/s"),
    Panel("CPU per message in the worker", "singles", "cpu_us", "µs", is_less_better=True),
    Panel("Enqueueing, single send_mail of one process", "singles", "enqueue_rate", "mails/s", is_of_worker=False),
)

_STYLE = """
    text { font-family: -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; font-size: 13px; fill: #1f2328 }
    .ground { fill: #ffffff; stroke: #d1d9e0 }
    .head { font-size: 17px; font-weight: 600 }
    .title { font-size: 14px; font-weight: 600 }
    .faint { fill: #59636e; font-size: 12px }
    .ours { fill: #0969da }
    .theirs { fill: #afb8c1 }
    .range { stroke: #1f2328; stroke-width: 1.5 }
    .us { font-weight: 600 }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc }
      .ground { fill: #0d1117; stroke: #3d444d }
      .faint { fill: #9198a1 }
      .ours { fill: #4493f8 }
      .theirs { fill: #57606a }
      .range { stroke: #f0f6fc }
    }
"""

_WIDTH = 860
_MARGIN = 24
#: Where bars begin, and how long the longest is: beside it is place for its number.
_LEFT = 316
_LONGEST = 370
_ROW = 20
_BAR = 14
_TITLE = 30
_GAP = 18
_HEAD = 66


def drawn(figures: Figures, ours: str, head: str, below: str) -> str:
    """Return the picture.

    Args:
        figures: all of them; panels of which nothing was measured are left out.
        ours: contender whose bars stand out.
        head: the first line.
        below: the line under it: where and how it was measured.
    """
    parts: list[str] = []
    y = _HEAD
    for panel in PANELS:
        found = _values(figures, panel)
        if found:
            parts += _panel(panel, found, ours, y)
            y += _TITLE + _ROW * len(found) + _GAP
    height = y + _MARGIN - _GAP
    size = f'width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(head)}">',
        f"  <style>{_STYLE}  </style>",
        f'  <rect class="ground" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="8"/>',
        _text(_MARGIN, 32, head, "head"),
        _text(_MARGIN, 52, below, "faint"),
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _values(figures: Figures, panel: Panel) -> list[tuple[str, Spread]]:
    entries = [
        entry
        for entry in figures.entries(panel.scenario)
        if entry not in panel.but and (not panel.only or entry in panel.only)
    ]
    found = [(entry, figures.value(Value(panel.scenario, entry, panel.of))) for entry in entries]
    return [(entry, spread) for entry, spread in found if spread is not None]


def _panel(panel: Panel, found: Sequence[tuple[str, Spread]], ours: str, top: int) -> list[str]:
    more = "less is better" if panel.is_less_better else "more is better"
    aside = f'<tspan class="faint" font-weight="400" dx="8">{panel.unit}, {more}</tspan>'
    parts = [f'  <text x="{_MARGIN}" y="{top + 18}" class="title">{escape(panel.title)}{aside}</text>']
    scale = _LONGEST / (max(spread.most for _, spread in found) or 1)
    for place, (entry, spread) in enumerate(found):
        y = top + _TITLE + place * _ROW
        contender = entry.partition(",")[0]
        is_ours = contender == ours
        width, least, most = (value * scale for value in (spread.median, spread.least, spread.most))
        middle = y + _BAR / 2
        bar, us = ("ours", "us") if is_ours else ("theirs", "")
        shape = f'x="{_LEFT}" y="{y}" width="{max(width, 1):.1f}" height="{_BAR}" rx="2"'
        parts += [
            _text(_LEFT - 10, y + 12, entry if panel.is_of_worker else contender, us, "end"),
            f'  <rect class="{bar}" {shape}/>',
            _text(round(_LEFT + most + 8), y + 12, _number(spread.median), us),
        ]
        if spread.least < spread.most:
            ends = f'x1="{_LEFT + least:.1f}" x2="{_LEFT + most:.1f}"'
            parts.append(f'  <line class="range" {ends} y1="{middle}" y2="{middle}"/>')
    return parts


def _text(x: int, y: int, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'  <text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.1f}"
