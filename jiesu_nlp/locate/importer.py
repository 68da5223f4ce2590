"""Load a city's standard address library (CSV or XLSX) as one more table of the gazetteer.

The file is read row by row, checked, and written beside its place; only a complete and accepted
table is renamed into it, so a failed import leaves everything as it was.
"""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

import yaml

from jiesu_nlp.errors import DataError, UsageError
from jiesu_nlp.locate.gazetteer import KIND_ROW
from jiesu_nlp.locate.place_tables import IMPORTED, KIND_SYNONYMS, PlaceTables
from jiesu_nlp.locate.xlsx import xlsx_rows
from jiesu_nlp.vocabulary import PlaceKind

IMPORTED_FILE: Final = f"{IMPORTED}.tsv"
FIELDS: Final = ("name", "district", "town", "community", "kind", "lon", "lat")
_REQUIRED: Final = ("name", "district")
_OUT_COLUMNS: Final = ("name", "kind", "district", "town", "community", "lon", "lat")
# Headings that address libraries use, tried when there is no mapping.
_HEADINGS: Final = {
    "name": ("name", "名称", "地名", "标准地址", "标准名称", "小区名称", "地址名称", "POI名称"),
    "district": ("district", "区", "区县", "行政区", "所属区", "所在区", "区名称", "县区"),
    "town": ("town", "街道", "街道乡镇", "街乡镇", "乡镇街道", "所属街道", "镇街", "乡镇", "街镇"),
    "community": ("community", "社区", "社区村", "居委会", "村居", "所属社区", "居村委会"),
    "kind": ("kind", "类型", "地名类型", "类别", "分类", "场所类型"),
    "lon": ("lon", "lng", "经度", "x", "X"),
    "lat": ("lat", "纬度", "y", "Y"),
}
_KIND_BY_LABEL: Final = {
    **{kind.label: kind.value for kind in PlaceKind},
    "小区": "compound", "住宅小区": "compound", "住宅区": "compound", "居民区": "compound", "村": "village",
    "自然村": "village", "道路": "municipal_road", "街路巷": "municipal_road", "胡同": "alley", "桥": "bridge",
    "桥梁": "bridge", "学校": "campus", "市场": "market", "商场": "market", "写字楼": "office", "大厦": "office",
    "地铁站": "station", "车站": "hub", "河流": "river", "河道": "river", "景点": "scenic", "商铺": "shop", "片区": "area",
}  # fmt: skip
_KIND_BY_END: Final = (
    (("村",), "village"),
    (("胡同", "巷"), "alley"),
    (("桥",), "bridge"),
    (("路", "街", "大街", "大道"), "municipal_road"),
    (("医院", "卫生院"), "hospital"),
    (("学校", "小学", "中学", "幼儿园", "大学", "学院"), "campus"),
    (("公园",), "park"),
    (("大厦", "写字楼", "园区", "科技园"), "office"),
    (("市场", "商场", "购物中心"), "market"),
    (("河", "湖", "渠"), "river"),
)
_SAMPLES: Final = 20
_TOWN_BITS: Final = 1 << 16


@dataclass
class ImportReport:
    """What an import found; row numbers are those of the file, which starts with row 1."""

    rows: int = 0
    accepted: int = 0
    errors: int = 0
    duplicates: int = 0
    conflicts: int = 0
    # The first few of each, for the screen.
    samples: dict[str, list[str]] = field(default_factory=dict)
    written: Path | None = None

    def note(self, what: str, message: str) -> None:
        """Keep one of the first findings of a sort."""
        kept = self.samples.setdefault(what, [])
        if len(kept) < _SAMPLES:
            kept.append(message)


class _Areas:
    """Looks up districts and towns by any of their names."""

    def __init__(self, tables: PlaceTables) -> None:
        self.districts: dict[str, str] = {}
        for d in tables.districts:
            for spelling in (d.name, d.short, *d.aliases):
                self.districts.setdefault(spelling, d.name)
        self.towns: dict[tuple[str, str], str] = {}
        self.rows: dict[tuple[str, str], int] = {}
        for number, town in enumerate(tables.towns, start=1):
            for district in filter(None, (town.district, town.run_by)):
                for spelling in (town.name, *town.aliases):
                    self.towns.setdefault((district, spelling), town.name)
                self.rows[district, town.name] = number


