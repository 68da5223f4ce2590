"""``jiesu explain``: the whole way of one ticket, laid out for a person."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from jiesu_nlp.cli.console import BundleOption, load_dispatcher, out, text_or_standard_input
from jiesu_nlp.cli.render import DECISIONS, PLACE_STATUSES
from jiesu_nlp.explain import Explanation, Stage, explain
from jiesu_nlp.ticket import Ticket
from jiesu_nlp.vocabulary import Gate

_EPILOG = '例：jiesu explain "朝阳区望京西园四区楼下烧烤店油烟太大" ； 加 --json 输出结构化结果'
_MARKS = {True: ("✓", "green"), False: ("·", "dim")}

# Scores far below their threshold are only noise to a reader.
_SHARE_WORTH_SHOWING = 0.5


def add_to(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command("explain", help="逐步说明一件诉求的派单全过程。", epilog=_EPILOG)(explain_command)


def explain_command(
    text: Annotated[str | None, typer.Argument(help="诉求内容；省略时读标准输入。")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="输出一个 JSON 对象。")] = False,
    address: Annotated[str | None, typer.Option(help="工单系统另记的地址。")] = None,
    created_at: Annotated[str | None, typer.Option(help="受理时间，如 2026-11-20T09:30。")] = None,
    bundle: BundleOption = None,
) -> None:
    """Explain one ticket."""
    text = text_or_standard_input(text, "explain")
    ticket = Ticket(text=text, address=address, created_at=created_at)
    explanation = explain(load_dispatcher(bundle), ticket)
    if as_json:
        sys.stdout.write(json.dumps(explanation.to_dict(), ensure_ascii=False) + "\n")
    else:
        out.print(render_explanation(explanation))


def render_explanation(explanation: Explanation) -> RenderableType:
    """Return the explanation for a terminal."""
    parts: list[RenderableType] = list(_stages(explanation.stages, start=1))
    number = len(explanation.stages) + 1
    many = len(explanation.demands) > 1
    for i, demand in enumerate(explanation.demands, start=1):
        if many:
            parts.append(Rule(f"诉求 {i}/{len(explanation.demands)}", align="left"))
        parts.extend(_stages(demand.stages, start=number))
    return Group(*parts)


def _stages(stages: tuple[Stage, ...], start: int) -> Iterator[RenderableType]:
    for number, stage in enumerate(stages, start=start):
        yield Panel(
            Group(*_LAYOUTS[stage.key](stage.facts)),
            title=f"{number} {stage.title}",
            title_align="left",
            border_style="dim",
        )


def _table(*columns: str) -> Table:
    table = Table(*columns, box=None, header_style="dim", pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    return table


def _line(*parts: tuple[str, str] | str) -> Text:
    return Text.assemble(*parts)


def _normalise(f: dict[str, Any]) -> Iterator[RenderableType]:
    yield _line(f["text"])
    if not f["changes"]:
        yield _line(("无改动", "dim"))
        return
    shown = "，".join(f"“{c['from']}”→“{c['to']}”" for c in f["changes"])
    more = f" 等 {len(f['changes']) + f['more_changes']} 处" if "more_changes" in f else ""
    yield _line(("改动 ", "dim"), shown + more)


def _redact(f: dict[str, Any]) -> Iterator[RenderableType]:
    if f["kinds"]:
        yield _line("已遮盖：" + "，".join(f"{kind} {n} 处" for kind, n in f["kinds"].items()))
    else:
        yield _line(("未发现个人信息", "dim"))


def _gates(f: dict[str, Any]) -> Iterator[RenderableType]:
    if f["kind"] == "none":
        yield _line("无需分流")
    else:
        yield _line(
            (f"{Gate(f['kind']).label} ", "bold red"), f"{f['advice']}（《条例》{f['article']}）"
        )
        if "because" in f:
            yield _line((f["because"], "dim"))
    for trial in f["tried"]:
        yield _line((f"{trial['gate']} ", "dim"), f"“{trial['word']}” {trial['result']}")
    near = [s for s in f["scores"] if s["probability"] >= _SHARE_WORTH_SHOWING * s["threshold"]]
    for score in near:
        yield _line(
            (f"{Gate(score['gate']).label} ", "dim"),
            f"评分 {score['probability']:.0%}（{score['threshold']:.0%} 起报）{score['result']}："
            + "、".join(score["words"]),
        )
    if f["sensitive"]:
        yield _line(("敏感标签 ", "dim"), "、".join(f["sensitive"]))


def _split(f: dict[str, Any]) -> Iterator[RenderableType]:
    yield _line(f"切分为 {f['stretches']} 段，合并同一事项后为 {f['demands']} 件诉求")
    if f["demands"] > 1:
        for i, part in enumerate(f["parts"], start=1):
            yield _line((f"{i} ", "dim"), part["text"])


def _classify(f: dict[str, Any]) -> Iterator[RenderableType]:
    table = _table("编码", "类目", "原始概率", "校准后", "依据的字词")
    for leaf in f["leaves"]:
        table.add_row(
            leaf["code"],
            " › ".join(leaf["path"]),
            f"{leaf['raw']:.3f}",
            f"{leaf['calibrated']:.3f}",
            "、".join(leaf["evidence"]),
        )
    yield table
    level, chosen = f["level1"], f["set"]
    yield _line(
        (f"一级类 {level['name']} {level['raw']:.3f} → {level['calibrated']:.3f}；", "dim"),
        (f"含正确类目的集合（覆盖率 {chosen['coverage']:.0%}）{chosen['size']} 项", "dim"),
    )


def _locate(f: dict[str, Any]) -> Iterator[RenderableType]:
    if f["sites"]:
        table = _table("文中", "身份", "可能在", "得分", "")
        for site in f["sites"]:
            table.add_row(
                site["words"],
                site["role"],
                "、".join(site["zones"]),
                f"{site['score']:.2f}",
                "" if site["here"] else "不在本诉求内",
            )
        yield table
    if f["address_used"]:
        yield _line(("采用工单地址栏", "dim"))
    result = f["result"] or "（未定）"
    yield _line(
        ("结论 ", "dim"),
        (result, "bold"),
        f"  {PLACE_STATUSES[f['status']]}  场所：{f['kind']}  可信度 {f['confidence']:.2f}",
    )
    for candidate in f["candidates"]:
        yield _line(("候选 ", "dim"), candidate)


def _attributes(f: dict[str, Any]) -> Iterator[RenderableType]:
    def named(items: list[dict[str, str]]) -> str:
        return "、".join(f"{i['value']}（{i['word']}）" for i in items) or "未见"

    guess = f["request_type"]
    yield _line(("场所 ", "dim"), f["kind"], ("  权属 ", "dim"), named(f["owners"]))
    yield _line(("主体 ", "dim"), named(f["actors"]))
    yield _line(
        ("诉求类型 ", "dim"),
        f"{guess['value']} {guess['confidence']:.2f}",
        (f"  依据 {'、'.join(guess['evidence'])}" if guess["evidence"] else "", "dim"),
        ("  月份 ", "dim"),
        str(f["month"] or "未知"),
    )


def _rules(f: dict[str, Any]) -> Iterator[RenderableType]:
    table = _table("", "规则", "方向", "结果", "出处")
    for tried in f["tried"]:
        mark, style = _MARKS[tried["won"]]
        table.add_row(
            Text(mark, style=style),
            Text(tried["rule"], style="bold" if tried["won"] else ""),
            tried["direction"],
            f"胜出：{tried['reason']}" if tried["won"] else tried["result"],
            Text(tried["where"], style="dim"),
        )
    yield table
    if f["not_in_force"]:
        yield _line(("不在有效期、未试：", "dim"), "、".join(f["not_in_force"]))


def _unit(f: dict[str, Any]) -> Iterator[RenderableType]:
    yield _line((f["unit"], "bold"), (f"  {f['code'] or '未定'}", "dim"))
    yield _line(("怎样确定 ", "dim"), f["how"])
    yield _line(("理由 ", "dim"), f["reason"] or "")
    for label, key in (("协办", "co_units"), ("抄送", "cc"), ("备选", "alternatives")):
        if f[key]:
            yield _line((f"{label} ", "dim"), "、".join(f[key]))


def _deadline(f: dict[str, Any]) -> Iterator[RenderableType]:
    yield _line((f["result"], "bold"), f"  {f['basis']}")
    given = f"目录 {f['catalogue']}" + (f"，派单规则 {f['rule']}" if f["rule"] else "")
    yield _line((given, "dim"))
    for tried in f["tried"]:
        yield _line((f"{tried['rule']} ", "dim"), tried["result"])


def _confidence(f: dict[str, Any]) -> Iterator[RenderableType]:
    table = _table("编码", "概率", "若是该类目则派", "")
    for leaf in f["leaves"]:
        mark, style = _MARKS[leaf["agrees"]]
        table.add_row(
            leaf["code"], f"{leaf['probability']:.3f}", leaf["unit"], Text(mark, style=style)
        )
    yield table
    yield _line(f["arithmetic"])
    limits = f"直派须 ≥ {f['auto_at']:.2f}，建议须 ≥ {f['suggest_at']:.2f}"
    missing = "" if f["complete"] else "；单位未定，一律人工核定"
    yield _line(("结论 ", "dim"), (DECISIONS[f["decision"]][0], "bold"), f"（{limits}{missing}）")


def _questions(f: dict[str, Any]) -> Iterator[RenderableType]:
    if not f["questions"]:
        yield _line(("没有需要追问的", "dim"))
    for question in f["questions"]:
        yield _line(question)


_LAYOUTS: dict[str, Callable[[dict[str, Any]], Iterator[RenderableType]]] = {
    "normalise": _normalise,
    "redact": _redact,
    "gates": _gates,
    "split": _split,
    "classify": _classify,
    "locate": _locate,
    "attributes": _attributes,
    "rules": _rules,
    "unit": _unit,
    "deadline": _deadline,
    "confidence": _confidence,
    "questions": _questions,
}
