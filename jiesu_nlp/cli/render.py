"""Lay a suggestion out so that a person reads it in two seconds."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from jiesu_nlp.suggestion import Demand, Span, Suggestion, Unit
from jiesu_nlp.vocabulary import Decision, Gate, PlaceKind, PlaceStatus, Tier

DECISIONS = {
    Decision.AUTO.value: ("可直派", "bold green"),
    Decision.SUGGEST.value: ("建议派单", "bold cyan"),
    Decision.REVIEW.value: ("请人工核定", "bold yellow"),
}
PLACE_STATUSES = {
    PlaceStatus.RESOLVED.value: "已定到街道乡镇",
    PlaceStatus.DISTRICT_ONLY.value: "只知区",
    PlaceStatus.AMBIGUOUS.value: "有歧义",
    PlaceStatus.NONE.value: "没有地点",
}
_STYLES = (("matter", "bold red"), ("place", "bold blue"), ("time", "magenta"), ("who", "green"))
_BAR = 10


def bar(share: float) -> Text:
    """Draw a confidence bar."""
    filled = round(max(0.0, min(1.0, share)) * _BAR)
    style = "green" if share >= 0.8 else "cyan" if share >= 0.5 else "yellow"
    return Text.assemble(
        ("█" * filled, style), ("░" * (_BAR - filled), "dim"), (f" {share:.0%}", style)
    )


def highlighted(suggestion: Suggestion, demand: Demand) -> Text:
    """Return the redacted text of a demand with its evidence highlighted."""
    start, end = demand.span
    text = Text(suggestion.redacted_text)
    spans: dict[str, tuple[Span, ...]] = {
        "matter": demand.categories[0].evidence,
        "place": demand.place.evidence,
        "time": tuple(e.span for e in demand.elements.time),
        "who": tuple(e.span for e in (*demand.elements.owner, *demand.elements.actor)),
    }
    for kind, style in reversed(_STYLES):
        for a, b in spans[kind]:
            text.stylize(style, a, b)
    return text[start:end]


def _unit(unit: Unit) -> Text:
    return Text.assemble((unit.name, "bold"), (f"  {unit.unit_class}", "dim"))


def _place(demand: Demand) -> Text:
    place = demand.place
    if place.status == PlaceStatus.NONE:
        return Text("文中没有可识别的地点", style="yellow")
    parts = [p for p in (place.district, place.town, place.community) if p]
    text = Text(" ".join(parts) or place.name or "")
    if place.name and place.name not in parts:
        text.append(f"  {place.name}", style="dim")
    if place.kind != PlaceKind.UNKNOWN:
        text.append(f"  {PlaceKind(place.kind).label}", style="dim")
    if place.status == PlaceStatus.AMBIGUOUS:
        names = "、".join(f"{c.district or ''}{c.town or ''}" for c in place.candidates)
        text.append(f"  有歧义：{names}", style="yellow")
    return text


def _rows(suggestion: Suggestion, demand: Demand) -> Iterator[tuple[str, RenderableType]]:
    best = demand.categories[0]
    label, style = DECISIONS[demand.decision]
    yield "类目", Text.assemble((" › ".join(best.path), "bold"), (f"  {best.code}", "dim"))
    yield "单位", _unit(demand.unit)
    yield "把握", Text.assemble(bar(demand.confidence), ("  " + label, style))
    tier = Tier(demand.deadline.tier)
    yield "时限", Text.assemble((tier.label, "bold"), (f"  {demand.deadline.basis}", "dim"))
    yield "地点", _place(demand)
    if demand.co_units:
        yield "协办", Text("、".join(u.name for u in demand.co_units))
    if demand.cc:
        yield "抄送", Text("、".join(u.name for u in demand.cc))
    yield "类型", Text(demand.request_type.value)
    yield "理由", Text.assemble(demand.unit.reason or "", (f"  规则 {demand.unit.rule}", "dim"))
    if demand.alternatives:
        yield "备选", Text("；".join(f"{u.name}（{u.rule}）" for u in demand.alternatives))
    others = [f"{c.path[-1]} {c.confidence:.0%}" for c in demand.categories[1:]]
    if others:
        yield "其他类目", Text("、".join(others), style="dim")
    for question in demand.questions:
        yield "可追问", Text(question, style="yellow")
    yield "原文", highlighted(suggestion, demand)


def render(suggestion: Suggestion) -> RenderableType:
    """Return the whole answer for a terminal."""
    parts: list[RenderableType] = []
    gate = suggestion.gate
    if gate.kind != Gate.NONE:
        parts.append(
            Panel(
                Text(f"{gate.advice}\n（《条例》{gate.article}）"),
                title=f"分流提示：{Gate(gate.kind).label}",
                border_style="red",
                title_align="left",
            )
        )
    for number, demand in enumerate(suggestion.demands, start=1):
        table = Table.grid(padding=(0, 1))
        table.add_column(style="dim", justify="right", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in _rows(suggestion, demand):
            table.add_row(name, value)
        many = len(suggestion.demands) > 1
        title = f"派单建议 {number}/{len(suggestion.demands)}" if many else "派单建议"
        parts.append(Panel(table, title=title, title_align="left", border_style="cyan"))
    if suggestion.flags.sensitive:
        parts.append(Text("敏感标签：" + "、".join(suggestion.flags.sensitive), style="red"))
    return Group(*parts)
