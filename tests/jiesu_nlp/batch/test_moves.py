"""Old labels against new: the catalogue first, the model second, people last."""

from dataclasses import replace

import openpyxl
import pytest
from typer.testing import CliRunner

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from jiesu_nlp.batch.labels import OldLabels  # noqa: E402
from jiesu_nlp.batch.moves import by_class, count_moves, review_rows, write_review  # noqa: E402
from jiesu_nlp.batch.verdicts import VERDICT, apply_verdicts  # noqa: E402
from jiesu_nlp.catalogue.model import RetiredLeaf  # noqa: E402
from jiesu_nlp.cli.main import app  # noqa: E402
from jiesu_nlp.errors import DataError, UsageError  # noqa: E402


@pytest.fixture(scope="module")
def demand(dispatcher):
    return dispatcher.suggest("小区停水两天了，自来水公司没人管").demands[0]


@pytest.fixture(scope="module")
def labels(dispatcher, demand):
    best, second, third = (c.code for c in demand.categories[:3])
    retired = (
        RetiredLeaf("99-01-001", "旧一", ("01-01-001",)),
        RetiredLeaf("99-01-002", "旧二", ("01-01-001", second)),
        RetiredLeaf("99-01-003", "旧三", ("01-01-001", "01-01-002")),
        RetiredLeaf("99-01-004", "旧四", ()),
        RetiredLeaf("99-01-005", "旧五", ("01-01-002", best)),
        RetiredLeaf("99-01-006", "旧六", (second, third)),
        RetiredLeaf("99-01-007", "旧七", (best, second, third)),
    )
    return OldLabels(replace(dispatcher.catalogue, retired=retired))


def test_labels_are_read_as_code_name_and_path(labels, dispatcher):
    code = dispatcher.catalogue.codes[5]
    path = dispatcher.catalogue.path(code)
    for label in (code, path[2], " › ".join(path), "/".join(path), f" {'>'.join(path)} "):
        assert labels.code_of(label) == code
    assert labels.code_of("旧一") == "99-01-001"
    assert labels.code_of("没有这一项") is None
    assert labels.code_of(None) is None


def test_a_name_that_two_leaves_have_is_no_label(dispatcher):
    first, second, *rest = dispatcher.catalogue.leaves
    catalogue = dispatcher.catalogue.replace_leaves(
        (first, replace(second, name=first.name), *rest)
    )
    labels = OldLabels(catalogue)
    assert labels.code_of(first.name) is None
    assert labels.code_of("/".join(catalogue.path(second.code))) == second.code


def test_one_successor_needs_no_model(labels, demand):
    refiled = labels.refile("99-01-001", demand)
    assert (refiled.code, refiled.basis, refiled.reasons) == ("01-01-001", "successor", ())


def test_of_several_successors_the_model_chooses_and_says_so(labels, demand):
    refiled = labels.refile("99-01-005", demand)
    assert (refiled.code, refiled.basis) == (demand.categories[0].code, "split")
    assert labels.refile("99-01-002", demand).code == demand.categories[1].code
    lost = labels.refile("99-01-003", demand)
    assert lost.basis == "split"
    assert lost.reasons == ("split",)
    assert lost.code in ("01-01-001", "01-01-002")


def test_the_confidence_of_a_split_is_the_share_among_the_successors(labels, demand):
    first, second, third = demand.categories[:3]

    def reasons(old, confidences, inside):
        given = zip((first, second, third), confidences, strict=True)
        changed = replace(
            demand,
            categories=tuple(replace(c, confidence=p) for c, p in given),
            category_set=replace(demand.category_set, codes=tuple(c.code for c in inside)),
        )
        return labels.refile(old, changed).reasons

    assert reasons("99-01-006", (0.6, 0.3, 0.02), (first, second)) == ()
    assert reasons("99-01-006", (0.9, 0.05, 0.01), (first,)) == ("split",)
    assert reasons("99-01-007", (0.4, 0.3, 0.3), (first, second, third)) == ("split",)


def test_an_unknown_label_needs_a_person(labels, demand):
    refiled = labels.refile("什么", demand)
    assert refiled.code == demand.categories[0].code
    assert "unknown" in refiled.reasons


@pytest.fixture
def finished(run, rows, tmp_path):
    path = tmp_path / "in.parquet"
    few = [{**r, "old": "没有" if i % 20 == 0 else r["old"]} for i, r in enumerate(rows[:120])]
    few[3]["text"] = "=1+1 " + few[3]["text"] + "，电话13812345678"
    few[3]["old"] = "没有"
    pq.write_table(pa.Table.from_pylist(few), path)
    run(path, tmp_path / "out", task={"old_label": "old"})
    return tmp_path / "out", few


def test_counts_add_up(finished, dispatcher):
    output, few = finished
    moves = count_moves(output)
    assert moves.rows == len(few)
    assert moves.unknown == sum(r["old"] == "没有" for r in few)
    assert moves.agreed + sum(n for _, _, n in moves.moved()) == moves.known
    classes = by_class(moves, dispatcher.catalogue)
    assert sum(c.before for c in classes) == sum(c.after for c in classes) == moves.known
    assert len(review_rows(output, 10_000)) == moves.people > 0


