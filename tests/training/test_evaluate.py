import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import get_type_hints

import numpy as np
import pytest

from jiesu_nlp import Dispatcher
from jiesu_nlp.errors import DataError, UsageError
from jiesu_nlp.locate.xlsx import xlsx_rows
from jiesu_nlp.text.redact import redact
from tests.training.conftest import small_tickets, write_jsonl
from training.audit import Suspect, Verdict, correct, export_suspects, read_verdicts, suspects
from training.compare import GUARDS, LEAST, WIDE, Comparison, compare, refusals, unchecked
from training.cross_fit import score_across_folds
from training.evaluate import NAMES, evaluate, slices
from training.labels import LabelBook, catalogue_of_labels
from training.metrics import Paired
from training.report import render_report
from training.sampling import RARE, UNSURE, choose
from training.scoring import score
from training.tickets import read_tickets
from training.train import TrainOptions, train
from training.unclear import unclear_texts


def tickets_for(dispatcher, rows, folder):
    path = write_jsonl(folder / "评测.jsonl", rows)
    return list(read_tickets([path], LabelBook(dispatcher.catalogue)))


@pytest.fixture(scope="module")
def fresh(small_dispatcher, tmp_path_factory):
    rows = small_tickets(200, seed=9)
    rows[0]["text"] += "，我叫王建国，手机13812345678"
    rows[0]["path"] = "交通 › 停车 › 违法停车"
    return tickets_for(small_dispatcher, rows, tmp_path_factory.mktemp("e"))


@pytest.fixture(scope="module")
def evaluation(small_dispatcher, fresh):
    about = {"bundle": "small", "data": "评测.jsonl", "created_at": "2026-11-20"}
    return evaluate(small_dispatcher, fresh, about=about)


def test_every_figure_has_a_name_and_an_interval(evaluation):
    assert set(evaluation.overall) <= set(NAMES)
    for key in (
        "leaf_top1",
        "level1",
        "level2",
        "macro_f1",
        "unit_strict",
        "ece",
        "ece_raw",
        "coverage_95",
        "conformal_coverage",
        "abstention",
    ):
        m = evaluation.overall[key]
        assert m.low <= m.value <= m.high or key.startswith("ece"), key
    assert "town" not in evaluation.overall


def test_figures_agree_with_counting_by_hand(small_dispatcher, fresh, evaluation):
    answers = list(small_dispatcher.suggest_many([t.text for t in fresh]))
    right = [
        a.demands[0].categories[0].code in t.codes for a, t in zip(answers, fresh, strict=True)
    ]
    unit = [a.demands[0].unit.unit_class in t.units for a, t in zip(answers, fresh, strict=True)]
    assert evaluation.overall["leaf_served"].value == pytest.approx(np.mean(right))
    assert evaluation.overall["unit_strict"].value == pytest.approx(np.mean(unit))


def test_classes_and_leaves_add_up(evaluation):
    assert sum(c["n"] for c in evaluation.classes) == 200
    assert sum(leaf["n"] for leaf in evaluation.leaves) == 200
    wrong = 200 - round(evaluation.overall["leaf_top1"].value * 200)
    assert sum(c["n"] for c in evaluation.confusions) == wrong


def test_slices_by_confidence_hold_every_ticket_and_average_to_the_whole(small_dispatcher, fresh):
    scored = score(small_dispatcher, fresh, end_to_end=False)
    rng = np.random.default_rng(0)
    n = len(fresh)
    unsure = replace(scored, leaf_confidence=rng.random(n), in_set=(rng.random(n) < 0.8) * 1.0)
    rows = slices(unsure, None)["首位细项的把握"]
    assert [r["name"] for r in rows] == ["不足 50%", "50–70%", "70–90%", "90% 以上"]
    assert sum(r["n"] for r in rows) == n
    covered = sum(r["n"] * r["conformal_coverage"]["value"] for r in rows) / n
    assert covered == pytest.approx(unsure.in_set.mean(), abs=1e-3)


def test_examples_are_redacted(evaluation):
    shown = str(evaluation.to_json())
    assert "13812345678" not in shown
    assert "王建国" not in shown
    assert any("违法停车" in s["label_name"] for s in evaluation.suspects)


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_the_report_is_one_file_without_network(evaluation):
    html = render_report(evaluation)
    page = Page()
    page.feed(html)
    names = [tag for tag, _ in page.tags]
    assert names.count("svg") == 3
    assert not {"script", "link", "img", "iframe"} & set(names)
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


def test_chinese_in_plots_is_text_in_the_fonts_of_the_page(evaluation):
    html = render_report(evaluation)
    assert re.search(r"<text[^>]*>可靠性图</text>", html)
    assert "DejaVu" not in html
    assert "PingFang SC" in html


