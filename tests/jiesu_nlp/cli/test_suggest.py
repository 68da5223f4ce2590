import json

import pytest
from typer.testing import CliRunner

from jiesu_nlp.cli.main import app
from jiesu_nlp.errors import BundleError, UsageError

runner = CliRunner()


def run(bundle, *arguments, stdin=None):
    return runner.invoke(app, [*arguments, "--bundle", str(bundle.path)], input=stdin)


def test_a_person_reads_category_unit_deadline_and_question(bundle):
    result = run(bundle, "suggest", "望京西园四区门口每天晚上一排烧烤摊")
    assert result.exit_code == 0
    for label in ("类目", "单位", "把握", "时限", "地点", "理由", "原文"):
        assert label in result.stdout


def test_json_is_one_object(bundle):
    result = run(bundle, "suggest", "--json", "小区停水两天了")
    assert result.stdout.count("\n") == 1
    assert json.loads(result.stdout)["demands"]


def test_standard_input_is_one_ticket(bundle):
    result = run(bundle, "suggest", "--json", stdin="关于路灯\n方庄的路灯不亮\n")
    assert json.loads(result.stdout)["redacted_text"] == "关于路灯\n方庄的路灯不亮\n"


def test_stream_in_and_out(bundle, tmp_path):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [{"id": str(i), "text": t} for i, t in enumerate(("井盖丢了", "暖气不热"))]
    source.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows))
    result = run(bundle, "suggest", "--input", str(source), "--output", str(target))
    assert result.exit_code == 0
    assert [json.loads(s)["id"] for s in target.read_text().splitlines()] == ["0", "1"]
    assert list(tmp_path.iterdir()) in ([source, target], [target, source])


def test_a_bad_line_shows_in_message_and_exit_code(bundle):
    result = run(bundle, "suggest", "--input", "-", stdin='路灯不亮\n{"id":\n井盖丢了\n')
    assert result.exit_code == 1
    assert "第 2 行" in result.stderr
    answers = [json.loads(s) for s in result.stdout.splitlines()]
    assert [("demands" in a) for a in answers] == [True, False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("suggest", ""), "为空"),
        (("suggest", "--input", "没有这个文件.jsonl"), "不存在"),
        (("suggest", "--input", f"{__file__}/x.jsonl"), "不存在"),
        (("suggest", "x", "--input", "-"), "不能"),
        (("suggest", "x", "--output", "y.jsonl"), "--output"),
        (("suggest", "--input", "-", "--address", "方庄"), "--address"),
        (("suggest", "--input", "-", "--created-at", "2026-11-20"), "--created-at"),
    ],
)
def test_wrong_use_is_told_in_chinese(bundle, arguments, message):
    result = run(bundle, *arguments)
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)


def test_a_missing_bundle_is_told(tmp_path):
    result = runner.invoke(app, ["suggest", "x", "--bundle", str(tmp_path)])
    assert isinstance(result.exception, BundleError)
    assert result.exception.exit_code == 4


@pytest.mark.parametrize("verb", ["suggest", "catalogue", "model", "places", "demo"])
def test_help_is_chinese(verb):
    result = runner.invoke(app, [verb, "--help"])
    assert result.exit_code == 0
    assert any("一" <= ch <= "鿿" for ch in result.stdout)
