"""``jiesu evaluate``, ``compare`` and ``promote``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from jiesu_nlp.bundle import Bundle, Registry, open_bundle
from jiesu_nlp.cli.console import (
    BundleOption,
    bundle_named,
    check_folder_of,
    note,
    say,
    say_table,
)
from jiesu_nlp.dispatcher import Dispatcher
from jiesu_nlp.errors import DataError, UsageError
from jiesu_nlp.files import replace_file
from jiesu_nlp.home import models_dir
from training.cli.shared import (
    MOST_TO_JUDGE,
    ColumnOption,
    Data,
    JsonFile,
    columns_of,
    stages,
    text_lines,
    usable_tickets,
    write_json,
)

if TYPE_CHECKING:
    from training.compare import Comparison
    from training.metrics import Measure


def evaluate(
    data: Data,
    bundle: BundleOption = None,
    column: ColumnOption = None,
    report: Annotated[Path | None, typer.Option(help="写成一个自足的网页报告（.html）。")] = None,
    as_json: JsonFile = None,
    unclear: Annotated[
        Path | None, typer.Option(help="不明诉求（每行一条），看模型是否知道自己不知道。")
    ] = None,
) -> None:
    """Measure a bundle on labelled tickets."""
    from training.evaluate import evaluate as run
    from training.report import render_report, require_report_extra
    from training.run_record import RECORD_FILE, seen_in_training

    check_folder_of(report, as_json)
    if report is not None:
        require_report_extra()
    opened = bundle_named(bundle)
    dispatcher = Dispatcher.from_bundle(opened)
    tickets = usable_tickets(data, dispatcher.catalogue, column, most=MOST_TO_JUDGE)
    texts = text_lines(unclear) if unclear is not None else None
    record = opened.read_json(RECORD_FILE) if RECORD_FILE in opened else {}
    seen = int(seen_in_training(opened, [t.text for t in tickets]).sum())
    with stages("评测") as progress:
        found = run(
            dispatcher,
            tickets,
            leaf_counts=record.get("leaf_counts"),
            about={
                "bundle": opened.name,
                "data": "、".join(p.name for p in data),
                "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "seen": seen,
            },
            unclear=texts,
            report=progress,
        )
    say_table(measure_table(found.overall))
    if seen:
        note(f"{seen} 件工单的原文在训练数据里出现过，数字偏高")
    if as_json is not None:
        write_json(as_json, found.to_json())
        say(f"→ {as_json}")
    if report is not None:
        replace_file(report, render_report(found).encode())
        say(f"→ {report}")


def compare(
    first: Annotated[str, typer.Argument(help="模型包甲（如现用的）。")],
    second: Annotated[str, typer.Argument(help="模型包乙（如候选的）。")],
    data: Data,
    column: ColumnOption = None,
    as_json: JsonFile = None,
) -> None:
    """Compare two bundles on the same tickets."""
    check_folder_of(as_json)
    a, b = bundle_named(first), bundle_named(second)
    comparison, _ = _compared(a, b, data, column)
    _print_comparison(comparison, a.name, b.name)
    if as_json is not None:
        write_json(as_json, comparison.to_json())


def promote(
    name: Annotated[str, typer.Argument(help="候选模型包（模型文件夹里的名称）。")],
    data: Data,
    against: Annotated[str | None, typer.Option(help="与哪个比；省略时为启用中的。")] = None,
    column: ColumnOption = None,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0,
            help="变差不超过此值且不确定时放行。波动大的几项另有限度，此值更大时才用此值："
            "细项宏平均 F1 为 0.01，细项校准误差 ECE（校准后）为 0.015，"
            "单位精度 95% 时的覆盖率为 0.1，不明诉求细项把握不足 0.5 为 0.03；"
            "候选集含正确细项只看是否低于所述覆盖率 0.02 以上。",
        ),
    ] = 0.005,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="只判断，不启用。")] = False,
) -> None:
    """Put a bundle in service unless it is worse on a guard figure; exit code 1 if refused."""
    from training.compare import LEAST, refusals, unchecked
    from training.evaluate import NAMES

    registry = Registry(models_dir())
    candidate = open_bundle(registry.path(name))
    candidate.verify()
    incumbent = bundle_named(against)
    if incumbent.path.resolve() == candidate.path.resolve():
        raise UsageError(f"{name} 就是用来比较的模型包；请用 --against 指明另一个")
    comparison, stated = _compared(incumbent, candidate, data, column, least=LEAST)
    _print_comparison(comparison, incumbent.name, candidate.name)
    missing = unchecked(comparison)
    if missing:
        told = "、".join(f"{NAMES[key]}（{n} 件）" for key, n in missing.items())
        note(f"工单太少（不足 {LEAST} 件有此项），没有检查：{told}；补上相应的列或更多工单再比")
    found = refusals(comparison, stated_coverage=stated, tolerance=tolerance)
    if found:
        say(f" {name}：{len(found)} 项变差", head="不启用", style="red")
        for refusal in found:
            say(f"  {refusal}")
        raise typer.Exit(1)
    if dry_run:
        say(f" {name}（--dry-run，没有切换）", head="可以启用")
        return
    registry.use(name)
    say(f" {name}；退回用 jiesu model use --back", head="已启用")


def _compared(
    a: Bundle, b: Bundle, data: list[Path], column: list[str] | None, *, least: int = 1
) -> tuple[Comparison, float]:
    from training.compare import compare as run
    from training.labels import LabelBook
    from training.reservoir import Reservoir
    from training.run_record import seen_in_training
    from training.tickets import LabelledTicket, read_tickets

    first, second = Dispatcher.from_bundle(a), Dispatcher.from_bundle(b)
    columns = columns_of(column)
    kept, lost = Reservoir[tuple[LabelledTicket, LabelledTicket]](MOST_TO_JUDGE), 0
    rows = zip(
        read_tickets(data, LabelBook(first.catalogue), columns=columns),
        read_tickets(data, LabelBook(second.catalogue), columns=columns),
        strict=True,
    )
    for x, y in rows:
        if isinstance(x, LabelledTicket) and isinstance(y, LabelledTicket):
            kept.add((x, y))
        else:
            lost += 1
    pairs = kept.items()
    if lost:
        note(f"{lost} 行没有用（编码须在两个模型包的目录里都能认出）")
    if len(pairs) < kept.seen:
        note(f"共 {kept.seen} 件，均匀抽取 {len(pairs)} 件")
    if not pairs:
        raise DataError("没有两个模型包都能评判的工单", path="、".join(map(str, data)))
    # Who has seen a ticket in training has the better of who has not.
    texts = [t.text for t, _ in pairs]
    seen = seen_in_training(a, texts) | seen_in_training(b, texts)
    if seen.any():
        note(f"{int(seen.sum())} 件工单是某个模型包训练时见过的，不计")
        pairs = [pair for pair, known in zip(pairs, seen, strict=True) if not known]
    if len(pairs) < least:
        raise DataError(
            f"两个模型包都没见过的工单只有 {len(pairs)} 件，至少需要 {least} 件",
            path="、".join(map(str, data)),
            remedy="给出两者训练之后的新工单",
        )
    with stages("比较") as progress:
        comparison = run(first, second, pairs, report=progress)
    return comparison, second.classifier.set_rule.coverage


def _print_comparison(comparison: Comparison, first: str, second: str) -> None:
    from training.compare import gain
    from training.evaluate import AS_NUMBER, NAMES

    table = Table(f"指标（{comparison.tickets} 件）", box=None)
    for title in (first, second, "差", "95% 区间", "p", ""):
        table.add_column(title, justify="right")
    for key, p in comparison.figures.items():
        form: Callable[[float], str] = (
            (lambda v: f"{v:.3f}") if key in AS_NUMBER else (lambda v: f"{v:.1%}")
        )
        signed: Callable[[float], str] = (
            (lambda v: f"{v:+.3f}") if key in AS_NUMBER else (lambda v: f"{v * 100:+.1f}")
        )
        verdict = Text("")
        if p.low > 0 or p.high < 0:
            better = gain(key, p) > 0
            verdict = Text("变好", style="green") if better else Text("变差", style="red")
        table.add_row(
            NAMES[key],
            form(p.first),
            form(p.second),
            signed(p.difference),
            f"{signed(p.low)} – {signed(p.high)}",
            f"{p.p_value:.3f}",
            verdict,
        )
    say_table(table)
    sizes = comparison.set_sizes
    say(f"候选集平均大小：{first} {sizes[0]:.2f}，{second} {sizes[1]:.2f}")


def measure_table(overall: dict[str, Measure]) -> Table:
    """Return the table of all figures."""
    from training.evaluate import NAMES
    from training.report import figure

    table = Table("指标", box=None)
    for title in ("值", "95% 区间", "件数"):
        table.add_column(title, justify="right")
    for key, m in overall.items():
        low, high = figure(key, m.low), figure(key, m.high)
        table.add_row(NAMES[key], figure(key, m.value), f"{low} – {high}", str(m.n))
    return table