def test_a_hostile_ticket_cannot_break_the_page(small_dispatcher, tmp_path):
    rows = small_tickets(30, seed=4)
    for row in rows:
        row["text"] = "<script>alert(1)</script>" + row["text"]
        row["path"] = "交通 › 停车 › 违法停车"
    found = evaluate(
        small_dispatcher, tickets_for(small_dispatcher, rows, tmp_path), about={"bundle": "<b>"}
    )
    page = Page()
    page.feed(render_report(found))
    assert "script" not in [tag for tag, _ in page.tags]


def test_reports_are_reproducible(small_dispatcher, fresh, evaluation):
    about = {"bundle": "small", "data": "评测.jsonl", "created_at": "2026-11-20"}
    again = evaluate(small_dispatcher, fresh, about=about)
    a, b = evaluation.to_json(), again.to_json()
    a["about"].pop("tickets_per_second")
    b["about"].pop("tickets_per_second")
    assert a == b


def test_unclear_texts_are_seeded_and_no_ticket():
    tickets = ["路灯坏了没有人修理，已经半个月了"] * 3
    assert unclear_texts(tickets) == unclear_texts(tickets)
    assert not set(unclear_texts(tickets)) & set(tickets)
    assert all(t.strip() for t in unclear_texts([]))


# --- comparison -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def worse(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worse")
    path = write_jsonl(folder / "a.jsonl", small_tickets(200, noise=0.8))
    return Dispatcher.from_bundle(
        train([path], folder / "worse", TrainOptions(taxonomy="labels-only")).bundle
    )


def test_a_bundle_is_no_worse_than_itself(small_dispatcher, fresh):
    same = compare(small_dispatcher, small_dispatcher, [(t, t) for t in fresh])
    assert all(p.difference == 0 for p in same.figures.values())
    assert refusals(same, stated_coverage=0.95) == []


def test_a_worse_bundle_is_refused_with_reasons(small_dispatcher, worse, fresh):
    found = compare(small_dispatcher, worse, [(t, t) for t in fresh])
    reasons = refusals(found, stated_coverage=0.95)
    assert "leaf_top1" in {r.key for r in reasons}
    assert any(r.certain and "确定变差" in str(r) and "细项首位正确" in str(r) for r in reasons)
    other_way = compare(worse, small_dispatcher, [(t, t) for t in fresh])
    assert "leaf_top1" not in {r.key for r in refusals(other_way, stated_coverage=0.95)}


@pytest.mark.parametrize(
    ("difference", "low", "high", "refused"),
    [
        (-0.003, -0.02, 0.01, False),
        (-0.01, -0.03, 0.01, True),
        (-0.003, -0.004, -0.001, True),
        (0.05, 0.01, 0.1, False),
    ],
)
def test_the_guard_weighs_size_and_certainty(difference, low, high, refused):
    paired = Paired(0.9, 0.9 + difference, difference, low, high, 0.5, 100)
    found = refusals(Comparison(100, {"level1": paired}, (1, 1)), stated_coverage=0.95)
    assert bool(found) == refused


def test_what_a_guard_has_too_few_tickets_for_is_named_and_not_judged():
    def paired(second, n):
        return Paired(1.0, second, second - 1, second - 1.1, second - 0.9, 0.01, n)

    figures = {key: paired(1.0, 500) for key in GUARDS}
    del figures["town"]
    figures["unit_lenient"] = paired(2 / 3, LEAST - 1)
    found = Comparison(500, figures, (1, 1))
    assert unchecked(found) == {"unit_lenient": LEAST - 1, "town": 0}
    assert refusals(found, stated_coverage=0.95) == []
    figures["unit_lenient"] = paired(2 / 3, LEAST)
    assert unchecked(found) == {"town": 0}
    assert [r.key for r in refusals(found, stated_coverage=0.95)] == ["unit_lenient"]


def test_the_help_tells_what_is_tolerated_of_figures_that_wander():
    from training.cli.judge import promote

    hints = get_type_hints(promote, include_extras=True)
    told = hints["tolerance"].__metadata__[0].help
    for key, allowed in WIDE.items():
        assert f"{NAMES[key]}为 {allowed}" in told.replace(" 为", "为")


# --- audit ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def noisy(small_dispatcher, tmp_path_factory):
    rows = small_tickets(400, seed=21, noise=0.12)
    wrong = {r["text"] for r in rows if r["path"] != r["clean"]}
    return tickets_for(small_dispatcher, rows, tmp_path_factory.mktemp("n")), wrong


def test_wrong_labels_are_found(small_dispatcher, noisy):
    tickets, wrong = noisy
    found = [s for s in suspects(score(small_dispatcher, tickets, end_to_end=False)) if s.confident]
    hits = sum(s.ticket.text in wrong for s in found)
    assert hits / len(found) > 0.8
    assert hits / len(wrong) > 0.7


