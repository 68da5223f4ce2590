"""``jiesu suggest``: one ticket for a person, or a stream of tickets."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from jiesu_nlp.cli.console import (
    BundleOption,
    error,
    load_dispatcher,
    note,
    out,
    text_or_standard_input,
)
from jiesu_nlp.errors import UsageError
from jiesu_nlp.stream import answer_stream, open_lines
from jiesu_nlp.ticket import Ticket

_EPILOG = """\
例：

  jiesu suggest "朝阳区望京西园四区门口每天晚上一排烧烤摊，油烟味熏得窗户都不敢开"

  cat 来信.txt | jiesu suggest            （标准输入整体作为一件诉求）

  jiesu suggest --json "小区停水两天了"

  jiesu suggest --input 工单.jsonl --output 建议.jsonl   （每行一件：id、text，可选 channel、created_at、requester、address）

  jiesu suggest --input - < 工单.jsonl

流式处理时每行输入对应一行输出，顺序不变；有问题的行输出 {"line": 行号, "error": …}，其余照常处理，退出码为 1。
"""


def add_to(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command("suggest", help="给出派单建议。", epilog=_EPILOG)(suggest)


def suggest(
    text: Annotated[str | None, typer.Argument(help="诉求内容；省略时读标准输入。")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="输出一个 JSON 对象。")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="逐步说明得出结论的全过程。")] = False,
    source: Annotated[
        str | None,
        typer.Option("--input", "-i", help="工单文件（.jsonl 或 .txt 每行一件），- 为标准输入。"),
    ] = None,
    target: Annotated[
        Path | None, typer.Option("--output", "-o", help="结果文件（JSONL）；省略时写标准输出。")
    ] = None,
    address: Annotated[str | None, typer.Option(help="工单系统另记的地址。")] = None,
    created_at: Annotated[str | None, typer.Option(help="受理时间，如 2026-11-20T09:30。")] = None,
    bundle: BundleOption = None,
) -> None:
    """Answer one ticket or a stream of tickets."""
    if source is not None:
        if text is not None or explain:
            raise UsageError("--input 不能与诉求内容或 --explain 同时使用")
        if address is not None or created_at is not None:
            raise UsageError(
                "--address、--created-at 只用于单件诉求；用 --input 时写在每行 JSON 的 "
                "address、created_at 里"
            )
        _stream(source, target, bundle)
        return
    if target is not None:
        raise UsageError("--output 只用于 --input")
    if explain:
        from jiesu_nlp.cli.explain import explain_command

        explain_command(text, as_json, address, created_at, bundle)
        return
    text = text_or_standard_input(text, "suggest")
    ticket = Ticket(text=text, address=address, created_at=created_at)
    suggestion = load_dispatcher(bundle).suggest(ticket)
    if as_json:
        sys.stdout.write(json.dumps(suggestion.to_dict(), ensure_ascii=False) + "\n")
        return
    from jiesu_nlp.cli.render import render

    out.print(render(suggestion))


def _stream(source: str, target: Path | None, bundle: str | None) -> None:
    with open_lines(source) as lines:
        dispatcher = load_dispatcher(bundle)
        report = answer_stream(
            dispatcher, lines, target, on_error=lambda line, why: error(f"第 {line} 行：{why}")
        )
    where = str(target) if target is not None else "标准输出"
    note(f"共 {report.lines} 行，成功 {report.answered} 行，有误 {report.failed} 行 → {where}")
    if report.failed:
        raise typer.Exit(1)
