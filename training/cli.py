"""Verbs of the ML engineer, added to ``jiesu`` through the entry point ``jiesu.commands``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from jiesu_nlp.bundle import Bundle, Registry, open_bundle
from jiesu_nlp.catalogue import Catalogue, read_catalogue
from jiesu_nlp.cli import catalogue as catalogue_cli
from jiesu_nlp.cli.console import note, out, stage_progress
from jiesu_nlp.dispatcher import DEFAULT_BUNDLE, Dispatcher, build_default
from jiesu_nlp.errors import DataError, UsageError
from jiesu_nlp.files import replace_file
from jiesu_nlp.home import models_dir, taxonomy_dir

if TYPE_CHECKING:
    from training.compare import Comparison
    from training.data_check import DataReport, Problem
    from training.metrics import Measure
    from training.tickets import LabelledTicket

_data = typer.Typer(no_args_is_help=True, help="标注工单：检查。")


class Architecture(StrEnum):
    """What kind of classifier to train."""

    LINEAR = "linear"
    ENCODER = "encoder"


Data = Annotated[
    list[Path],
    typer.Option(
        "--data",
        "-d",
        help="标注工单：csv、tsv、xlsx、jsonl、parquet、datasets 文件夹，或装着它们的文件夹；可多次给出。",
    ),
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help="列名对照，如 text=诉求内容；字段有 text、code、unit、created_at、weight、source、id。",
    ),
]
BundleOption = Annotated[
    str | None, typer.Option("--bundle", "-b", help="模型包名称或文件夹；省略时为启用中的。")
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="把全部数字写成 JSON。")]
TaxonomyOption = Annotated[
    str | None,
    typer.Option(
        help="目录：文件夹、目录表（.xlsx、.csv、.jsonl）或 labels-only（由工单标签生成）；省略时用本仓库的目录。"
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    from training.encoder import cli as encoder_cli

    catalogue_cli.app.command(
        "confusable", help="交叉验证例句，列出分类器分不清的细项（约两分钟）。"
    )(confusable)
    _data.command(
        "check", help="训练前检查标注工单：编码、重复、冲突、泄漏、长度、个人信息、分布。"
    )(data_check)
    app.add_typer(_data, name="data")
    app.command("train", help="用标注工单（连同目录例句）训练一个模型包。", epilog=_TRAIN_EPILOG)(
        train
    )
    app.command("evaluate", help="在标注工单上评测一个模型包，出数字和网页报告。")(evaluate)
    app.command("compare", help="两个模型包在同一批工单上比较，带配对检验。")(compare)
    app.command("promote", help="候选模型包不差于现用的才启用；差在哪里会说明。")(promote)
    app.command("audit", help="找出疑似错标的工单，导出给人核对，收回结论。")(audit)
    app.command("sample", help="从未标注工单里挑出最值得标注的。")(sample)
    encoder_cli.add_to(app)


_TRAIN_EPILOG = """\
例：

  jiesu train --data 2026工单.parquet --out 2026版

  jiesu train --data 工单.csv --column code=案件类型 --taxonomy labels-only --out models/试验