def test_wrong_labels_are_found_by_models_that_saw_others_only(small_dispatcher, noisy):
    tickets, wrong = noisy
    scored = score_across_folds(small_dispatcher, tickets, folds=3)
    assert [t.text for t in scored.tickets] == [t.text for t in tickets]
    worst = suspects(scored)[: len(wrong) // 2]
    assert np.mean([s.ticket.text in wrong for s in worst]) > 0.8


def test_verdicts_come_back(small_dispatcher, noisy, tmp_path):
    from openpyxl import load_workbook

    tickets, _ = noisy
    data = write_jsonl(tmp_path / "评测.jsonl", small_tickets(400, seed=21, noise=0.12))
    catalogue = small_dispatcher.catalogue
    found = suspects(score(small_dispatcher, tickets, end_to_end=False))[:3]
    path = tmp_path / "核对.xlsx"
    export_suspects(found, catalogue, path)
    book = load_workbook(path)
    sheet = book.active
    assert sheet.max_row == 4
    sheet["H2"], sheet["H3"] = "改为建议", "剔除"
    book.save(path)
    verdicts = read_verdicts(path, catalogue)
    assert len(verdicts) == 2
    after: list[dict[str, str]] = []
    done = correct([data], LabelBook(catalogue), verdicts, after.append)
    assert (done.written, done.changed, done.dropped, done.missing) == (399, 1, 1, 0)
    before = {row["id"]: row for row in small_tickets(400, seed=21, noise=0.12)}
    right = " › ".join(catalogue.path(catalogue.codes[found[0].better]))
    before[found[0].ticket.id]["path"] = right
    del before[found[1].ticket.id]
    assert after == list(before.values())
    sheet["H4"] = "不知道"
    book.save(path)
    with pytest.raises(DataError, match=r"第 4 行.*不认识的结论"):
        read_verdicts(path, catalogue)


GOLD = {
    "text": "路灯不亮，我叫王建国，电话13812345678",
    "code": "甲",
    "also": ["乙"],
    "unit": "交通",
    "unit_ok": ["城市管理"],
    "tier": "7d",
    "district": "朝阳区",
    "town": None,
    "voice": "asr",
    "处理人": "某",
}


@pytest.fixture
def two(tmp_path):
    """Data of two identical tickets and one more, its labels, and a maker of verdicts."""
    labels = LabelBook(catalogue_of_labels(["甲", "乙", "丙"], version="v"))
    code = {name: labels.resolve(name).code for name in "甲乙丙"}
    path = write_jsonl(tmp_path / "a.jsonl", [GOLD, {"text": "井盖丢了", "code": "乙"}, GOLD])

    def verdict(line, right, row=1, text=GOLD["text"], label="甲"):
        place = f"a.jsonl 第 {row} 行"
        return Verdict(place, redact(text), code[label], right and code[right], line)

    return path, labels, verdict


def test_a_corrected_row_keeps_all_but_its_label(two):
    path, labels, verdict = two
    rows = []
    done = correct([path], labels, [verdict(2, "乙"), verdict(3, "乙", row=3)], rows.append)
    assert rows == [
        GOLD | {"code": "乙"},
        {"text": "井盖丢了", "code": "乙"},
        GOLD | {"code": "乙"},
    ]
    assert (done.changed, done.missing) == (2, 0)
    # A verdict on one goes for its twins.
    again = []
    correct([path], labels, [verdict(2, "乙", row=3)], again.append)
    assert again == rows


def test_a_label_is_spelt_as_the_one_before(two):
    path, labels, verdict = two
    rows = []
    correct([path], labels, [verdict(2, "丙")], rows.append)
    assert rows[0]["code"] == "丙 › 丙 › 丙"
    coded = [{"text": "路灯不亮", "code": labels.resolve("甲").code}]
    write_jsonl(path, coded)
    correct([path], labels, [verdict(2, "丙", text="路灯不亮")], rows.append)
    assert rows[-1]["code"] == labels.resolve("丙").code


def test_verdicts_on_identical_tickets_must_agree(two):
    path, labels, verdict = two
    for other in ("甲", None):
        with pytest.raises(DataError, match=r"a\.jsonl 第 1 行.*a\.jsonl 第 3 行"):
            correct([path], labels, [verdict(2, "乙"), verdict(3, other, row=3)], print)


def test_verdicts_on_data_that_has_changed_are_refused(two):
    path, labels, verdict = two
    for wrong in (verdict(5, "丙", row=2), verdict(5, "丙", label="乙")):
        with pytest.raises(DataError, match=r"第 5 行.*诉求或标签变了.*重新导出"):
            correct([path], labels, [wrong], print)
    assert correct([path], labels, [verdict(2, "乙", row=9)], lambda row: None).missing == 1


def test_of_two_files_of_one_name_the_one_that_fits_is_meant(two):
    path, labels, verdict = two
    folder = path.parent / "另"
    folder.mkdir()
    other = write_jsonl(folder / "a.jsonl", [{"text": "暖气不热", "code": "丙"}])
    rows = []
    done = correct([other, path], labels, [verdict(2, "乙")], rows.append)
    assert (done.changed, done.missing) == (2, 0)
    assert rows[0] == {"text": "暖气不热", "code": "丙"}


def test_the_workbook_holds_nothing_to_try_numbers_out_on(two, tmp_path):
    """Another number of the same length gives the very same row."""
    path, labels, _ = two
    (ticket, _, _) = read_tickets([path], labels)
    cells = []
    for text in (ticket.text, ticket.text.replace("5678", "4321")):
        table = tmp_path / "核对.xlsx"
        suspect = Suspect(replace(ticket, text=text), 0, 1, 0.5, True)
        export_suspects([suspect], labels.catalogue, table)
        cells.append(list(xlsx_rows(table)))
    assert cells[0] == cells[1]


@pytest.mark.parametrize("text", ["第一行\r\n第二行\x0b", " ab\t" * 9000, "=1+1，电话13812345678"])
def test_odd_texts_are_known_again(two, tmp_path, text):
    from openpyxl import load_workbook

    path, labels, _ = two
    write_jsonl(path, [{"text": text, "code": "甲"}])
    (ticket,) = read_tickets([path], labels)
    table = tmp_path / "核对.xlsx"
    index = labels.catalogue.index
    suspect = Suspect(ticket, index[ticket.code], index[labels.resolve("乙").code], 0.5, True)
    export_suspects([suspect], labels.catalogue, table)
    book = load_workbook(table)
    book.active["H2"] = "改为建议"
    # People may mask more before they pass it on.
    shown = book.active["B2"]
    if "第二" in shown.value:
        shown.value = shown.value.replace("第二", "**")
    book.save(table)
    rows = []
    done = correct([path], labels, read_verdicts(table, labels.catalogue), rows.append)
    assert (done.changed, done.missing) == (1, 0)
    assert LabelBook(labels.catalogue).resolve(rows[0]["code"]).code == labels.resolve("乙").code


def test_any_ticket_can_stand_in_the_workbook(small_dispatcher, noisy, tmp_path):
    from openpyxl import load_workbook

    tickets, _ = noisy
    found = suspects(score(small_dispatcher, tickets, end_to_end=False))[:2]
    texts = ("=1+1 路灯\x0b坏了", "\x01" + "停水" * 3)
    odd = [replace(s, ticket=replace(s.ticket, text=t)) for s, t in zip(found, texts, strict=True)]
    path = tmp_path / "核对.xlsx"
    export_suspects(odd, small_dispatcher.catalogue, path)
    sheet = load_workbook(path).active
    assert [sheet["B2"].value, sheet["B3"].value] == ["=1+1 路灯坏了", "停水停水停水"]
    assert sheet["B2"].data_type == "s"
    assert sheet.data_validations.dataValidation[0].formula1 == '"标签正确,改为建议,改为其他,剔除"'
    with pytest.raises(UsageError, match="没有填写结论"):
        read_verdicts(path, small_dispatcher.catalogue)


# --- sampling -------------------------------------------------------------------------------------


def test_the_sample_prefers_the_unsure_and_has_no_repeats(small_dispatcher):
    texts = [r["text"] for r in small_tickets(300, seed=31)]
    texts += ["烧烤摊油烟，暖气不热，室温冰凉，小贩占道摆摊"] * 50
    counts = [0, *[500] * (len(small_dispatcher.catalogue) - 1)]
    chosen = choose(small_dispatcher, texts, 30, leaf_counts=counts)
    assert len(chosen) == len({c.row for c in chosen}) == 30
    assert sum(c.row >= 300 for c in chosen) == 1
    unsure = [c.probabilities[0] for c in chosen if c.why == UNSURE]
    everyone = small_dispatcher.classifier.probabilities(texts[:300]).max(axis=1)
    assert np.mean(unsure) < everyone.mean()
    rare = [c for c in chosen if c.why == RARE]
    assert np.mean([0 in c.leaves for c in rare]) > 0.9
    assert [c.row for c in choose(small_dispatcher, texts, 30, leaf_counts=counts)] == [
        c.row for c in chosen
    ]


def test_nothing_to_sample(small_dispatcher):
    assert choose(small_dispatcher, [], 5) == []
    assert len(choose(small_dispatcher, ["路灯"], 5)) == 1
