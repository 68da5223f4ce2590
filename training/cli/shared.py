"""What the verbs share: options, where bundles are, reading tickets, progress."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jiesu_nlp.catalogue import Catalogue
from jiesu_nlp.cli.console import is_bundle_name, note, stage_progress
from jiesu_nlp.errors import DataError, UsageError
from jiesu_nlp.files import replace_file
from jiesu_nlp.home import models_dir

if TYPE_CHECKING:
    from jiesu_nlp.ticket import Ticket
    from training.tickets import LabelledTicket

# More tickets make the intervals hardly narrower, but the answering long.
MOST_TO_JUDGE = 200_000
MOST_TO_LEARN = 1_000_000

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
JsonFile = Annotated[Path | None, typer.Option("--json", help="把全部数字写成 JSON。")]
TaxonomyOption = Annotated[
    str | None,
    typer.Option(
        help="目录：文件夹、目录表（.xlsx、.csv、.jsonl）或 labels-only（由工单标签生成）；省略时用本仓库的目录。"
    ),
]


def columns_of(options: list[str] | None) -> dict[str, str]:
    """Read ``--column`` as field → column."""
    columns = {}
    for option in options or ():
        name, equals, title = option.partition("=")
        if not equals or not title:
            raise UsageError(f"--column 应写成 字段=列名：{option}")
        columns[name.strip()] = title.strip()
    return columns


def bundle_folder(name: str) -> Path:
    """Take a bare name for a bundle of the models folder, anything with a slash for a path."""
    return models_dir() / name if is_bundle_name(name) else Path(name)


def usable_tickets(
    data: list[Path], catalogue: Catalogue, column: list[str] | None, *, most: int
) -> list[LabelledTicket]:
    """Read the usable tickets, at most ``most`` of them; say how many rows were left out."""
    from training.labels import LabelBook
    from training.tickets import read_tickets
    from training.train import gather_tickets

    book = LabelBook(catalogue)
    found = gather_tickets(
        read_tickets(data, book, columns=columns_of(column)), book, most=most, seed=0
    )
    if found.rejected:
        reasons = "、".join(f"{k} {n}" for k, n in found.rejected.most_common())
        note(f"{found.rejected.total()} 行没有用（{reasons}）；详情见 jiesu data check")
    if not found.tickets:
        raise DataError(
            "没有一件可用的工单",
            path="、".join(map(str, data)),
            remedy="用 jiesu data check 查看原因",
        )
    if len(found.tickets) < found.usable:
        note(f"共 {found.usable} 件，均匀抽取 {most} 件")
    return found.tickets


def text_lines(path: Path) -> list[str]:
    """Return the lines of a text file that are not blank.

    Raises
    ------
    DataError
        If a line is in no known encoding.
    """
    from jiesu_nlp.stream import open_lines

    found = []
    with open_lines(str(path)) as lines:
        for line in lines:
            if line.fault is not None:
                raise DataError(line.fault, path=path, line=line.number, remedy="转成 UTF-8")
            if line.text.strip():
                found.append(line.text.strip())
    return found


def unlabelled_tickets(path: Path, column: list[str] | None) -> list[Ticket]:
    """Read tickets without labels; say how many rows were left out."""
    from training.reservoir import Reservoir
    from training.tickets import Rejected, read_unlabelled

    kept, bad = Reservoir["Ticket"](MOST_TO_LEARN), Counter[str]()
    for item in read_unlabelled(path, columns=columns_of(column)):
        if isinstance(item, Rejected):
            bad[item.reason] += 1
        else:
            kept.add(item)
    if bad:
        note(f"{bad.total()} 行没有用（{'、'.join(f'{k} {n}' for k, n in bad.most_common())}）")
    if not kept.seen:
        raise DataError("没有一件可读的工单", path=path, remedy="每行一件，有诉求内容一列")
    if kept.seen > MOST_TO_LEARN:
        note(f"共 {kept.seen} 件，均匀抽取 {MOST_TO_LEARN} 件")
    return kept.items()


def write_json(path: Path, value: Any) -> None:
    """Write plain values as a JSON file."""
    replace_file(path, (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode())


@contextmanager
def stages(title: str) -> Iterator[Callable[[str, float], None]]:
    """Show the progress of a run; of several processes of ``torchrun`` only that of the first."""
    if os.environ.get("RANK", "0") != "0":
        yield lambda stage, done: None
        return
    with stage_progress(title) as moved:
        yield moved