"""


def confusable(
    target: Annotated[
        Path | None, typer.Option("--output", "-o", help="写成 Markdown 报告。")
    ] = None,
    least: Annotated[float, typer.Option(help="互混率不低于此值才列出。")] = 0.15,
    folder: catalogue_cli.Folder = None,
) -> None:
    """List the leaves a cross-validated classifier confuses."""
    from training.confusability import confusability, to_markdown

    catalogue = read_catalogue(catalogue_cli.catalogue_dir(folder))
    with stage_progress("交叉验证") as bar:
        report = confusability(
            catalogue,
            least_share=least,
            report=lambda done: bar.update(bar.task_ids[0], completed=done),
        )
    text = to_markdown(report, catalogue)
    if target is not None:
        replace_file(target, text.encode())
        out.print(f"易混细项 {len(report.pairs)} 对 → {target}")
    else:
        out.print(text, soft_wrap=True)


def data_check(
    files: Annotated[list[Path], typer.Argument(help="文件或文件夹，可多个。")],
    column: ColumnOption = None,
    taxonomy: TaxonomyOption = None,
    against: Annotated[
        list[Path] | None, typer.Option(help="对照数据（如训练用过的）：查有没有重复的工单。")
    ] = None,
    rejected: Annotated[
        Path | None, typer.Option("--rejected", help="把不能用的行（已脱敏）写到这个 JSONL。")
    ] = None,
    as_json: JsonFile = None,
) -> None:
    """Check labelled tickets; exit code 1 if some rows cannot be used."""
    from training.data_check import check_data
    from training.labels import LabelBook
    from training.taxonomies import LABELS_ONLY, labels_of_data

    columns = _columns(column)
    if taxonomy == LABELS_ONLY:
        catalogue = labels_of_data(files, columns)
    else:
        catalogue = _catalogue(taxonomy, files)
    with stage_progress("检查工单") as bar:
        found = check_data(
            files,
            LabelBook(catalogue),
            columns=columns,
            against=against or (),
            rejected_to=rejected,
            report=lambda rows: bar.update(bar.task_ids[0], description=f"已读 {rows} 行"),
        )
        bar.update(bar.task_ids[0], completed=1.0)
    _print_data_report(found)
    if rejected is not None:
        out.print(f"不能用的行 → {rejected}")
    if as_json is not None:
        _write_json(as_json, found.to_json())
    if found.rejected:
        raise typer.Exit(1)


def _catalogue(taxonomy: str | None, files: list[Path]) -> Catalogue:
    from training.taxonomies import knowledge_for

    if taxonomy is None:
        return read_catalogue(taxonomy_dir() / "catalogue")
    return knowledge_for(taxonomy, taxonomy_dir(), files).catalogue


def _print_data_report(found: DataReport) -> None:
    for file, encoding in found.encodings.items():
        out.print(f"文件 {escape(file)}：{encoding}")
    bad = found.rows - found.usable
    out.print(f"共 {found.rows} 行，可用 {found.usable}，不能用 {bad}")
    _print_problems("不能用的行", found.rejected, "red")
    _print_problems("需要人看的", found.doubts, "yellow")
    if not found.near_duplicates_checked:
        out.print("工单太多，没有查近似重复；训练时会归组")
    if found.personal:
        kinds = "、".join(f"{kind} {n}" for kind, n in found.personal.most_common())
        out.print(f"个人信息（查了 {found.personal_checked} 件）：{kinds}；训练用的词表只存散列")
    if found.retired:
        total = sum(found.retired.values())
        shown = "、".join(f"{k}（{n}）" for k, n in list(found.retired.items())[:5])
        out.print(f"退役编码已换算 {total} 件：{shown}")
    lengths = "，".join(f"{name} {n}" for name, n in found.lengths.items())
    out.print(f"字数：{lengths or '—'}")
    if found.first:
        out.print(
            f"时间：{found.first} 至 {found.last}"
            + (f"，{found.undated} 件没有时间" if found.undated else "")
        )
    else:
        out.print("时间：没有时间列，训练时只能随机划分")
    out.print(f"有承办单位的 {found.with_unit} 件")
    out.print(
        f"细项：{found.leaves} 个里 {found.leaves_with_tickets} 个有工单，其中 {found.leaves_rare} 个不足 10 件"
    )
    table = Table("一级类", "名称", "件数", "占比", box=None)
    for code, name, n in found.classes:
        table.add_row(code, escape(name), str(n), f"{n / max(found.usable, 1):.1%}")
    out.print(table)


def _print_problems(title: str, problems: dict[str, Problem], style: str) -> None:
    if not problems:
        return
    table = Table(title, "行数", "例（已脱敏）", box=None)
    for name, problem in sorted(problems.items(), key=lambda item: -item[1].count):
        examples = "\n".join(escape(e) for e in problem.examples)
        table.add_row(f"[{style}]{escape(name)}[/]", str(problem.count), examples)
    out.print(table)


def train(
    data: Data,
    target: Annotated[str, typer.Option("--out", "-o", help="模型包名称，或文件夹路径。")],
    arch: Annotated[
        Architecture, typer.Option(help="linear：快速模型；encoder：预训练编码器。")
    ] = Architecture.LINEAR,
    taxonomy: TaxonomyOption = None,
    column: ColumnOption = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="--arch encoder：Hugging Face 编码器文件夹。")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="--arch encoder：训练轮数。")] = None,
    encoder_option: Annotated[
        list[str] | None,
        typer.Option(help="--arch encoder：其他选项，名称=值，可多次；见 docs/编码器.md。"),
    ] = None,
    calibrate: Annotated[float, typer.Option(help="留作校准的比例（较晚的工单）。")] = 0.1,
    test: Annotated[float, typer.Option(help="留作评测的比例（最晚的工单）。")] = 0.1,
    says_weight: Annotated[float, typer.Option(help="一条目录例句相当于几件工单。")] = 1.0,
    most_tickets: Annotated[int, typer.Option(help="最多用多少件（超出则均匀抽样）。")] = 1_000_000,
    most_rejected: Annotated[float, typer.Option(help="不能用的行超过此比例就停止。")] = 0.2,
    seed: Annotated[int, typer.Option(help="随机种子。")] = 0,
) -> None:
    """Train a bundle on labelled tickets."""
    from training.encoder.options import options_from_words
    from training.run_record import CARD_FILE
    from training.train import TrainOptions
    from training.train import train as run

    options = TrainOptions(
        taxonomy=taxonomy,
        columns=_columns(column),
        calibrate=calibrate,
        test=test,
        says_weight=says_weight,
        most_tickets=most_tickets,
        most_rejected=most_rejected,
        seed=seed,
        checkpoint=checkpoint,
        encoder={
            **options_from_words(encoder_option or ()),
            **({} if epochs is None else {"epochs": epochs}),
        },
    )
    folder = _target(target)
    if arch is Architecture.ENCODER and checkpoint is None:
        raise UsageError("--arch encoder 需要 --checkpoint 文件夹")
    if arch is Architecture.LINEAR and (checkpoint or epochs is not None or encoder_option):
        raise UsageError("--checkpoint、--epochs 和 --encoder-option 只用于 --arch encoder")
    with _stages("训练") as progress:
        trained = run(data, folder, options, progress)
    record = trained.record
    if record["rejected"]:
        reasons = "、".join(f"{k} {n}" for k, n in record["rejected"].items())
        note(f"{record['rows']} 行里有 {sum(record['rejected'].values())} 行没有用：{reasons}")
    if trained.evaluation is not None:
        out.print(_measure_table(trained.evaluation.overall))
    out.print(
        f"[green]已生成[/] {folder}（用时 {record['seconds']} 秒，内存峰值 {record['peak_memory_mb']} MB）",
        soft_wrap=True,
    )
    out.print(
        f"模型卡：{folder / CARD_FILE}；启用前请比较：jiesu promote {folder.name} --data 工单",
        soft_wrap=True,
    )


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
    from training.report import render_report
    from training.run_record import RECORD_FILE, seen_in_training

    opened = _bundle(bundle)
    dispatcher = Dispatcher.from_bundle(opened)
    tickets = _tickets(data, dispatcher.catalogue, column)
    texts = _lines(unclear) if unclear is not None else None
    record = opened.read_json(RECORD_FILE) if RECORD_FILE in opened else {}
    seen = int(seen_in_training(opened, [t.text for t in tickets]).sum())
    with _stages("评测") as progress:
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
    if report is not None:
        replace_file(report, render_report(found).encode())
    if as_json is not None:
        _write_json(as_json, found.to_json())
    out.print(_measure_table(found.overall))
    if seen:
        note(f"{seen} 件工单的原文在训练数据里出现过，数字偏高")
    for path in (report, as_json):
        if path is not None:
            out.print(f"→ {path}", soft_wrap=True)


def compare(
    first: Annotated[str, typer.Argument(help="模型包甲（如现用的）。")],
    second: Annotated[str, typer.Argument(help="模型包乙（如候选的）。")],
    data: Data,
    column: ColumnOption = None,
    as_json: JsonFile = None,
) -> None:
    """Compare two bundles on the same tickets."""
    a, b = _bundle(first), _bundle(second)
    comparison, _ = _compared(a, b, data, column)
    _print_comparison(comparison, a.name, b.name)
    if as_json is not None:
        _write_json(as_json, comparison.to_json())


def promote(
    name: Annotated[str, typer.Argument(help="候选模型包（模型文件夹里的名称）。")],
    data: Data,
    against: Annotated[str | None, typer.Option(help="与哪个比；省略时为启用中的。")] = None,
    column: ColumnOption = None,
    tolerance: Annotated[float, typer.Option(help="变差不超过此值且不确定时放行。")] = 0.005,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="只判断，不启用。")] = False,
) -> None:
    """Put a bundle in service unless it is worse on a guard figure; exit code 1 if refused."""
    from training.compare import refusals

    registry = Registry(models_dir())
    candidate = open_bundle(registry.path(name))
    candidate.verify()
    incumbent = _bundle(against)
    if incumbent.path.resolve() == candidate.path.resolve():
        raise UsageError(f"{name} 就是用来比较的模型包；请用 --against 指明另一个")
    comparison, stated = _compared(incumbent, candidate, data, column)
    _print_comparison(comparison, incumbent.name, candidate.name)
    found = refusals(comparison, stated_coverage=stated, tolerance=tolerance)
    if found:
        out.print(f"[red]不启用[/] {name}：{len(found)} 项变差")
        for refusal in found:
            out.print(f"  {refusal}", soft_wrap=True)
        raise typer.Exit(1)
    if dry_run:
        out.print(f"[green]可以启用[/] {name}（--dry-run，没有切换）")
        return
    registry.use(name)
    out.print(f"[green]已启用[/] {name}；退回用 jiesu model use --back")


def audit(
    data: Data,
    target: Annotated[
        Path, typer.Option("--output", "-o", help="导出 .xlsx（核对表）；收回结论时为 .jsonl。")
    ],
    bundle: BundleOption = None,
    column: ColumnOption = None,
    most: Annotated[int, typer.Option(help="最多导出几件。")] = 500,
    folds: Annotated[
        int,
        typer.Option(
            help="交叉验证折数：每件由没见过它的模型来判；0 表示直接用 --bundle（它须没见过这些工单）。"
        ),
    ] = 3,
    verdicts: Annotated[
        Path | None, typer.Option(help="填好的核对表：按结论改正 --data，写成 JSONL。")
    ] = None,
) -> None:
    """Find tickets that are probably mislabelled, or apply people's verdicts."""
    from training.audit import apply_verdicts, export_suspects, read_verdicts, suspects
    from training.cross_fit import score_across_folds
    from training.scoring import score

    opened = _bundle(bundle)
    dispatcher = Dispatcher.from_bundle(opened)
    tickets = _tickets(data, dispatcher.catalogue, column)
    if verdicts is not None:
        decided = read_verdicts(verdicts, dispatcher.catalogue)
        rows, changed, dropped = [], 0, 0
        for ticket, touched in apply_verdicts(tickets, decided):
            dropped += ticket is None
            if ticket is not None:
                changed += touched
                rows.append(_ticket_row(ticket))
        replace_file(
            target, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows).encode()
        )
        out.print(
            f"结论 {len(decided)} 条：改标 {changed} 件，剔除 {dropped} 件，共 {len(rows)} 件 → {target}",
            soft_wrap=True,
        )
        return
    if target.suffix.lower() != ".xlsx":
        raise UsageError("核对表应为 .xlsx 文件")
    with _stages("逐件判断") as progress:
        if folds:
            scored = score_across_folds(
                dispatcher, tickets, folds=folds, report=lambda done: progress("交叉验证", done)
            )
        else:
            scored = score(
                dispatcher, tickets, end_to_end=False, report=lambda d: progress("逐件判断", d)
            )
    found = suspects(scored)
    sure = sum(s.confident for s in found)
    export_suspects(found[:most], dispatcher.catalogue, target)
    out.print(
        f"{len(tickets)} 件里疑似错标 {sure} 件（模型对另一细项有把握），导出最可疑的 {min(len(found), most)} 件 → {target}",
        soft_wrap=True,
    )
    out.print(
        f"填“结论”一栏后：jiesu audit --data … --verdicts {target} --output 改正后.jsonl",
        soft_wrap=True,
    )


