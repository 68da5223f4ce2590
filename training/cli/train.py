"""``jiesu train``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from jiesu_nlp.cli.console import note, say, say_table
from jiesu_nlp.errors import UsageError
from jiesu_nlp.home import models_dir
from training.cli.judge import measure_table
from training.cli.shared import (
    MOST_TO_LEARN,
    ColumnOption,
    Data,
    TaxonomyOption,
    bundle_folder,
    columns_of,
    stages,
)

EPILOG = """\
例：

  jiesu train --data 2026工单.parquet --out 2026版

  jiesu train --data 工单.csv --column code=案件类型 --taxonomy labels-only --out models/试验
"""


class Architecture(StrEnum):
    """What kind of classifier to train."""

    LINEAR = "linear"
    ENCODER = "encoder"


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
    calibrate: Annotated[
        float, typer.Option(min=0, max=0.9, help="留作校准的比例（较晚的工单）。")
    ] = 0.1,
    test: Annotated[
        float, typer.Option(min=0, max=0.9, help="留作评测的比例（最晚的工单）。")
    ] = 0.1,
    says_weight: Annotated[float, typer.Option(min=0, help="一条目录例句相当于几件工单。")] = 1.0,
    most_tickets: Annotated[
        int, typer.Option(min=20, help="最多用多少件（超出则均匀抽样）。")
    ] = MOST_TO_LEARN,
    most_rejected: Annotated[
        float, typer.Option(min=0, max=1, help="不能用的行超过此比例就停止。")
    ] = 0.2,
    coverage: Annotated[
        float, typer.Option(help="候选集含正确细项的比例；标签有错时越高越长。")
    ] = 0.95,
    auto_precision: Annotated[
        float, typer.Option(help="“可直派”的承办单位至少有多准（95% 把握）。")
    ] = 0.98,
    suggest_precision: Annotated[
        float, typer.Option(help="“建议派单”的承办单位至少有多准（95% 把握）。")
    ] = 0.80,
    seed: Annotated[int, typer.Option(min=0, help="随机种子，不小于 0。")] = 0,
) -> None:
    """Train a bundle on labelled tickets."""
    from training.encoder.options import options_from_words
    from training.run_record import CARD_FILE
    from training.train import TrainOptions
    from training.train import train as run

    options = TrainOptions(
        taxonomy=taxonomy,
        columns=columns_of(column),
        calibrate=calibrate,
        test=test,
        says_weight=says_weight,
        most_tickets=most_tickets,
        most_rejected=most_rejected,
        coverage=coverage,
        auto_precision=auto_precision,
        suggest_precision=suggest_precision,
        seed=seed,
        checkpoint=checkpoint,
        encoder={
            **options_from_words(encoder_option or ()),
            **({} if epochs is None else {"epochs": epochs}),
        },
    )
    folder = bundle_folder(target)
    for share in (coverage, auto_precision, suggest_precision):
        if not 0 < share < 1:
            raise UsageError(f"精度、覆盖率应在 0 与 1 之间，现为 {share}")
    if arch is Architecture.ENCODER and checkpoint is None:
        raise UsageError("--arch encoder 需要 --checkpoint 文件夹")
    if arch is Architecture.LINEAR and (checkpoint or epochs is not None or encoder_option):
        raise UsageError("--checkpoint、--epochs 和 --encoder-option 只用于 --arch encoder")
    with stages("训练") as progress:
        trained = run(data, folder, options, progress)
    record = trained.record
    if record["rejected"]:
        reasons = "、".join(f"{k} {n}" for k, n in record["rejected"].items())
        note(f"{record['rows']} 行里有 {sum(record['rejected'].values())} 行没有用：{reasons}")
    if trained.evaluation is not None:
        say_table(measure_table(trained.evaluation.overall))
    say(
        f" {folder}（用时 {record['seconds']} 秒，内存峰值 {record['peak_memory_mb']} MB）",
        head="已生成",
    )
    # Only what stands in the folder of models can be put in service.
    verb = (
        f"promote {folder.name}" if folder.parent == models_dir() else f"compare default {folder}"
    )
    say(f"模型卡：{folder / CARD_FILE}；启用前请比较：jiesu {verb} --data 工单")
