"""``jiesu related``: what belongs together in relabelled history."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jiesu_nlp.cli.console import note, out
from jiesu_nlp.errors import UsageError

if TYPE_CHECKING:
    from jiesu_nlp.batch.related import Rise

_EPILOG = """\
例：

  jiesu related 重标2026 --output 关联.html

  jiesu related 重标2026 --output 关联.html --week 2026-11-09 --caller 来电人编号 --time 受理时间

输入是 jiesu relabel 的输出（Parquet）。来电人只应是假名编号，报告不列出诉求人的电话或姓名。
"""
_MOST_ROWS = 500_000
_SHOWN = 50


def add_to(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(
        "related", help="在重标过的历史里找近似重复、反复来电和上升的问题。", epilog=_EPILOG
    )(related)


def related(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="jiesu relabel 的输出文件夹。")],
    output: Annotated[Path, typer.Option("--output", "-o", help="报告（HTML）。")],
    week: Annotated[
        str | None, typer.Option(help="看哪一周（其中任一天）；省略时为最后一个整周。")
    ] = None,
    time: Annotated[str | None, typer.Option(help="受理时间所在的列；省略时自动识别。")] = None,
    caller: Annotated[str | None, typer.Option(help="来电人假名编号所在的列。")] = None,
    similar: Annotated[float, typer.Option(min=0.3, max=1.0, help="近似重复的最低相似度。")] = 0.6,
) -> None:
    """Write a report of near-duplicates, repeated callers and rising matters."""
    from jiesu_nlp.batch.related import day_of, near_duplicates, repeated_callers, rising
    from jiesu_nlp.files import replace_file

    rows = _rows(source, time, caller)
    day = None
    if week is not None:
        day = day_of(week)
        if day is None:
            raise UsageError(f"--week 应为日期，如 2026-11-09：{week}")
    groups = near_duplicates(rows["text"], similar)
    callers = repeated_callers(rows["caller"], rows["code"]) if caller else []
    rises = rising([day_of(t) for t in rows["time"]], rows["town"], rows["code"], week=day)
    replace_file(output, _page(rows, groups, callers, rises, timed=any(rows["time"])))
    note(
        f"{len(rows['text']):,} 件：近似重复 {len(groups):,} 组，"
        f"反复来电 {len(callers):,} 例，显著上升 {len(rises):,} 项"
    )
    out.print(f"报告：{output}", soft_wrap=True)


def _rows(source: Path, time: str | None, caller: str | None) -> dict[str, list[Any]]:
    from jiesu_nlp.batch.extras import need
    from jiesu_nlp.batch.manifest import Manifest
    from jiesu_nlp.batch.source import check_column, detect_beside

    header = Manifest(source).header if source.is_dir() else None
    if header is None or header["form"] != "parquet":
        raise UsageError(f"不是 jiesu relabel 的 Parquet 输出文件夹：{source}")
    task = header["task"]
    if not task["redact"]:
        raise UsageError("这份输出没有脱敏，报告会带出个人信息；请用默认的脱敏选项重标")
    data = need("pyarrow.dataset", "tables", "读重标结果").dataset(
        source, format="parquet", partitioning="hive"
    )
    prefix = task["prefix"]
    time = time or detect_beside(data.schema, "created_at")
    wanted = {"text": task["text"], "code": prefix + "code", "path": prefix + "path"}
    wanted |= {"town": prefix + "town", "district": prefix + "district"}
    for name, column in (("time", time), ("caller", caller)):
        if column is not None:
            wanted[name] = column
    for name, column in wanted.items():
        check_column(data.schema, column, f"关联分析要用的 {name}")
    count = data.count_rows()
    if count > _MOST_ROWS:
        raise UsageError(f"共 {count:,} 行，超过一次能比较的 {_MOST_ROWS:,} 行；请按月份或地区分开")
    table = data.to_table(columns=list(wanted.values()))
    found = {name: table.column(column).to_pylist() for name, column in wanted.items()}
    found["town"] = [
        t and f"{d or ''}{t}" for d, t in zip(found.pop("district"), found["town"], strict=True)
    ]
    for name in ("time", "caller"):
        found.setdefault(name, [None] * count)
    found["caller"] = [None if c is None else str(c) for c in found["caller"]]
    return found


def _page(
    rows: dict[str, list[Any]],
    groups: list[list[int]],
    callers: list[tuple[str, int, str, int]],
    rises: list[Rise],
    *,
    timed: bool,
) -> bytes:
    from jiesu_nlp.batch.report import cards, page, table

    path = dict(zip(rows["code"], rows["path"], strict=True))
    parts = [
        cards(
            [
                ("件", f"{len(rows['text']):,}"),
                ("近似重复的组", f"{len(groups):,}"),
                ("其中的件", f"{sum(map(len, groups)):,}"),
                ("反复来电", f"{len(callers):,}"),
                ("显著上升", f"{len(rises):,}"),
            ]
        ),
        "<h2>显著上升的问题</h2>",
        "<p>该周与此前至多 8 周在同一街道（乡镇）的件数比较：泊松率的精确条件检验，单侧，"
        "q 为全部街道与类目一并做 Benjamini–Hochberg 校正后的值，列出 q ≤ 0.05 且不少于 5 件的。</p>",
        table(
            ("街道（乡镇）", "类目", "周（周一）", "件数", "此前每周", "q"),
            [
                (r.place, f"{r.code} {path[r.code]}", _date(r.week), r.count,
                 f"{r.expected:.1f}", f"{r.q:.2g}")
                for r in rises[:_SHOWN]
            ],
        ) if timed else "<p>没有受理时间，未做；可用 --time 指定。</p>",
        "<h2>近似重复</h2>",
        table(
            ("件数", "类目", "例（已脱敏）"),
            [
                (len(g), "；".join(dict.fromkeys(rows["path"][i] for i in g[:20])), rows["text"][g[0]][:120])
                for g in groups[:_SHOWN]
            ],
        ),
        "<h2>反复来电</h2>",
        table(
            ("来电人（假名编号）", "全部来电", "类目", "其中此类"),
            [(who, total, f"{code} {path[code]}", n) for who, total, code, n in callers[:_SHOWN]],
        ),
    ]  # fmt: skip
    return page("关联分析报告", "".join(parts))


def _date(day: dt.date) -> str:
    return day.isoformat()
