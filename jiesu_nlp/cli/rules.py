"""``jiesu rules``: judge, show and prove the routing rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from jiesu_nlp.cli.console import say, say_table
from jiesu_nlp.errors import UsageError
from jiesu_nlp.gates import GateRule
from jiesu_nlp.home import taxonomy_dir
from jiesu_nlp.knowledge import Knowledge, read_knowledge
from jiesu_nlp.route.checks import check_rules, direction
from jiesu_nlp.route.dates import in_force
from jiesu_nlp.route.proof import prove
from jiesu_nlp.route.rules import Condition, DeadlineRule, Rule, under
from jiesu_nlp.vocabulary import Actor, Gate, Owner, PlaceKind, Tier

app = typer.Typer(no_args_is_help=True, help="派单规则：检查、查看、证明全覆盖。")
Folder = Annotated[Path | None, typer.Option("--dir", help="taxonomy 文件夹；省略时为现行数据。")]
_MOST_SHOWN = 40
_PARTS = {
    "leaf": "细项",
    "not_leaf": "除细项",
    "kind": "场所",
    "owner": "权属",
    "actor": "主体",
    "type": "诉求类型",
    "district": "区",
    "town": "街道乡镇",
    "month": "月份",
    "gate": "分流",
    "words": "含词",
    "and_words": "且含词",
    "not_words": "不含词",
}
_SEVERITY = {"error": ("错误", "red"), "warning": ("提醒", "yellow"), "note": ("说明", "dim")}


def add_to(root: typer.Typer) -> None:
    """Add the verb to the command."""
    root.add_typer(app, name="rules")


def _knowledge(folder: Path | None) -> Knowledge:
    return read_knowledge(folder or taxonomy_dir())


@app.command("check", help="检查规则：遮蔽、永不生效、互相矛盾、引用不存在（含分流的类目）、日期。")
def check(
    folder: Folder = None,
    everything: Annotated[bool, typer.Option("--all", help="列出全部发现，包括说明。")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="提醒也算未通过。")] = False,
) -> None:
    """Judge the rules; exit code 1 if there are errors."""
    known = _knowledge(folder)
    found = check_rules(known.rules, known.catalogue, known.units, known.places, known.gates)
    shown = found if everything else [f for f in found if f.severity != "note"][:_MOST_SHOWN]
    for finding in shown:
        label, style = _SEVERITY[finding.severity]
        say(f" {finding.check} {finding}", head=label, style=style)
    if len(shown) < len(found):
        say(f"……另有 {len(found) - len(shown)} 条，加 --all 查看")
    count = Counter(f.severity for f in found)
    say(
        f"派单规则 {len(known.rules.rules)} 条，时限规则 {len(known.rules.deadlines.rules)} 条，"
        f"单位 {len(known.units)} 个；错误 {count['error']}，提醒 {count['warning']}，说明 {count['note']}"
    )
    if count["error"] or (strict and count["warning"]):
        raise typer.Exit(1)


@app.command("prove", help="证明：每个细项 × 每个街道乡镇 × 每类场所，都恰有一个单位和一个时限。")
def prove_command(folder: Folder = None) -> None:
    """Prove coverage; exit code 1 if there is a gap."""
    known = _knowledge(folder)
    proof = prove(known.rules, known.catalogue, known.units, known.places)
    for gap in proof.gaps[:_MOST_SHOWN]:
        say(f" {gap}", head="缺口", style="red")
    if len(proof.gaps) > _MOST_SHOWN:
        say(f"……另有 {len(proof.gaps) - _MOST_SHOWN} 处")
    say(
        f"细项 {proof.leaves} × 地点 {proof.places}（街道乡镇、功能区，及只知区的情形）× 场所 "
        f"{proof.kinds} = {proof.cases:,} 种情形；涉及规则 {proof.rules} 条、派单方向与地点的组合 "
        f"{proof.resolutions:,} 个（其中由区政府协调 {proof.fallbacks} 个）；用时 {proof.seconds:.1f} 秒"
    )
    if not proof.holds:
        raise typer.Exit(1)
    say("：每种情形恰有一个承办单位，均存在、管辖该地且不是社区；恰有一个时限", head="成立")


@app.command("show", help="查看一条规则（R-…、T-…、G1-…），或一个细项、小类会用到的全部规则。")
def show(
    name: Annotated[str, typer.Argument(help="规则编号，或目录编码。")],
    folder: Folder = None,
) -> None:
    """Show one rule, or all rules of a leaf, group or class in the order they are tried."""
    known = _knowledge(folder)
    if name in known.rules.by_id:
        _show_rule(known, known.rules.by_id[name])
        return
    for deadline in known.rules.deadlines.rules:
        if deadline.id == name:
            _show_deadline(known, deadline)
            return
    for gate in known.gates.gates:
        if gate.id == name:
            _show_gate(gate)
            return
    if name in known.catalogue.by_code:
        _show_leaf(known, name)
    elif known.catalogue.name_of(name):
        _show_branch(known, name)
    else:
        raise UsageError(f"没有规则或编码 {name}")


def condition_text(known: Knowledge, when: Condition, *, skip: Iterable[str] = ()) -> str:
    """Return a condition in Chinese, the parts in the order they are tried."""
    labels: dict[str, Callable[[str], str]] = {
        "kind": lambda v: PlaceKind(v).label,
        "leaf": lambda v: f"{v} {known.catalogue.name_of(v) or '？'}",
        "not_leaf": lambda v: f"{v} {known.catalogue.name_of(v) or '？'}",
        "owner": lambda v: Owner(v).value,
        "actor": lambda v: Actor(v).value,
        "gate": lambda v: Gate(v).label,
        "month": lambda v: f"{v} 月",
    }
    hidden = set(skip)
    return "；".join(
        f"{_PARTS[f.name]}：{'、'.join(labels.get(f.name, str)(v) for v in getattr(when, f.name))}"
        for f in fields(when)
        if f.name not in hidden and getattr(when, f.name)
    )


def _target(known: Knowledge, rule: Rule) -> str:
    if not rule.unit_code:
        return rule.unit
    unit = known.units.by_code.get(rule.unit_code)
    return f"{unit.name if unit else '（不存在）'}（{rule.unit_code}）"


def _table() -> Table:
    table = Table(show_header=False, box=None)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _show_rule(known: Knowledge, rule: Rule) -> None:
    table = _table()
    table.add_row("编号", rule.id)
    table.add_row("出处", f"{rule.file} 第 {rule.line} 行" if rule.file else "派单目录")
    table.add_row("条件", condition_text(known, rule.when) or "无")
    table.add_row("派单方向", _target(known, rule))
    co_units = "沿用目录" if rule.co_units is None else "、".join(rule.co_units) or "无"
    table.add_row("协办", co_units)
    table.add_row("时限", Tier(rule.limit).label if rule.limit else "沿用目录")
    table.add_row("理由", rule.reason)
    table.add_row("依据", rule.basis)
    if rule.valid_from or rule.valid_to:
        state = "有效" if in_force(rule.valid_from, rule.valid_to) else "不在有效期内，不执行"
        period = f"{rule.valid_from or '…'} 至 {rule.valid_to or '…'}"
        table.add_row("有效期", f"{period}（{state}）")
    codes = [leaf.code for leaf in known.catalogue.leaves if rule.when.covers_leaf(leaf.code)]
    table.add_row(
        "涉及细项", f"{len(codes)} 个：{'、'.join(codes[:12])}{'…' if len(codes) > 12 else ''}"
    )
    say_table(table)


def _show_deadline(known: Knowledge, rule: DeadlineRule) -> None:
    table = _table()
    table.add_row("编号", rule.id)
    table.add_row("出处", f"{rule.file} 第 {rule.line} 行")
    table.add_row("条件", condition_text(known, rule.when) or "无")
    for label, tier in (("定为", rule.limit), ("不长于", rule.at_most), ("不短于", rule.at_least)):
        if tier:
            table.add_row(label, Tier(tier).label)
    table.add_row("依据", rule.basis)
    say_table(table)


def _show_gate(gate: GateRule) -> None:
    table = _table()
    table.add_row("编号", gate.id)
    table.add_row("类型", f"{gate.kind}（《条例》{gate.article}）")
    table.add_row("提示", gate.advice)
    table.add_row("触发词", "、".join(gate.words))
    for group in gate.accompany:
        table.add_row("且含", "、".join(group))
    table.add_row("除非", "、".join(gate.unless))
    table.add_row("但仍报", "、".join(gate.despite))
    table.add_row("细项", "、".join(gate.leaf))
    say_table(table)


def _show_leaf(known: Knowledge, code: str) -> None:
    leaf = known.catalogue.by_code[code]
    say(f"{code} {' › '.join(known.catalogue.path(code))}  目录方向：{leaf.unit}  {leaf.limit}")
    table = Table("序", "规则", "条件", "派单方向", "时限", "理由", box=None)
    for i, rule in enumerate(known.rules.candidates(code), start=1):
        table.add_row(
            str(i),
            rule.id,
            condition_text(known, rule.when, skip=("leaf", "not_leaf")) or "其余情形",
            _target(known, rule),
            rule.limit or leaf.limit,
            rule.reason,
        )
    say_table(table)


def _show_branch(known: Knowledge, code: str) -> None:
    say(f"{code} {known.catalogue.name_of(code)}：会用到的规则（按先后）")
    table = Table("规则", "条件", "派单方向", "出处", box=None)
    codes = [leaf.code for leaf in known.catalogue.leaves_under(code)]
    for rule in known.rules.rules:
        if any(rule.when.covers_leaf(c) for c in codes) or any(
            under(c, code) for c in rule.when.leaf
        ):
            table.add_row(
                rule.id,
                condition_text(known, rule.when),
                direction(rule),
                f"{rule.file} 第 {rule.line} 行",
            )
    say_table(table)