def _detect(path: Path) -> str:
    """UTF-8 if all of the file is, else GB18030 (Excel of the authorities)."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            while file.read(1 << 20):
                pass
    except UnicodeDecodeError:
        return "gb18030"
    return "utf-8-sig"


def _csv_rows(path: Path) -> Iterator[Sequence[str]]:
    encoding = _detect(path)
    try:
        with path.open(encoding=encoding, newline="") as file:
            head = file.read(4096)
            file.seek(0)
            delimiter = "\t" if head.count("\t") > head.count(",") else ","
            yield from csv.reader(file, delimiter=delimiter)
    except UnicodeDecodeError:
        raise DataError(
            "既不是 UTF-8 也不是 GB18030 编码", path=path, remedy="另存为 UTF-8 的 CSV"
        ) from None
    except csv.Error as error:
        raise DataError(f"CSV 格式有误（{error}）", path=path, remedy="检查引号是否成对") from None


def _rows(path: Path) -> Iterator[Sequence[str]]:
    if not path.is_file():
        raise UsageError(f"文件不存在：{path}")
    suffix = path.suffix.lower()
    if suffix == ".xlsx":
        return xlsx_rows(path)
    if suffix in (".csv", ".tsv", ".txt"):
        return _csv_rows(path)
    raise UsageError(f"只能导入 .csv、.tsv 或 .xlsx，不认识 {path.name}")


def read_mapping(path: Path) -> dict[str, str]:
    """Read a column mapping: ``field: heading of the file``.

    Raises
    ------
    DataError
        If it is no mapping of known fields to headings.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise UsageError(f"读不了 {path}：{fault.strerror or fault}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise DataError("不是有效的 UTF-8 YAML", path=path, remedy="每行写“字段: 列名”") from None
    if not isinstance(data, dict):
        raise DataError("应为“字段: 列名”的对照表", path=path, remedy="例：name: 标准地址")
    for key, value in data.items():
        if key not in FIELDS or not isinstance(value, str):
            raise DataError(
                f"不认识的字段“{key}”",
                path=path,
                remedy=f"可用：{'、'.join(FIELDS)}；值为文件里的列名",
            )
    return data


def _columns(
    path: Path, line: int, head: Sequence[str], mapping: Mapping[str, str]
) -> dict[str, int]:
    heads = {h.strip().lstrip("\ufeff"): i for i, h in enumerate(head)}
    columns: dict[str, int] = {}
    for name in FIELDS:
        if name in mapping:
            if mapping[name] not in heads:
                raise DataError(
                    f"没有名为“{mapping[name]}”的列", path=path, line=line, field=name,
                    remedy=f"文件的列：{'、'.join(heads)}",
                )  # fmt: skip
            columns[name] = heads[mapping[name]]
        else:
            for heading in _HEADINGS[name]:
                if heading in heads:
                    columns[name] = heads[heading]
                    break
    missing = [name for name in _REQUIRED if name not in columns]
    if missing:
        raise DataError(
            f"缺少列：{'、'.join(missing)}", path=path, line=line,
            remedy=f"文件的列：{'、'.join(heads)}；用 --mapping 说明哪一列是什么",
        )  # fmt: skip
    return columns


def _kind(value: str, name: str) -> str | None:
    """Return the kind, guessed from the name where the file has none; ``None`` if it is unknown."""
    if value:
        value = KIND_SYNONYMS.get(value, value)
        value = value if value in KIND_ROW else _KIND_BY_LABEL.get(value, "")
        return value or None
    for ends, kind in _KIND_BY_END:
        if name.endswith(ends):
            return kind
    return "compound"


def _coordinate(value: str, low: float, high: float) -> bool:
    try:
        return not value or low <= float(value) <= high
    except ValueError:
        return False


def import_addresses(
    path: Path,
    directory: Path,
    tables: PlaceTables,
    *,
    mapping: Mapping[str, str] | None = None,
    dry_run: bool = False,
    skip_errors: bool = False,
    report: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> ImportReport:
    """Import an address library as ``imported.tsv`` of ``directory``, replacing an earlier one.

    Parameters
    ----------
    path
        The CSV, TSV or XLSX file.
    directory
        ``taxonomy/places/``.
    tables
        The tables of the city, for its districts and towns.
    mapping
        Heading by field where the headings are not the usual ones.
    dry_run
        Check only.
    skip_errors
        Write the good rows even if others are bad; otherwise one bad row keeps all out.
    report
        A CSV for all findings, not only the first few.
    progress
        Called with the number of rows read, now and then.

    Raises
    ------
    DataError, UsageError
        If the file cannot be read or has no usable columns.
    """
    result = ImportReport()
    rows = ((line, cells) for line, cells in enumerate(_rows(path), start=1) if any(cells))
    line, head = next(rows, (0, None))
    if head is None:
        raise DataError("文件是空的", path=path, remedy="第一行应为列名")
    columns = _columns(path, line, head, mapping or {})
    areas = _Areas(tables)
    target = directory / IMPORTED_FILE
    handle, name = tempfile.mkstemp(prefix=".imported-", suffix=".tmp", dir=directory)
    staging = Path(name)
    findings: TextIO | None = None
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as out:
            out.write("\t".join(_OUT_COLUMNS) + "\n")
            if report is not None:
                findings = report.open("w", encoding="utf-8-sig", newline="")
            _copy(rows, columns, areas, out, findings, result, progress)
        if not dry_run and result.accepted and (skip_errors or not result.errors):
            staging.chmod(0o644)
            staging.replace(target)
            result.written = target
    finally:
        staging.unlink(missing_ok=True)
        if findings is not None:
            findings.close()
    return result


def _copy(
    rows: Iterator[tuple[int, Sequence[str]]],
    columns: Mapping[str, int],
    areas: _Areas,
    out: TextIO,
    findings: TextIO | None,
    result: ImportReport,
    progress: Callable[[int], None] | None,
) -> None:
    """Check row after row; good ones go to ``out``."""
    listed: Any = csv.writer(findings) if findings is not None else None
    if listed is not None:
        listed.writerow(("行", "问题", "名称", "说明"))

    def note(what: str, number: int, name: str, message: str) -> None:
        result.note(what, f"第 {number} 行 {name}：{message}")
        if listed is not None:
            listed.writerow((number, what, name, message))

    # Where a name of a district stood first, with its town: row × 65,536 + town. Hashes instead of
    # names keep a million rows within memory; 64 bits make a false alarm one in ten million.
    seen: dict[int, int] = {}
    # Where its namesakes in other towns stood first.
    namesakes: dict[int, int] = {}
    index = [columns.get(f, -1) for f in FIELDS]
    for number, cells in rows:
        result.rows += 1
        if progress is not None and result.rows % 20_000 == 0:
            progress(result.rows)
        width = len(cells)
        name, district, town, community, kind, lon, lat = (
            " ".join(cells[i].split()) if 0 <= i < width else "" for i in index
        )
        fault = ""
        if not name:
            fault = "名称为空"
        elif len(name) < 2 or len(name) > 60:
            fault = "名称应为 2 至 60 个字"
        full_district = areas.districts.get(district)
        full_town = ""
        if not fault and full_district is None:
            fault = f"没有名为“{district}”的区" if district else "区为空"
        elif not fault and town and full_district is not None:
            full_town = areas.towns.get((full_district, town), "")
            if not full_town:
                fault = f"{full_district}没有“{town}”"
        full_kind = _kind(kind, name)
        if not fault and full_kind is None:
            fault = f"不认识的类型“{kind}”"
        if not fault and not (_coordinate(lon, 73, 136) and _coordinate(lat, 3, 54)):
            fault = f"经纬度“{lon},{lat}”有误（应为十进制度数）"
        if fault or full_district is None or full_kind is None:
            result.errors += 1
            note("错误", number, name, fault)
            continue
        town_row = areas.rows.get((full_district, full_town), 0)
        known = seen.setdefault(hash((name, full_district)), number * _TOWN_BITS + town_row)
        first, first_town = divmod(known, _TOWN_BITS)
        same = first
        if first_town != town_row:
            same = namesakes.setdefault(hash((name, full_district, town_row)), number)
        if same != number:
            result.duplicates += 1
            note("重复", number, name, f"与第 {same} 行相同，略去")
            continue
        if first != number:
            # Both are kept: two places of one name are candidates, and the operator is asked.
            result.conflicts += 1
            note("冲突", number, name, f"与第 {first} 行同名而街镇不同，两行都保留为候选")
        result.accepted += 1
        out.write(f"{name}\t{full_kind}\t{full_district}\t{full_town}\t{community}\t{lon}\t{lat}\n")