def sample(
    source: Annotated[
        Path, typer.Option("--input", "-i", help="未标注工单：每行一件（JSONL 或文本）。")
    ],
    target: Annotated[Path, typer.Option("--output", "-o", help="写成 .jsonl。")],
    count: Annotated[int, typer.Option("-n", help="挑几件。")] = 200,
    bundle: BundleOption = None,
    seed: Annotated[int, typer.Option(help="随机种子。")] = 0,
) -> None:
    """Pick the unlabelled tickets most worth labelling."""
    from jiesu_nlp.stream import open_lines, parse_line
    from jiesu_nlp.text.redact import redact
    from training.run_record import RECORD_FILE
    from training.sampling import choose

    opened = _bundle(bundle)
    dispatcher = Dispatcher.from_bundle(opened)
    record = opened.read_json(RECORD_FILE) if RECORD_FILE in opened else {}
    tickets, bad = [], 0
    with open_lines(str(source)) as lines:
        for line in lines:
            try:
                tickets.append(parse_line(line))
            except UsageError:
                bad += bool(line.text.strip()) or line.fault is not None
    if not tickets:
        raise DataError(
            "没有一件可读的工单", path=source, remedy="每行一件：JSON 对象（含 text）或文本"
        )
    chosen = choose(
        dispatcher,
        [t.text for t in tickets],
        count,
        leaf_counts=record.get("leaf_counts"),
        seed=seed,
    )
    codes = dispatcher.catalogue.codes
    rows = [
        {
            "id": tickets[c.row].id,
            "text": redact(tickets[c.row].text),
            "why": c.why,
            "candidates": [
                {
                    "code": codes[leaf],
                    "name": dispatcher.catalogue.leaves[leaf].name,
                    "p": round(p, 4),
                }
                for leaf, p in zip(c.leaves, c.probabilities, strict=True)
            ],
        }
        for c in chosen
    ]
    replace_file(target, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows).encode())
    kinds = "、".join(
        f"{why} {sum(c.why == why for c in chosen)}" for why in dict.fromkeys(c.why for c in chosen)
    )
    out.print(f"从 {len(tickets)} 件里挑出 {len(chosen)} 件（{kinds}）→ {target}", soft_wrap=True)
    if bad:
        note(f"{bad} 行读不懂，没有计入")


