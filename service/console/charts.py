"""Charts of the quality board as SVG by matplotlib; the browser's own fonts show the Chinese."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from service.store.quality import Quality

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _GRID, _BLUE, _GREEN, _AMBER, _GREY = (
    "#33414e",
    "#dde3e8",
    "#1f5fa8",
    "#2a7d4f",
    "#b26a00",
    "#9aa7b3",
)

# The browser shows the Chinese; that this machine has no font for it does not matter.
warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)


def _days(ax: Axes, q: Quality) -> list[int]:
    """Label at most eight days; a single day is not stretched over the whole width."""
    count = len(q.by_day)
    shown = list(range(0, count, max(1, -(-count // 8))))
    ax.set_xticks(shown, [q.by_day[i]["name"][5:] for i in shown])
    ax.set_xlim(-0.6, max(count, 7) - 0.4)
    return list(range(count))


def _volume(ax: Axes, q: Quality) -> None:
    days = _days(ax, q)
    ax.bar(days, [r["suggestions"] for r in q.by_day], color="#c9d8e8", label="派单建议")
    ax.bar(days, [r["decided"] for r in q.by_day], color=_BLUE, width=0.45, label="已处理")


def _acceptance(ax: Axes, q: Quality) -> None:
    days = _days(ax, q)
    for name, label, colour in (
        ("accepted1", "首项采纳", _BLUE),
        ("accepted5", "前五含正确项", _GREEN),
        ("returned", "退回", _AMBER),
    ):
        # A day without decisions is a gap, not a zero.
        rates = [float("nan") if r[name] is None else 100 * r[name] for r in q.by_day]
        ax.plot(days, rates, marker="o", markersize=4, color=colour, label=label)
    ax.set_ylim(0, 104)
    ax.set_ylabel("%")


def _calibration(ax: Axes, q: Quality) -> None:
    ax.plot([0, 100], [0, 100], linestyle="--", color=_GREY, label="理想")
    said = [100 * b["said"] for b in q.calibration]
    ax.plot(said, [100 * b["was"] for b in q.calibration], marker="o", color=_BLUE, label="实际")
    ax.set_xlim(0, 100)
    ax.set_ylim(0, 104)
    ax.set_xlabel("给出的把握（%）")
    ax.set_ylabel("单位被采纳（%）")


CHARTS: dict[str, tuple[str, Callable[[Any, Quality], None]]] = {
    "volume": ("每日件数", _volume),
    "acceptance": ("每日采纳与退回", _acceptance),
    "calibration": ("把握与实际", _calibration),
}


def draw(name: str, quality: Quality) -> bytes:
    """Return a chart as an SVG document."""
    # Imported when first needed: it would double the time to start.
    from matplotlib import rc_context  # noqa: PLC0415
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    _, paint = CHARTS[name]
    style: Any = {
        "svg.fonttype": "none",
        "font.size": 11,
        "text.color": _INK,
        "axes.labelcolor": _INK,
    }
    with rc_context(style):
        figure = Figure(figsize=(5.6, 2.9), layout="constrained")
        FigureCanvasSVG(figure)
        ax = figure.add_subplot()
        paint(ax, quality)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            ax.spines[side].set_color(_GREY)
        ax.grid(axis="y", color=_GRID)
        ax.set_axisbelow(True)
        ax.tick_params(colors=_INK)
        if name == "volume":
            ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=3, frameon=False)
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    fonts = "'Noto Sans CJK SC','Microsoft YaHei','PingFang SC',sans-serif"
    return out.getvalue().replace(b"'DejaVu Sans'", fonts.encode())
