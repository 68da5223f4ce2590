"""``jiesu places``: check the tables of places, import an address library, look a text up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from jiesu_nlp.cli.console import check_folder_of, err, out, say, say_table
from jiesu_nlp.cli.render import PLACE_STATUSES
from jiesu_nlp.home import taxonomy_dir
from jiesu_nlp.locate.audit import collisions, entry_counts, repeated_names
from jiesu_nlp.locate.builder import build_gazetteer
from jiesu_nlp.locate.gazetteer import ENTRY_KINDS, Gazetteer, read_places
from jiesu_nlp.locate.importer import ImportReport, import_addresses, read_mapping
from jiesu_nlp.locate.locator import Locator
from jiesu_nlp.locate.place_tables import read_place_tables
from jiesu_nlp.text.normalise import normalise
from jiesu_nlp.vocabulary import PlaceKind

_app = typer.Typer(no_args_is_help=True, help="地名库：检查、导入标准地址库、试查一句话。")
_Directory = Annotated[
    Path | None, typer.Option("--dir", help="地名库文件夹；省略时为 taxonomy/places。")
]

_KINDS = {
    **{kind.value: kind.label for kind in PlaceKind},
    "district": "区",
    "town": "街道乡镇",
    "area": "片区",
    "community": "社区",
    "station": "车站",
    "bridge": "桥",
    "alley": "胡同",
}


def add_to(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.add_typer(_app, name="places")


def _directory(directory: Path | None) -> Path:
    return directory if directory is not None else taxonomy_dir() / "places"


@_app.command(
    "check",
    help="检查各表：区与街镇是否存在、名称是否重复、类型与编码是否合规，并列出同名异地。",
    epilog="例：jiesu places check --collisions 50",
)
def check(
    directory: _Directory = None,
    shown: Annotated[int, typer.Option("--collisions", help="列出多少个同名异地。", min=0)] = 15,
) -> None:
    """Check the tables; errors name file, line and field."""
    tables = read_place_tables(_directory(directory))
    gazetteer = build_gazetteer(tables)
    kinds = "，".join(f"{_KINDS[k]} {n}" for k, n in entry_counts(gazetteer).items())
    say(f"地点 {len(gazetteer.names):,} 个，写法 {len(gazetteer.keys):,} 种（{kinds}）")
    repeated = repeated_names(tables)
    for line in repeated:
        say(f" {line}", head="重复", style="yellow")
    same = collisions(gazetteer)
    say(f"同名异地（跨区）{len(same):,} 个，识别时保留为候选：")
    table = Table("写法", "所指", box=None)
    for collision in same[:shown]:
        places = "；".join(f"{district} {name}" for name, _, district in collision.places[:6])
        rest = len(collision.places) - 6
        table.add_row(collision.spelling, places + (f" 等 {rest + 6} 处" if rest > 0 else ""))
    say_table(table)
    if repeated:
        say("，请合并后再用", head=f"{len(repeated)} 处重复", style="yellow")
        raise typer.Exit(1)
    say("", head="检查通过")


@_app.command(
    "import",
    help="导入标准地址库（CSV 或 XLSX；列：name 名称、district 区、town 街镇、community 社区、kind 类型、lon、lat）。",
    epilog="例：jiesu places import 地址库.csv --mapping 列名.yaml --dry-run",
)
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV（UTF-8 或 GB18030）或 XLSX 文件。")],
    mapping: Annotated[
        Path | None, typer.Option("--mapping", help="YAML，每行“字段: 文件里的列名”。")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="只检查，不写入。")] = False,
    skip_errors: Annotated[
        bool, typer.Option("--skip-errors", help="略去有错的行，其余照写；默认有错就一行不写。")
    ] = False,
    report: Annotated[
        Path | None, typer.Option("--report", help="把全部问题写进这个 CSV。")
    ] = None,
    directory: _Directory = None,
) -> None:
    """Import an address library as one more table."""
    check_folder_of(report)
    target = _directory(directory)
    with err.status("读取…") as status:
        result = import_addresses(
            file,
            target,
            read_place_tables(target, imported=False),
            mapping=read_mapping(mapping) if mapping is not None else None,
            dry_run=dry_run,
            skip_errors=skip_errors,
            report=report,
            progress=lambda rows: status.update(f"已读 {rows:,} 行"),
        )
    _show(result, dry_run=dry_run)
    if result.errors and result.written is None:
        raise typer.Exit(1)


def _show(result: ImportReport, *, dry_run: bool) -> None:
    for what, lines in result.samples.items():
        for line in lines[:8]:
            say(f" {line}", head=what, style="yellow")
    say(
        f"共 {result.rows:,} 行：可用 {result.accepted:,}，错误 {result.errors:,}，"
        f"重复 {result.duplicates:,}，同名异地 {result.conflicts:,}"
    )
    if result.written is not None:
        say(f" {result.written}；重新构建模型包后生效（jiesu model build）", head="已写入")
    elif dry_run:
        say("试运行，未写入")
    else:
        say("：请改正错误的行，或加 --skip-errors 略去它们", head="未写入", style="red")


@_app.command(
    "lookup",
    help="看一句话里找到了哪些地点、结论是什么、依据是什么。",
    epilog='例：jiesu places lookup "家住通州，今天在国贸桥下被积水淹了"',
)
def lookup(
    text: Annotated[str, typer.Argument(help="一句话或一个地名。")],
    address: Annotated[str | None, typer.Option("--address", help="工单的地址栏。")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="输出 JSON。")] = False,
    directory: _Directory = None,
) -> None:
    """Show what is found in a text and why."""
    locator = Locator(read_places(_directory(directory)))
    normal = normalise(text).text
    located = locator.locate(normal, address)
    place = located.place()
    if as_json:
        out.print_json(json.dumps(place.to_dict(), ensure_ascii=False))
        return
    gazetteer = locator.gazetteer
    table = Table("文中", "身份", "可能是", "得分", box=None)
    for site in located.sites:
        words = " + ".join(normal[m.start : m.end] for m in site.mentions)
        score = f"{site.score:.2f}"
        table.add_row(words, site.role.label, _meanings(gazetteer, site.rows), score)
    if located.sites:
        say_table(table)
    else:
        say("没有找到北京的地名")
    where = "".join(filter(None, (place.district, place.town, place.community))) or "（未定）"
    say(
        f"结论：{where}　{PLACE_STATUSES[place.status]}　场所 {_KINDS[place.kind]}　"
        f"置信度 {place.confidence:.2f}"
    )
    for candidate in place.candidates:
        say(
            f"  候选 {candidate.district or ''}{candidate.town or ''}"
            f"（{candidate.name}）{candidate.confidence:.2f}"
        )


def _meanings(gazetteer: Gazetteer, rows: tuple[int, ...]) -> str:
    parts = []
    for row in rows[:4]:
        zones = "、".join(
            gazetteer.district_of(z) + (gazetteer.town_of(z) or "")
            for z in gazetteer.zones[row][:4]
        )
        parts.append(
            f"{gazetteer.names[row]}（{_KINDS[ENTRY_KINDS[gazetteer.kinds[row]]]}：{zones}）"
        )
    return "；".join(parts)