def _columns(options: list[str] | None) -> dict[str, str]:
    columns = {}
    for option in options or ():
        name, equals, title = option.partition("=")
        if not equals or not title:
            raise UsageError(f"--column 应写成 字段=列名：{option}")
        columns[name.strip()] = title.strip()
    return columns


def _target(name: str) -> Path:
    """Take a bare name for a bundle of the models folder."""
    path = Path(name)
    return models_dir() / name if len(path.parts) == 1 and name not in (".", "..") else path


def _bundle(name: str | None) -> Bundle:
    if name is not None and Path(name).is_dir():
        return open_bundle(Path(name))
    registry = Registry(models_dir())
    if name is None:
        name = registry.active() or DEFAULT_BUNDLE
        if name == DEFAULT_BUNDLE and name not in registry.names():
            note("还没有模型包，先构建默认模型包")
            return build_default()
    return open_bundle(registry.path(name))


def _tickets(
    data: list[Path], catalogue: Catalogue, column: list[str] | None
) -> list[LabelledTicket]:
    """Read the usable tickets; say how many rows were not."""
    from collections import Counter

    from training.labels import LabelBook
    from training.tickets import LabelledTicket, read_tickets

    good: list[LabelledTicket] = []
    bad: Counter[str] = Counter()
    for item in read_tickets(data, LabelBook(catalogue), columns=_columns(column)):
        if isinstance(item, LabelledTicket):
            good.append(item)
        else:
            bad[item.reason] += 1
    if bad:
        reasons = "、".join(f"{k} {n}" for k, n in bad.most_common())
        note(f"{bad.total()} 行没有用（{reasons}）；详情见 jiesu data check")
    if not good:
        raise DataError(
            "没有一件可用的工单",
            path="、".join(map(str, data)),
            remedy="用 jiesu data check 查看原因",
        )
    return good


