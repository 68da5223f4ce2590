"""One self-contained HTML page in Chinese: tables, and plots as SVG whose text stays text.

Text in the plots is drawn by the browser with the fonts of the page, so Chinese shows wherever a
browser can show it; the machine that makes the report needs no Chinese font.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jiesu_nlp.batch.extras import need
from training.evaluate import AS_NUMBER, NAMES, Evaluation

TEMPLATES = Path(__file__).parent / "templates"
FONTS = '"PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "Source Han Sans SC", sans-serif'
_COLOURS = ("#9aa5b8", "#1f5fae", "#2e8b57", "#c8641b")
_FAMILY = re.compile(r"font-family: ?[^;\"]*")
_SHORTHAND = re.compile(r"font: ?[^;\"]*?(\d+(?:\.\d+)?px)[^;\"]*")


def figure(key: str, value: float | None) -> str:
    """Write a figure the way its measure is read."""
    if value is None:
        return "–"
    if key == "set_size":
        return f"{value:.2f}"
    return f"{value:.3f}" if key in AS_NUMBER else f"{value:.1%}"


def percent(value: float | None) -> str:
    """Write a share."""
    return "–" if value is None else f"{value:.1%}"


def span(measure: Mapping[str, Any]) -> str:
    """Write a share with its interval."""
    if measure["value"] is None:
        return "–"
    return f"{measure['value']:.1%}（{measure['low']:.0%}–{measure['high']:.0%}）"


def require_report_extra() -> None:
    """Ask for what a report is made with, before hours of work end without one.

    Raises
    ------
    UsageError
        Naming the package that is missing.
    """
    for module in ("jinja2", "matplotlib.figure"):
        need(module, "training", "网页报告")


def render_report(evaluation: Evaluation) -> str:
    """Return the HTML page; see :func:`require_report_extra`."""
    from jinja2 import Environment, FileSystemLoader  # noqa: PLC0415 - an extra
    from markupsafe import Markup  # noqa: PLC0415

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(figure=figure, percent=percent, span=span)
    return environment.get_template("report.html.j2").render(
        r=evaluation.to_json(),
        names=NAMES,
        fonts=Markup(FONTS),
        # Our own SVG, in which every label is one of ours.
        plots=[Markup(svg) for svg in plots(evaluation.curves)],
    )


def plots(curves: Mapping[str, Any]) -> list[str]:
    """Draw the reliability diagram, the risk–coverage curve and the rank curve as SVG."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    # Its metrics font lacks Chinese; only the browser's font matters.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    found = []
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "jiesu", "font.size": 10}):
        canvas = Figure(figsize=(4.6, 4.0), layout="constrained")
        axes = canvas.subplots()
        axes.plot([0, 1], [0, 1], color="#c9ced8", linewidth=1, linestyle="--")
        for (name, bins), colour in zip(curves["reliability"].items(), _COLOURS, strict=False):
            x, y = [b["confidence"] for b in bins], [b["accuracy"] for b in bins]
            axes.plot(x, y, marker="o", markersize=4, color=colour, label=name)
        axes.set(
            title="可靠性图",
            xlabel="模型给出的把握",
            ylabel="实际正确率",
            xlim=(0, 1),
            ylim=(0, 1.02),
        )
        axes.legend(frameon=False, loc="upper left")
        found.append(_svg(canvas))

        canvas = Figure(figsize=(4.6, 4.0), layout="constrained")
        axes = canvas.subplots()
        for (name, points), colour in zip(
            curves["risk_coverage"].items(), _COLOURS[1:], strict=False
        ):
            axes.plot([p[0] for p in points], [p[1] for p in points], color=colour, label=name)
        axes.set(
            title="风险–覆盖曲线",
            xlabel="作答的比例（先答最有把握的）",
            ylabel="差错率",
            xlim=(0, 1),
        )
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, loc="upper left")
        found.append(_svg(canvas))

        canvas = Figure(figsize=(4.6, 4.0), layout="constrained")
        axes = canvas.subplots()
        axes.bar(range(1, len(curves["rank"]) + 1), curves["rank"], color=_COLOURS[1])
        axes.set(title="前 k 位含正确细项", xlabel="k", ylabel="比例", ylim=(0, 1.02))
        found.append(_svg(canvas))
    return found


def _svg(canvas: Any) -> str:
    buffer = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        canvas.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # Leave the family to the page, which names fonts that have Chinese.
    text = _SHORTHAND.sub(lambda m: f"font-size: {m.group(1)}", text)
    return _FAMILY.sub("font-family: inherit", text)
