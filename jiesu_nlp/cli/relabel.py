"""``jiesu relabel``: file history anew, restartable, with a report of what changed."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from jiesu_nlp.cli.console import (
    BundleOption,
    bundle_named,
    err,
    error,
    load_dispatcher,
    note,
    say,
)
from jiesu_nlp.dispatcher import Dispatcher
from jiesu_nlp.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jiesu_nlp.batch.rows import Task
    from jiesu_nlp.batch.run import Tally
    from jiesu_nlp.batch.source import Source
    from jiesu_nlp.batch.table import Table

_EPILOG = """\
例：

  jiesu relabel 历史工单.parquet --output 重标2026

  jiesu relabel 历史/ --output 重标2026 --old-label 派单编码      （另出变化报告和复核表）

  jiesu relabel sqlite:///工单.db --query "SELECT * FROM t ORDER BY id" --output 重标2026

  jiesu relabel 历史/ --output 重标2026 --table sqlite:///结果.db#重标2026   （结果写进数据库表）

  jiesu relabel 历史/ --output /共享/重标2026 --engine spark --master spark://主机:7077

  jiesu relabel --output 重标2026 --apply 重标2026/_jiesu/复核.xlsx   （人工核定写回）

中断或断电后，用同一条命令重新运行即可继续。有问题的行写入 _jiesu/bad_rows.jsonl，退出码为 1。
"""
ENGINES = ("local", "spark")
_LINE_EVERY = 10.0
# What stands alone in a cell of such a column shows its kind by the title only.
_PERSONAL_TITLE = re.compile("姓名|联系人|来电人|电话|手机|座机|固话|来电号码|联系方式|身份证")


def add_to(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command(
        "relabel", help="重标历史工单（Parquet、CSV、XLSX、JSONL、数据库）。", epilog=_EPILOG
    )(relabel)


def relabel(
    source: Annotated[
        str | None, typer.Argument(metavar="INPUT", help="文件、文件夹或数据库地址。")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="输出文件夹。")] = None,
    query: Annotated[str | None, typer.Option(help="数据库查询语句（须加 ORDER BY）。")] = None,
    sheet: Annotated[str | None, typer.Option(help="XLSX 的工作表；省略时用第一张。")] = None,
    text_column: Annotated[
        str | None, typer.Option(help="诉求内容所在的列；省略时自动识别。")
    ] = None,
    old_label: Annotated[
        str | None, typer.Option(help="原标签所在的列（编码、细项名或路径）；给出时另出变化报告。")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="要哪些结果列，逗号分隔；省略时全要。")
    ] = None,
    prefix: Annotated[str, typer.Option(help="结果列名的前缀。")] = "jiesu_",
    redact: Annotated[bool, typer.Option(help="诉求内容脱敏后输出。")] = True,
    redact_columns: Annotated[
        str | None, typer.Option(help="另外要整格遮盖的列，逗号分隔。")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="parquet 或 csv。")] = "parquet",
    table: Annotated[
        str | None,
        typer.Option(metavar="URL#表名", help="结果写进数据库表；输出文件夹里只留清单和报告。"),
    ] = None,
    partition_by: Annotated[
        str | None, typer.Option(help="按这一列的值分文件夹（列=值/）。")
    ] = None,
    shard_rows: Annotated[int, typer.Option(min=1, max=200_000, help="每个分片的行数。")] = 20_000,
    workers: Annotated[int | None, typer.Option(min=1, help="进程数；省略时用全部核。")] = None,
    engine: Annotated[str, typer.Option(help="local（本机多进程）或 spark（集群）。")] = "local",
    master: Annotated[
        str, typer.Option(help="Spark 的 master，如 spark://主机:7077、yarn、local[2]。")
    ] = "local[*]",
    spark_conf: Annotated[
        list[str] | None, typer.Option(metavar="键=值", help="Spark 设置，可给多次。")
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="丢弃旧结果，从头重做。")] = False,
    accept_changed_bundle: Annotated[
        bool, typer.Option("--accept-changed-bundle", help="允许用另一个模型包继续。")
    ] = False,
    verdicts: Annotated[
        Path | None, typer.Option("--apply", help="把复核表中的人工核定写回输出。")
    ] = None,
    review_limit: Annotated[int, typer.Option(min=0, help="复核表最多导出的行数。")] = 5000,
    bundle: BundleOption = None,
) -> None:
    """Relabel an input into an output folder or a table, or bring verdicts into one."""
    from jiesu_nlp.batch.columns import choose
    from jiesu_nlp.batch.run import Plan, Start, identity_of
    from jiesu_nlp.batch.sink import FORMATS
    from jiesu_nlp.batch.source import open_source
    from jiesu_nlp.batch.table import parse_table

    if output is None:
        raise UsageError("请用 --output 给出输出文件夹")
    to_table = None if table is None else parse_table(table)
    if verdicts is not None:
        _apply(output, verdicts, load_dispatcher(bundle), review_limit, to_table)
        return
    if source is None:
        raise UsageError("请给出输入，例：jiesu relabel 历史工单.parquet --output 重标")
    if form not in FORMATS:
        raise UsageError(f"--format 只能是 {' 或 '.join(FORMATS)}")
    if to_table is not None and (form != "parquet" or partition_by is not None):
        raise UsageError("--table 把结果写进数据库，不能再加 --format 或 --partition-by")
    if engine not in ENGINES:
        raise UsageError(f"--engine 只能是 {' 或 '.join(ENGINES)}")
    if engine == "spark" and (to_table is not None or form != "parquet" or partition_by or query):
        raise UsageError(
            "Spark 引擎只从 Parquet 到 Parquet，不支持 --query、--format、--table、--partition-by"
        )
    _refuse_nesting(source, output)

    def prepared(opened: Source) -> Plan:
        task = _task(
            opened,
            text_column=text_column,
            old_label=old_label,
            columns=choose(columns),
            prefix=prefix,
            redact=redact,
            redact_columns=redact_columns,
        )
        kind = form if to_table is None else "table"
        return Plan(task, output, kind, partition_by, shard_rows, to_table)

    used = bundle_named(bundle)
    start = Start(_shown(source), identity_of(used), restart, accept_changed_bundle)
    if engine == "spark":
        from jiesu_nlp.batch import spark

        with spark.session(master, _settings(spark_conf or [])) as running:
            frames = spark.SparkSource(running, source)
            plan = prepared(frames)
            dispatcher = Dispatcher.from_bundle(used)
            with _progress() as show:
                tally = spark.relabel(running, frames, plan, start, bundle=used, progress=show)
    else:
        from jiesu_nlp.batch import local

        rows = open_source(source, query=query, sheet=sheet)
        plan = prepared(rows)
        dispatcher = Dispatcher.from_bundle(used)
        processes = workers or os.cpu_count() or 1
        with _progress() as show:
            tally = local.relabel(rows, dispatcher, plan, start, workers=processes, progress=show)
    _summary(tally, output if to_table is None else to_table.shown)
    if old_label is not None:
        _report(output, dispatcher, review_limit)
    if tally.bad or tally.faults:
        raise typer.Exit(1)


def _settings(pairs: list[str]) -> dict[str, str]:
    found = dict(pair.partition("=")[::2] for pair in pairs)
    if not all(found.values()):
        raise UsageError("--spark-conf 应为“键=值”，如 --spark-conf spark.executor.memory=4g")
    return found


def _refuse_nesting(source: str, output: Path) -> None:
    """Refuse an output that would be part of the input of the next run."""
    if "://" not in source and output.resolve().is_relative_to(Path(source).resolve()):
        raise UsageError("输出文件夹不能在输入文件夹之内；请换一个位置")


def _shown(source: str) -> str:
    """Return the input as it may be kept and shown: a whole path, an address without secrets."""
    from jiesu_nlp.batch.address import shown

    return shown(source) if "://" in source else str(Path(source).resolve())


def _task(
    source: Source,
    *,
    text_column: str | None,
    old_label: str | None,
    columns: tuple[str, ...],
    prefix: str,
    redact: bool,
    redact_columns: str | None,
) -> Task:
    from jiesu_nlp.batch.rows import Task
    from jiesu_nlp.batch.source import (
        check_column,
        detect_beside,
        detect_text_column,
        first_batch,
    )
    from jiesu_nlp.text.redact import find_personal_data

    schema = source.schema
    text = (
        check_column(schema, text_column, "诉求内容", text=True)
        if text_column is not None
        else detect_text_column(source)
    )
    if old_label is not None:
        check_column(schema, old_label, "原标签")
    extra = [c.strip() for c in (redact_columns or "").replace("，", ",").split(",") if c.strip()]
    for name in extra:
        check_column(schema, name, "要脱敏的列")
    task = Task(
        text=text,
        columns=columns,
        prefix=prefix,
        redact=redact,
        redact_columns=tuple(extra),
        created_at=detect_beside(schema, "created_at"),
        channel=detect_beside(schema, "channel"),
        address=detect_beside(schema, "address"),
        old_label=old_label,
    )
    beside = [
        f"{n} {c}"
        for n, c in (("受理时间", task.created_at), ("渠道", task.channel), ("地址", task.address))
        if c
    ]
    note(f"诉求内容：列 {text}" + (f"；另用 {'、'.join(beside)}" if beside else ""))
    sample = first_batch(source, 200) if redact else None
    if sample is not None:
        for name in schema.names:
            if name in (text, *extra):
                continue
            filled = [v for v in sample.column(name).to_pylist() if v not in (None, "")]
            values = [v for v in filled if isinstance(v, str)]
            kinds = {p.kind for v in values for p in find_personal_data(v[:500])} - {"surname"}
            if kinds or (filled and _PERSONAL_TITLE.search(name)):
                note(
                    f"注意：列 {name} 里像是有个人信息，原样保留；要整格遮盖请加 --redact-columns {name}"
                )
    return task


@contextmanager
def _progress() -> Iterator[Callable[[Tally], None]]:
    """Show a bar on a terminal, a line now and then elsewhere."""
    if not err.is_terminal:
        last = time.monotonic()

        def line(tally: Tally) -> None:
            nonlocal last
            if time.monotonic() - last >= _LINE_EVERY:
                last = time.monotonic()
                note(_figures(tally))

        yield line
        return
    with Progress(
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=err,
    ) as bar:
        row = bar.add_task("重标", total=None)

        def show(tally: Tally) -> None:
            total = None if tally.share is None else 1.0
            bar.update(row, description=_figures(tally), completed=tally.share or 0, total=total)

        yield show


def _figures(tally: Tally) -> str:
    done = tally.rows + tally.bad
    text = f"{done:,} 行，{tally.rate:,.0f} 行/秒"
    if tally.share and tally.rate and done > tally.resumed:
        left = max(done / tally.share - done, 0) / tally.rate
        text += f"，约剩 {_span(left)}"
    answered = sum(tally.decisions.values())
    if answered:
        shares = [
            f"{label} {tally.decisions[key] / answered:.0%}"
            for key, label in (("auto", "可直派"), ("suggest", "建议"), ("review", "人工核定"))
        ]
        text += "，" + " ".join(shares)
    return text + (f"，问题行 {tally.bad:,}" if tally.bad else "")


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} 小时 {minutes} 分"
    return f"{minutes} 分 {rest} 秒" if minutes else f"{rest} 秒"


def _summary(tally: Tally, output: Path | str) -> None:
    earlier = f"（其中 {tally.resumed:,} 行是先前完成的）" if tally.resumed else ""
    rate = f"，{tally.rate:,.0f} 行/秒" if tally.rate else ""
    note(f"完成 {tally.rows:,} 行{earlier}{rate} → {output}")
    if tally.bad:
        error(f"{tally.bad:,} 行未能处理，原因见 {tally.bad_file}")
    for piece, why in tally.faults:
        error(f"{piece}：{why}；其余文件照常处理，修复后重新运行同一命令补做")


def _apply(
    output: Path, verdicts: Path, dispatcher: Dispatcher, limit: int, table: Table | None
) -> None:
    from jiesu_nlp.batch.verdicts import apply_verdicts

    done = apply_verdicts(output, verdicts, dispatcher.catalogue, table=table)
    note(f"已写回 {done['applied']:,} 条人工核定（在 {done['shards']:,} 个分片里）")
    _report(output, dispatcher, limit, review=False)


def _report(output: Path, dispatcher: Dispatcher, limit: int, *, review: bool = True) -> None:
    from jiesu_nlp.batch.manifest import FOLDER, Manifest
    from jiesu_nlp.batch.moves import count_moves, review_rows, write_review
    from jiesu_nlp.batch.report import write_report

    moves = count_moves(output)
    rows = review_rows(output, limit) if review else []
    workbook = output / FOLDER / "复核.xlsx"
    if rows:
        write_review(workbook, rows, dispatcher.catalogue)
    versions = dispatcher.versions
    path = output / FOLDER / "变化报告.html"
    header = Manifest(output).header or {}
    write_report(
        path,
        moves,
        dispatcher.catalogue,
        source=str(header.get("input", "")),
        versions=f"模型 {versions.model}，目录 {versions.catalogue}，规则 {versions.rules}",
        exported=len(rows),
    )
    agreed = moves.agreed / moves.known if moves.known else 0.0
    say(f"与原标签一致 {agreed:.1%}（{moves.known:,} 行可比），需要人看 {moves.people:,} 行")
    say(f"变化报告：{path}")
    if rows:
        say(f"复核表：{workbook}（{len(rows):,} 行，填“核定编码”后用 --apply 写回）")