def _compared(
    a: Bundle, b: Bundle, data: list[Path], column: list[str] | None
) -> tuple[Comparison, float]:
    from training.compare import compare as run
    from training.labels import LabelBook
    from training.run_record import seen_in_training
    from training.tickets import LabelledTicket, read_tickets

    first, second = Dispatcher.from_bundle(a), Dispatcher.from_bundle(b)
    columns = _columns(column)
    pairs, lost = [], 0
    rows = zip(
        read_tickets(data, LabelBook(first.catalogue), columns=columns),
        read_tickets(data, LabelBook(second.catalogue), columns=columns),
        strict=True,
    )
    for x, y in rows:
        if isinstance(x, LabelledTicket) and isinstance(y, LabelledTicket):
            pairs.append((x, y))
        else:
            lost += 1
    if lost:
        note(f"{lost} 行没有用（编码须在两个模型包的目录里都能认出）")
    if not pairs:
        raise DataError("没有两个模型包都能评判的工单", path="、".join(map(str, data)))
    for bundle in (a, b):
        seen = int(seen_in_training(bundle, [t.text for t, _ in pairs]).sum())
        if seen:
            note(f"{seen} 件工单的原文在 {bundle.name} 的训练数据里出现过，它的数字偏高")
    with _stages("比较") as progress:
        comparison = run(first, second, pairs, report=progress)
    return comparison, second.classifier.coverage


