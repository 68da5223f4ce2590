"""The ``jiesu`` command: collects the verbs, turns errors into messages and exit codes.

Verbs of other rooms (``train``, ``serve`` …) join through the entry-point group
``jiesu.commands``: each names a function that takes the :class:`typer.Typer` and adds to it.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import Any

import typer

from jiesu_nlp.cli import catalogue, demo, explain, model, places, relabel, related, rules, suggest
from jiesu_nlp.cli.console import error
from jiesu_nlp.cli.wording import in_chinese, show_help_in_chinese
from jiesu_nlp.errors import JiesuError

_EPILOG = """\
退出码：0 全部成功；1 部分行或检查未通过；2 用法或输入有误；3 数据文件有误；4 模型包有误；130 被中断。

例：jiesu suggest "望京西园四区门口每天晚上一排烧烤摊"
"""

_INTERRUPTED = 130

app = typer.Typer(
    name="jiesu",
    help="接诉即办智能派单：市民诉求 → 类目、承办单位、办理时限与置信度。",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
demo.add_to(app)
suggest.add_to(app)
explain.add_to(app)
catalogue.add_to(app)
model.add_to(app)
places.add_to(app)
rules.add_to(app)
relabel.add_to(app)
related.add_to(app)
for _entry in sorted(entry_points(group="jiesu.commands"), key=lambda e: e.name):
    _entry.load()(app)


def run() -> None:
    """Entry point of the ``jiesu`` command."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal in another locale must not make Chinese output fail.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    words = sys.argv[1:]
    if len(words) < 2 or {"-h", "--help"} & set(words):  # else no help page is shown
        show_help_in_chinese()
    try:
        code = app(prog_name="jiesu", standalone_mode=False)
    except JiesuError as failure:
        error(str(failure))
        code = failure.exit_code
    except typer.Abort:
        code = _INTERRUPTED
    except Exception as fault:
        # Typer keeps its own exceptions now in one module, now in another.
        if not hasattr(fault, "format_message"):
            raise
        code = 2
        _say_wrong_use(fault)
    if code == _INTERRUPTED:
        error("已中断")
    raise SystemExit(code)


def _say_wrong_use(fault: Any) -> None:
    message = fault.format_message().strip()
    if message:  # none where the help page was shown instead
        where = getattr(getattr(fault, "ctx", None), "command_path", "jiesu")
        error(f"{in_chinese(message)}；用法见 {where} --help")
