"""``jiesu related``: what belongs together in relabelled history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from jiesu_nlp.cli.console import BundleOption, bundle_named, check_folder_of, note, say
from jiesu_nlp.errors import UsageError

if TYPE_CHECKING:
    from jiesu_nlp.batch.related import Rise

_EPILOG = """\
例：

  jiesu related 重标2026 --output 关联.html

  jiesu related 重标2026 --output 关联.html --week 2026-11-09 --caller 来电人编号 --time 受理时间

输入是 jiesu relabel 的输出（Parquet）。来电人在报告里一律换成本次随机的假名。
"""
_MOST_ROWS = 500_000
_SHOWN = 50


def add_to(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(
        "related",
        help="在重标过的历史里找近似重复、同一件事、反复来电和上升的问题。",
        epilog=_EPILOG,
    )(related)


def related(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="jiesu relabel 的输出文件夹。")],
    output: Annotated[Path, typer.Option("--output", "-o", help="报告（HTML）。")],
    week: Annotated[
        str | None, typer.Option(help="看哪一周（其中任一天）；省略时为最后一个整周。")
    ] = None,
    time: Annotated[str | None, typer.Option(help="受理时间所在的列；省略时自动识别。")] = None,
    caller: Annotated[str | None, typer.Option(help="来电人（编号、电话或姓名）所在的列。")] = None,
    similar: Annotated[float, typer.Option(min=0.3, max=1.0, help="近似重复的最低相似度。")] = 0.6,
    same: Annotated[
        float, typer.Option(min=0.2, max=1.0, help="同一地点算作同一件事的最低事由相似度。")
    ] = 0.5,
    bundle: BundleOption = None,
) -> None:
    """Write a report of near-duplicates, same matters, repeated callers and rising matters."""
    from jiesu_nlp.batch.related import (
        day_of,
        days_of,
        near_duplicates,
        repeated_callers,
        rising,
        same_matters,
    )
    from jiesu_nlp.files import replace_file

    check_folder_of(output)
    day = day_of(week)
    if week is not None and day is None:
        raise UsageError(f"--week 应为日期，如 2026-11-09：{week}")
    rows = _rows(source, time, caller)
    days, unread = days_of(rows["time"])
    found = _Found(
        duplicates=near_duplicates(rows["text"], similar),
        matters=same_matters(rows["text"], rows["place"], _vectors(bundle), same),
        callers=repeated_callers(rows["caller"], rows["code"]) if caller else [],
        rises=rising(days, rows["town"], rows["code"], week=day),
    )
    replace_file(output, _page(rows, found, timed=any(rows["time"]), called=caller is not None))
    note(
        f"{len(rows['text']):,} 件：近似重复 {len(found.duplicates):,} 组，"
        f"同一件事 {len(found.matters):,} 组，"
        f"反复来电 {len(found.callers):,} 例，显著上升 {len(found.rises):,} 项"
    )
    if unread:
        note(f"{unread:,} 件的受理时间看不懂，上升的问题没有算上它们；日期应如 2026-11-09")
    say(f"报告：{output}")


@dataclass(frozen=True, slots=True)
class _Found:
    duplicates: list[list[int]]
    matters: list[list[int]]
    callers: list[tuple[str, int, str, int]]
    rises: list[Rise]


def _vectors(name: str | None) -> Callable[[list[str]], NDArray[np.float32]]:
    """Return how a bundle turns texts into matter vectors."""
    from jiesu_nlp.classify.classifier import SETTINGS, Classifier
    from jiesu_nlp.text.normalise import normalise

    bundle = bundle_named(name)
    if SETTINGS not in bundle:
        raise UsageError(f"模型包 {bundle.name} 没有事由向量；请用 --bundle 给出冷启动的模型包")
    classifier = Classifier.from_bundle(bundle)

    def vectors(texts: list[str]) -> NDArray[np.float32]:
        rows = classifier.vocabulary.rows([normalise(t).text for t in texts])
        return np.asarray(rows @ classifier.embedding, np.float32)

    return vectors


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
    wanted |= {n: prefix + n for n in ("district", "town", "community", "place_name")}
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
    districts, communities, names = (found.pop(n) for n in ("district", "community", "place_name"))
    found["town"] = [t and f"{d or ''}{t}" for d, t in zip(districts, found["town"], strict=True)]
    # The finest that is known: a place by name, a community, else the whole town.
    found["place"] = [
        t and (t if t.endswith(fine := name or community or "") else f"{t} {fine}")
        for t, name, community in zip(found["town"], names, communities, strict=True)
    ]
    for name in ("time", "caller"):
        found.setdefault(name, [None] * count)
    found["caller"] = _callers([None if c is None else str(c) for c in found["caller"]])
    return found


def _callers(callers: list[str | None]) -> list[str | None]:
    """Return callers as they may be shown: a name by itself looks like any word, so none is."""
    from jiesu_nlp.batch.related import pseudonyms

    if any(c and "*" in c for c in callers):
        raise UsageError("来电人一列已经脱敏，分不清是不是同一人；请用假名编号，或未脱敏的列")
    return pseudonyms([(c or "").strip() or None for c in callers])


def _page(rows: dict[str, list[Any]], found: _Found, *, timed: bool, called: bool) -> bytes:
    from jiesu_nlp.batch.report import cards, page, table

    path = dict(zip(rows["code"], rows["path"], strict=True))
    parts = [
        cards(
            [
                ("件", f"{len(rows['text']):,}"),
                ("近似重复的组", f"{len(found.duplicates):,}"),
                ("同一件事的组", f"{len(found.matters):,}"),
                ("反复来电", f"{len(found.callers):,}"),
                ("显著上升", f"{len(found.rises):,}"),
            ]
        ),
        "<h2>显著上升的问题</h2>",
        "<p>该周与此前至多 8 周在同一街道（乡镇）的件数比较：泊松率的精确条件检验，单侧，"
        "q 为全部街道与类目一并做 Benjamini–Hochberg 校正后的值，列出 q ≤ 0.05 且不少于 5 件的。</p>",
        table(
            ("街道（乡镇）", "类目", "周（周一）", "件数", "此前每周", "q"),
            [
                (r.place, f"{r.code} {path[r.code]}", r.week.isoformat(), r.count,
                 f"{r.expected:.1f}", f"{r.q:.2g}")
                for r in found.rises[:_SHOWN]
            ],
        ) if timed else "<p>没有受理时间，未做；可用 --time 指定。</p>",
        "<h2>同一件事</h2>",
        "<p>同一地点、事由相近而措辞可以不同的诉求：事由向量与组内第一件的余弦不低于所设的值。</p>",
        table(
            ("件数", "地点", "类目", "起止", "例（已脱敏）"),
            [
                (
                    len(g), rows["place"][g[0]], _matters(rows, g), _span(rows, g),
                    " ／ ".join(rows["text"][i][:60] for i in g[:3]),
                )
                for g in found.matters[:_SHOWN]
            ],
        ),
        "<h2>近似重复</h2>",
        table(
            ("件数", "类目", "起止", "例（已脱敏）"),
            [
                (len(g), _matters(rows, g), _span(rows, g), rows["text"][g[0]][:120])
                for g in found.duplicates[:_SHOWN]
            ],
        ),
        "<h2>反复来电</h2>",
        table(
            ("来电人（本次假名）", "全部来电", "类目", "其中此类"),
            [
                (who, total, f"{code} {path[code]}", n)
                for who, total, code, n in found.callers[:_SHOWN]
            ],
        ) if called else "<p>没有给出来电人一列（--caller），未做。</p>",
    ]  # fmt: skip
    return page("关联分析报告", "".join(parts))


def _matters(rows: dict[str, list[Any]], group: list[int]) -> str:
    """Return the leaves of a group, most frequent first."""
    return "；".join(p for p, _ in Counter(rows["path"][i] for i in group).most_common(3))


def _span(rows: dict[str, list[Any]], group: list[int]) -> str:
    """Return the first and the last day of a group."""
    from jiesu_nlp.batch.related import day_of

    days = sorted(d for i in group if (d := day_of(rows["time"][i])) is not None)
    return f"{days[0]} — {days[-1]}" if days else ""
