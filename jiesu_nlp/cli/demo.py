"""``jiesu demo``: a handful of real-looking complaints with their suggestions."""

from __future__ import annotations

import typer

from jiesu_nlp.cli.console import load_dispatcher, out
from jiesu_nlp.cli.render import render

EXAMPLES = (
    "朝阳区望京西园四区门口每天晚上一排烧烤摊，油烟味熏得窗户都不敢开",
    "我家在回龙观东大街那边的小区，暖气从十五号到现在一直不热，屋里才十四度，家里有八十多岁的老人",
    "在健身房办了两年卡，上周去发现关门了，老板电话也打不通，三千多块钱能不能退",
    "请问孩子今年幼升小，户口在西城、住在丰台，该去哪里报名？",
    "楼道里全是煤气味，怀疑燃气泄漏，赶紧派人来！",
)


def add_to(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command("demo", help="看几件示例诉求的派单建议（首次运行会构建默认模型包）。")(demo)


def demo() -> None:
    """Show the examples and what to type next."""
    dispatcher = load_dispatcher(None)
    for text in EXAMPLES:
        out.print(render(dispatcher.suggest(text)))
    out.print("接下来试试您自己的诉求：")
    out.print('  [bold]jiesu suggest "小区地下车库顶板漏水，物业一直不修"[/]')
    out.print('  [bold]jiesu suggest --explain "…"[/]      看每一步怎么得出')
    out.print("  [bold]jiesu catalogue search 占道[/]       查派单目录")
    out.print("  [bold]jiesu --help[/]                      全部命令")
