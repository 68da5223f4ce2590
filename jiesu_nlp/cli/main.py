"""The ``jiesu`` command: collects the verbs, turns errors into messages and exit codes.

Verbs of other rooms (``train``, ``serve`` …) join through the entry-point group
``jiesu.commands``: each names a function that takes the :class:`typer.Typer` and adds to it.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

import typer

from jiesu_nlp.cli import catalogue, demo, explain, model, places, relabel, related, rules, suggest
from jiesu_nlp.cli.console import error
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
    try:
        app()
    except JiesuError as failure:
        error(str(failure))
        raise SystemExit(failure.exit_code) from None
    except SystemExit as leaving:
        # Typer catches the interrupt itself and says nothing.
        if leaving.code == _INTERRUPTED:
            error("已中断")
        raise
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(0) from None