def test_a_retired_label_agrees_with_what_became_of_it(
    run, rows, dispatcher, tmp_path, monkeypatch
):
    retired = (
        RetiredLeaf("99-01-001", "旧一", ("01-01-001",)),
        RetiredLeaf("99-01-002", "旧二", ("01-01-001", "01-01-002")),
    )
    monkeypatch.setattr(dispatcher, "catalogue", replace(dispatcher.catalogue, retired=retired))
    olds = ["99-01-001"] * 6 + ["99-01-002"] * 3 + ["没有"]
    few = [{**r, "old": old} for r, old in zip(rows, olds, strict=False)]
    pq.write_table(pa.Table.from_pylist(few), tmp_path / "in.parquet")
    run(tmp_path / "in.parquet", tmp_path / "out", task={"old_label": "old"})
    moves = count_moves(tmp_path / "out")
    assert (moves.known, moves.agreed) == (9, 6)
    assert {old for old, _, _ in moves.moved()} == {"99-01-002"}
    classes = {c.code: c for c in by_class(moves, dispatcher.catalogue)}
    assert (classes["01"].before, classes["01"].left, classes["99"].left) == (6, 0, 3)


def test_verdicts_come_back_and_stay(finished, dispatcher, run, tmp_path):
    output, _ = finished
    book = tmp_path / "复核.xlsx"
    write_review(book, review_rows(output, 10_000), dispatcher.catalogue)
    loaded = openpyxl.load_workbook(book)
    sheet = loaded.active
    assert "13812345678" not in str([c.value for c in sheet["C"]])
    assert all(c.data_type != "f" for row in sheet.iter_rows() for c in row)
    column = [c.value for c in sheet[1]].index(VERDICT) + 1
    with pytest.raises(UsageError, match="没有填写"):
        apply_verdicts(output, book, dispatcher.catalogue)
    for line in (2, 3):
        sheet.cell(line, column).value = "01-01-002"
    loaded.save(book)
    before = count_moves(output)
    assert apply_verdicts(output, book, dispatcher.catalogue)["applied"] == 2
    contents = {p: p.read_bytes() for p in output.glob("part-*")}
    after = count_moves(output)
    assert after.bases["person"] == 2
    assert after.people == before.people - 2
    rows = pa.concat_tables(pq.ParquetFile(p).read() for p in sorted(contents)).to_pylist()
    decided = [r for r in rows if r["jiesu_label_basis"] == "person"]
    assert [r["jiesu_label"] for r in decided] == ["01-01-002"] * 2
    # Applying again, and making a lost shard anew, change nothing.
    apply_verdicts(output, book, dispatcher.catalogue)
    for path in contents:
        path.unlink()
    run(tmp_path / "in.parquet", output, task={"old_label": "old"})
    assert {p: p.read_bytes() for p in output.glob("part-*")} == contents


def test_what_is_no_workbook_is_told(finished, dispatcher, tmp_path):
    output, _ = finished
    with pytest.raises(UsageError, match="文件不存在"):
        apply_verdicts(output, tmp_path / "没有.xlsx", dispatcher.catalogue)
    for name, error in (("v.csv", UsageError), ("v.xlsx", DataError)):
        (tmp_path / name).write_text("来源,行,核定编码\n")
        with pytest.raises(error, match=name):
            apply_verdicts(output, tmp_path / name, dispatcher.catalogue)


def test_a_wrong_verdict_changes_nothing(finished, dispatcher, tmp_path):
    output, _ = finished
    before = {p: p.read_bytes() for p in output.rglob("*") if p.is_file()}
    for row, match in (
        (["in.parquet", 1, "99-99-999"], "不是现行"),
        (["x", 1, "01-01-002"], "找不到"),
    ):
        book = openpyxl.Workbook()
        book.active.append(["来源", "行", VERDICT])
        book.active.append(row)
        book.save(tmp_path / "v.xlsx")
        with pytest.raises(DataError, match=match):
            apply_verdicts(output, tmp_path / "v.xlsx", dispatcher.catalogue)
    assert {p: p.read_bytes() for p in output.rglob("*") if p.is_file()} == before


def test_the_command_reports_and_its_exit_code_tells(bundle, rows, tmp_path):
    path = tmp_path / "in.parquet"
    few = [*rows[:60], {**rows[0], "text": None}]
    few[1] = {**few[1], "text": few[1]["text"] + "<script>，电话13812345678"}
    pq.write_table(pa.Table.from_pylist(few), path)
    common = ["relabel", str(path), "-o", str(tmp_path / "out"), "--bundle", str(bundle.path)]
    result = CliRunner().invoke(app, [*common, "--old-label", "old", "--workers", "1"])
    assert result.exit_code == 1, result.output
    page = (tmp_path / "out" / "_jiesu" / "变化报告.html").read_text(encoding="utf-8")
    assert "一级类的变化" in page
    assert "13812345678" not in page
    assert "<script" not in page
    assert "http" not in page
    assert (tmp_path / "out" / "_jiesu" / "复核.xlsx").exists()
    wrong = CliRunner().invoke(app, [*common, "--text-column", "n"])
    assert isinstance(wrong.exception, UsageError)
    assert "不是文字" in str(wrong.exception)
    assert isinstance(CliRunner().invoke(app, [*common, "--columns", "x"]).exception, UsageError)
