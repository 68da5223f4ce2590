"""The verbs as a person types them."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

from jiesu_nlp.bundle import Registry
from jiesu_nlp.cli.main import app
from jiesu_nlp.errors import DataError, JiesuError, UsageError
from tests.training.conftest import small_tickets, write_jsonl
from training.audit import Suspect, correct, export_suspects, read_verdicts
from training.labels import LabelBook, catalogue_of_labels
from training.tickets import read_tickets
from training.train import TrainOptions, train


@pytest.fixture(scope="module")
def models(small, tmp_path_factory):
    """A folder of bundles: ``good`` in use, ``bad`` trained on wrong labels."""
    folder = tmp_path_factory.mktemp("registry")
    shutil.copytree(small.bundle.path, folder / "good")
    shutil.copytree(small.bundle.path, folder / "twin")
    path = write_jsonl(folder / "bad.jsonl", small_tickets(200, noise=0.9))
    train([path], folder / "bad", TrainOptions(taxonomy="labels-only", test=0))
    return folder


@pytest.fixture
def jiesu(models, monkeypatch):
    monkeypatch.setenv("JIESU_MODELS", str(models))
    monkeypatch.setenv("COLUMNS", "200")
    Registry(models).use("good")
    runner = CliRunner()

    def run(*arguments: object):
        result = runner.invoke(app, [str(a) for a in arguments])
        if isinstance(result.exception, JiesuError):
            raise result.exception
        return result

    return run


@pytest.fixture
def fresh(tmp_path):
    return write_jsonl(tmp_path / "新工单.jsonl", small_tickets(150, seed=77))


def test_evaluate_writes_report_and_figures(jiesu, fresh, tmp_path):
    result = jiesu(
        "evaluate", "--data", fresh, "--report", tmp_path / "r.html", "--json", tmp_path / "r.json"
    )
    assert result.exit_code == 0, result.output
    assert "细项首位正确" in result.output
    figures = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert figures["overall"]["leaf_top1"]["value"] > 0.9
    assert (tmp_path / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_evaluate_tells_of_tickets_it_was_trained_on(jiesu, small_file):
    result = jiesu("evaluate", "--data", small_file)
    assert "训练数据里出现过" in result.output + (result.stderr or "")


def test_compare_and_promote(jiesu, fresh, models):
    assert "变差" in jiesu("compare", "good", "bad", "--data", fresh).output
    refused = jiesu("promote", "bad", "--data", fresh)
    assert refused.exit_code == 1
    assert "不启用" in refused.output
    assert "细项首位正确" in refused.output
    assert Registry(models).active() == "good"
    tried = jiesu("promote", "twin", "--data", fresh, "--dry-run")
    assert tried.exit_code == 0
    assert "没有检查：街道乡镇正确（0 件）" in tried.output + (tried.stderr or "")
    assert Registry(models).active() == "good"
    assert jiesu("promote", "twin", "--data", fresh).exit_code == 0
    assert Registry(models).active() == "twin"
    with pytest.raises(UsageError, match="就是用来比较的"):
        jiesu("promote", "twin", "--data", fresh)


def test_a_damaged_candidate_is_not_promoted(jiesu, fresh, models):
    shutil.copytree(models / "twin", models / "broken")
    file = models / "broken" / "classifier.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(JiesuError, match="不完整"):
        jiesu("promote", "broken", "--data", fresh)
    assert Registry(models).active() == "good"
    shutil.rmtree(models / "broken")


def test_audit_there_and_back(jiesu, tmp_path):
    from openpyxl import load_workbook

    rows = small_tickets(200, seed=5, noise=0.1)
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    table = tmp_path / "核对.xlsx"
    result = jiesu("audit", "--data", path, "--output", table, "--folds", 0)
    assert result.exit_code == 0, result.output
    book = load_workbook(table)
    for row in range(2, book.active.max_row + 1):
        book.active[f"H{row}"] = "改为建议"
    book.save(table)
    fixed = tmp_path / "改正后.jsonl"
    result = jiesu("audit", "--data", path, "--verdicts", table, "--output", fixed)
    assert result.exit_code == 0, result.output
    after = [json.loads(line) for line in fixed.read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in after] == [row["id"] for row in rows]
    changed = [(a, b) for a, b in zip(rows, after, strict=True) if a != b]
    assert changed
    assert all(a | {"path": b["path"]} == b for a, b in changed)
    assert {row["path"] for row in after} == {row["path"] for row in rows}
    again = jiesu("data", "check", fixed, "--taxonomy", "labels-only")
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize("text", ["𠮷" * 20_000, "路" + "𠮷" * 20_000, "路" * 40_000, "路灯"])
def test_a_long_ticket_fits_into_its_cell_and_is_known_again(tmp_path, text):
    from openpyxl import load_workbook

    catalogue = catalogue_of_labels(["甲", "乙"], version="v")
    a, b = catalogue.leaves[:2]
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": text, "code": a.code}])
    (ticket,) = read_tickets([path], LabelBook(catalogue))
    table = tmp_path / "核对.xlsx"
    export_suspects([Suspect(ticket, 0, 1, 0.5, True)], catalogue, table)
    book = load_workbook(table)
    shown = book.active["B2"].value
    units = len(shown.encode("utf-16-le")) // 2
    # Excel's limit; what is left of it is no more than half a character.
    assert units == min(32_767 - (len(text) == 20_000), len(text.encode("utf-16-le")) // 2)
    assert text.startswith(shown)
    book.active["H2"] = "改为建议"
    book.save(table)
    out = []
    done = correct([path], LabelBook(catalogue), read_verdicts(table, catalogue), out.append)
    assert (done.changed, out[0]["code"]) == (1, b.code)


def test_verdicts_on_changed_data_write_nothing(jiesu, tmp_path):
    from openpyxl import load_workbook

    rows = small_tickets(100, seed=5, noise=0.2)
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    table = tmp_path / "核对.xlsx"
    jiesu("audit", "--data", path, "--output", table, "--folds", 0, "--most", 3)
    book = load_workbook(table)
    book.active["H2"] = "剔除"
    book.save(table)
    write_jsonl(path, [rows[-1], *rows[:-1]])
    with pytest.raises(DataError, match="诉求或标签变了"):
        jiesu("audit", "--data", path, "--verdicts", table, "--output", tmp_path / "改正后.jsonl")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jsonl", "核对.xlsx"]


@pytest.mark.parametrize("verb", ["train", "sample"])
def test_a_seed_below_zero_is_refused_at_once(jiesu, verb):
    tail = ("-i", "没有.csv", "-o", "a") if verb == "sample" else ("--data", "没有.csv", "-o", "a")
    result = jiesu(verb, *tail, "--seed", -1)
    assert result.exit_code == 2
    assert "--seed" in result.output + (result.stderr or "")


def test_sample_writes_candidates(jiesu, fresh, tmp_path):
    out = tmp_path / "待标.jsonl"
    assert jiesu("sample", "-i", fresh, "-o", out, "-n", 12).exit_code == 0
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 12
    assert {"id", "text", "why", "candidates"} == set(rows[0])


def test_train_by_name(jiesu, small_file, models):
    result = jiesu("train", "--data", small_file, "--out", "新的", "--taxonomy", "labels-only")
    assert result.exit_code == 0, result.output
    assert "新的" in Registry(models).names()
    assert (models / "新的" / "card.md").is_file()


def test_a_path_is_no_name(jiesu, small_file, models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = jiesu("train", "--data", small_file, "--out", "./这里", "--taxonomy", "labels-only")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "这里" / "card.md").is_file()
    assert "这里" not in Registry(models).names()


def test_verdicts_on_other_tickets_are_told(jiesu, fresh, tmp_path):
    from openpyxl import load_workbook

    path = write_jsonl(tmp_path / "a.jsonl", small_tickets(100, seed=5, noise=0.2))
    table = tmp_path / "核对.xlsx"
    jiesu("audit", "--data", path, "--output", table, "--folds", 0, "--most", 3)
    book = load_workbook(table)
    assert book.active.max_row == 4
    for row in (2, 3, 4):
        book.active[f"H{row}"] = "标签正确"
    book.save(table)
    fixed = tmp_path / "改正后.jsonl"
    same = jiesu("audit", "--data", path, "--verdicts", table, "--output", fixed)
    assert "改标 0 件" in same.output
    assert "找不到" not in same.output + (same.stderr or "")
    other = jiesu("audit", "--data", fresh, "--verdicts", table, "--output", fixed)
    assert "3 条结论在 --data 里找不到" in other.output + (other.stderr or "")


def test_data_check_fails_on_unusable_rows(jiesu, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [*small_tickets(30), {"text": "", "path": "甲"}])
    result = jiesu("data", "check", path, "--taxonomy", "labels-only")
    assert result.exit_code == 1
    assert "诉求为空" in result.output


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("evaluate", "--data", "没有.csv"), "没有这个文件"),
        (("train", "--data", "没有.csv", "--out", "x", "--column", "text"), "字段=列名"),
        (("train", "--data", "没有.csv", "--out", "x", "--arch", "encoder"), "--checkpoint"),
        (("train", "--data", "没有.csv", "--out", "x", "--coverage", "95"), "0 与 1 之间"),
        (("audit", "--data", "没有.csv", "--output", "a.xlsx"), "没有这个文件"),
        (("audit", "--data", "没有.csv", "--output", "a.csv"), "应为 .xlsx"),
        (("evaluate", "--data", "没有.csv", "--report", "没有/a.html"), "没有文件夹 没有"),
    ],
)
def test_wrong_use_is_explained(jiesu, arguments, why):
    with pytest.raises(UsageError, match=why):
        jiesu(*arguments)


def test_an_unreadable_line_of_unclear_texts_is_told(jiesu, fresh, tmp_path):
    (tmp_path / "不明.txt").write_bytes("喂喂喂\n".encode() + b"\xff\xff\xff\n")
    with pytest.raises(DataError, match=r"不明\.txt 第 2 行"):
        jiesu("evaluate", "--data", fresh, "--unclear", tmp_path / "不明.txt")


def test_tickets_of_another_scheme(jiesu, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "路灯不亮", "code": "77-77-777"}])
    with pytest.raises(DataError, match="没有一件可用的工单"):
        jiesu("evaluate", "--data", path)
