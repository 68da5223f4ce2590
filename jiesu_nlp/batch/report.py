"""The report of a relabelling: one self-contained HTML page in Chinese."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from jiesu_nlp.batch.labels import REASONS
from jiesu_nlp.batch.moves import Moves, basis_label, by_class, name_of
from jiesu_nlp.catalogue.model import Catalogue
from jiesu_nlp.files import replace_file

_SHOWN = 60
_STYLE = """
body{font:15px/1.6 "PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif;color:#1b1f24;background:#fff;
margin:0 auto;max-width:1100px;padding:24px}
h1{font-size:24px}h2{font-size:18px;margin-top:36px;border-bottom:1px solid #d0d7de;padding-bottom:4px}
table{border-collapse:collapse;width:100%}th,td{padding:4px 10px;text-align:left;vertical-align:top;
border-bottom:1px solid #e5e8eb}th{background:#f3f5f7}.n{text-align:right;font-variant-numeric:tabular-nums}
.cards{display:flex;flex-wrap:wrap;gap:12px}.card{border:1px solid #d0d7de;border-radius:8px;padding:8px 18px}
.card b{display:block;font-size:22px}.bar{display:inline-block;height:10px;background:#1f6feb;vertical-align:middle}
.q{color:#57606a;font-size:13px}@media print{body{max-width:none}}
"""


def page(title: str, body: str) -> bytes:
    """Wrap a body into a page without any outside resource."""
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    )
    html = f'<!doctype html><html lang="zh-CN"><head>{head}</head><body><h1>{escape(title)}</h1>{body}</body></html>\n'
    return html.encode(errors="replace")


def table(header: Sequence[str], rows: Iterable[Sequence[str | int | float]]) -> str:
    """Return a table; numbers are set right, text is escaped."""
    head = "".join(f'<th scope="col">{escape(h)}</th>' for h in header)
    lines = []
    for row in rows:
        cells = "".join(
            f"<td>{escape(c)}</td>" if isinstance(c, str) else f'<td class="n">{_number(c)}</td>'
            for c in row
        )
        lines.append(f"<tr>{cells}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def cards(figures: Iterable[tuple[str, str]]) -> str:
    """Return the figures of the top of a page."""
    inner = "".join(f'<div class="card"><b>{escape(v)}</b>{escape(k)}</div>' for k, v in figures)
    return f'<div class="cards">{inner}</div>'


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.1%}"


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def write_report(
    path: Path, moves: Moves, catalogue: Catalogue, *, source: str, versions: str, exported: int
) -> None:
    """Write the report of what changed."""
    moved = moves.moved()
    parts = [
        f"<p>输入 {escape(source)}；{escape(versions)}。原标签与新标签按派单目录逐行比较；"
        "退役编码先按目录后继换算，只有一个后继时不问模型。诉求内容均已脱敏。</p>",
        cards(
            [
                ("行", f"{moves.rows:,}"),
                ("原标签可识别", f"{moves.known:,}"),
                ("与原标签一致", f"{_share(moves.agreed, moves.known):.1%}"),
                ("需要人看", f"{moves.people:,}"),
                ("已导出复核", f"{exported:,}"),
            ]
        ),
        "<h2>由谁决定</h2>",
        table(
            ("依据", "行", "占比"),
            [(basis_label(b), n, _share(n, moves.rows)) for b, n in moves.bases.most_common()],
        ),
        "<h2>一级类的变化</h2>",
        table(
            ("一级类", "原有", "其中改细项", "改动占比", "其中离开本类", "离开占比", "现有"),
            [
                (
                    f"{c.code} {c.name}", c.before, c.moved, _share(c.moved, c.before),
                    c.left, _share(c.left, c.before), c.after,
                )
                for c in by_class(moves, catalogue)
            ],
        ),
        f"<h2>最多的改动（前 {min(_SHOWN, len(moved))} 种，共 {len(moved)} 种）</h2>",
        table(
            ("原标签", "新标签", "行", "例"),
            [
                (
                    name_of(catalogue, old), name_of(catalogue, new), n,
                    " ／ ".join(t[:80] for t in moves.examples[old, new]),
                )
                for old, new, n in moved[:_SHOWN]
            ],
        ),
        "<h2>需要人看的原因</h2>",
        table(("原因", "行"), [(REASONS[r], n) for r, n in moves.reasons.most_common()]),
    ]  # fmt: skip
    if moves.unknown_labels:
        parts += [
            f"<h2>目录不认识的原标签（{len(moves.unknown_labels)} 种）</h2>",
            table(("原标签", "行"), moves.unknown_labels.most_common(_SHOWN)),
        ]
    replace_file(path, page("重标变化报告", "".join(parts)))
