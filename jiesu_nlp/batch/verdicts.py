"""Verdicts: what people decided about rows, read from XLSX, kept beside the manifest.

The saved verdicts are the truth and shards follow from them: a shard that is made anew carries its
verdicts again, so applying twice, or being killed half-way, changes nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from jiesu_nlp.batch.extras import arrow
from jiesu_nlp.batch.manifest import FOLDER, Manifest, Written, locked
from jiesu_nlp.batch.rows import Task, task_of
from jiesu_nlp.batch.sink import ledger, rewrite
from jiesu_nlp.batch.table import Table, is_table_of
from jiesu_nlp.batch.workbook import check_filled_in
from jiesu_nlp.catalogue.model import Catalogue
from jiesu_nlp.errors import DataError, UsageError
from jiesu_nlp.files import replace_file
from jiesu_nlp.locate.xlsx import xlsx_rows

_SAVED = "verdicts.json"
SOURCE, ROW, VERDICT = "来源", "行", "核定编码"
_PATCHED = ("label", "label_basis", "review")
Verdicts = dict[tuple[str, int], str]


def read_workbook(path: Path, catalogue: Catalogue) -> Verdicts:
    """Read the rows of a review workbook that carry a verdict.

    Raises
    ------
    UsageError
        If the file is no .xlsx, or holds no verdict.
    DataError
        If it is no workbook of ours, a code is no active leaf, or a row has two verdicts.
    """
    check_filled_in(path)
    rows = xlsx_rows(path)
    header = [c.strip() for c in next(rows, [])]
    missing = [c for c in (SOURCE, ROW, VERDICT) if c not in header]
    if missing:
        raise DataError(
            f"缺少列：{'、'.join(missing)}", path=path, line=1, remedy="用重标导出的复核表填写"
        )
    found: Verdicts = {}
    for line, cells in enumerate(rows, start=2):
        row = dict.fromkeys(header, "") | dict(zip(header, cells, strict=False))
        code = row[VERDICT].strip()
        if not code:
            continue
        if code not in catalogue.by_code:
            after = "、".join(catalogue.successors(code))
            raise DataError(
                f"“{code}”不是现行细项编码" + (f"（后继：{after}）" if after else ""),
                path=path,
                line=line,
                field=VERDICT,
                remedy="填派单目录中的编码，形如 09-02-003",
            )
        try:
            key = (row[SOURCE], int(row[ROW]))
        except ValueError:
            raise DataError("行号不是整数", path=path, line=line, field=ROW) from None
        if found.setdefault(key, code) != code:
            raise DataError("同一行有两个不同的核定", path=path, line=line, field=VERDICT)
    if not found:
        raise UsageError(f"{path} 里没有填写核定编码")
    return found


def read_saved(output: Path, key: str) -> Verdicts:
    """Return the saved verdicts of one shard."""
    saved = _saved(output).get(key, [])
    return {(source, row): code for source, row, code in saved}


def _saved(output: Path) -> dict[str, list[tuple[str, int, str]]]:
    path = output / FOLDER / _SAVED
    if not path.exists():
        return {}
    saved: dict[str, list[tuple[str, int, str]]] = json.loads(path.read_bytes())
    return saved


def patch(table: Any, verdicts: Verdicts, task: Task) -> Any:
    """Put verdicts into the label columns of a shard; the model's columns stay as they were."""
    if not verdicts:
        return table
    pa = arrow()
    names = [task.prefix + n for n in ("source", "row", *_PATCHED)]
    sources, rows, labels, bases, review = (table.column(n).to_pylist() for n in names)
    for i, place in enumerate(zip(sources, rows, strict=True)):
        if place in verdicts:
            labels[i], bases[i], review[i] = verdicts[place], "person", []
    for name, values in zip(names[2:], (labels, bases, review), strict=True):
        position = table.column_names.index(name)
        kind = table.schema.field(position)
        table = table.set_column(position, kind, pa.array(values, kind.type))
    return table


def rewritten(
    output: Path, files: Sequence[Written], verdicts: Verdicts, task: Task
) -> tuple[Written, ...]:
    """Bring verdicts into the files of a shard that hold answers."""
    if not verdicts:
        return tuple(files)
    change = partial(patch, verdicts=verdicts, task=task)
    return tuple(f if f.path.startswith(FOLDER) else rewrite(output, f, change) for f in files)


def apply_verdicts(
    output: Path, workbook: Path, catalogue: Catalogue, *, table: Table | None = None
) -> Counter[str]:
    """Bring the verdicts of a workbook into the finished shards.

    Parameters
    ----------
    output, workbook
        The run's output folder and the filled-in review workbook.
    catalogue
        Knows the codes.
    table
        Of a run whose answers are in a database.

    Returns
    -------
    Counter
        ``applied`` verdicts and the ``shards`` they are in.

    Raises
    ------
    UsageError
        If the folder is no run with old labels in Parquet or a table.
    DataError
        If a verdict is of no row of the run; nothing was changed then.
    """
    verdicts = read_workbook(workbook, catalogue)
    if not (output / FOLDER).is_dir():
        raise UsageError(f"不是重标的输出文件夹：{output}")
    with locked(output):
        manifest = Manifest(output)
        header = manifest.header
        if header is None or header["task"]["old_label"] is None or header["form"] == "csv":
            raise UsageError(
                "核定结果只能用于以 --old-label 重标、输出为 Parquet 或数据库表的文件夹"
            )
        if not is_table_of(header, table):
            raise UsageError(
                f"这次重标的结果表是 {header['table'] or '（无）'}；请给出同样的 --table"
            )
        task = task_of(header["task"])
        by_shard = _by_shard(verdicts, manifest)
        saved = _saved(output)
        for key, rows in by_shard.items():
            merged = read_saved(output, key) | rows
            saved[key] = [(source, row, code) for (source, row), code in sorted(merged.items())]
        replace_file(output / FOLDER / _SAVED, json.dumps(saved, ensure_ascii=False).encode())
        if table is not None:
            table.update(task.prefix, verdicts)
        for key in sorted(by_shard):
            shard = manifest.shards[key]
            files = rewritten(output, shard.files, read_saved(output, key), task)
            manifest.add(replace(shard, files=files))
    return Counter(applied=len(verdicts), shards=len(by_shard))


def _by_shard(verdicts: Verdicts, manifest: Manifest) -> dict[str, Verdicts]:
    found: dict[str, Verdicts] = {}
    left = dict(verdicts)
    for key, table in ledger(manifest, ["source", "row"]):
        places = zip(*(table.column(n).to_pylist() for n in ("source", "row")), strict=True)
        here = {place: left.pop(place) for place in places if place in left}
        if here:
            found.setdefault(key, {}).update(here)
    if left:
        source, row = next(iter(left))
        raise DataError(
            f"有 {len(left)} 条核定找不到对应的行，如 {source} 第 {row} 行",
            remedy="用这次重标导出的复核表填写",
        )
    return found