def _print_comparison(comparison: Comparison, first: str, second: str) -> None:
    from training.compare import gain
    from training.evaluate import AS_NUMBER, NAMES

    table = Table(f"指标（{comparison.tickets} 件）", box=None)
    for title in (escape(first), escape(second), "差", "95% 区间", "p", ""):
        table.add_column(title, justify="right")
    for key, p in comparison.figures.items():
        form: Callable[[float], str] = (
            (lambda v: f"{v:.3f}") if key in AS_NUMBER else (lambda v: f"{v:.1%}")
        )
        signed: Callable[[float], str] = (
            (lambda v: f"{v:+.3f}") if key in AS_NUMBER else (lambda v: f"{v * 100:+.1f}")
        )
        verdict = ""
        if p.low > 0 or p.high < 0:
            verdict = "[green]变好[/]" if gain(key, p) > 0 else "[red]变差[/]"
        table.add_row(
            NAMES[key],
            form(p.first),
            form(p.second),
            signed(p.difference),
            f"{signed(p.low)} – {signed(p.high)}",
            f"{p.p_value:.3f}",
            verdict,
        )
    out.print(table)


def _measure_table(overall: dict[str, Measure]) -> Table:
    from training.evaluate import NAMES
    from training.report import figure

    table = Table("指标", box=None)
    for title in ("值", "95% 区间", "件数"):
        table.add_column(title, justify="right")
    for key, m in overall.items():
        low, high = figure(key, m.low), figure(key, m.high)
        table.add_row(NAMES[key], figure(key, m.value), f"{low} – {high}", str(m.n))
    return table


def _ticket_row(ticket: LabelledTicket) -> dict[str, Any]:
    row = {
        "id": ticket.id,
        "text": ticket.text,
        "code": ticket.code,
        "codes_ok": list(ticket.codes[1:]),
        "unit": ticket.units[0] if ticket.units else None,
        "created_at": ticket.created_at,
        "weight": ticket.weight if ticket.weight != 1 else None,
        "source": ticket.source,
    }
    return {k: v for k, v in row.items() if v not in (None, [])}


def _lines(path: Path) -> list[str]:
    from jiesu_nlp.stream import open_lines

    with open_lines(str(path)) as lines:
        return [line.text.strip() for line in lines if line.text.strip()]


def _write_json(path: Path, value: Any) -> None:
    replace_file(path, (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode())


@contextmanager
def _stages(title: str) -> Iterator[Callable[[str, float], None]]:
    with stage_progress(title) as bar:
        yield lambda stage, done: bar.update(bar.task_ids[0], description=stage, completed=done)
