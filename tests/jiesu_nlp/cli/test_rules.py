"""The verbs ``jiesu rules`` and ``jiesu explain``."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from jiesu_nlp.cli.main import app
from jiesu_nlp.errors import DataError
from tests.conftest import TAXONOMY

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def taxonomy(tmp_path_factory):
    """A copy whose rules may be broken."""
    folder = tmp_path_factory.mktemp("taxonomy") / "t"
    shutil.copytree(TAXONOMY, folder)
    return folder


def run(*args):
    return RUNNER.invoke(app, list(args))


def test_check_and_prove_pass_on_what_we_ship():
    checked = run("rules", "check")
    assert checked.exit_code == 0, checked.output
    assert "错误 0" in checked.output
    proven = run("rules", "prove")
    assert proven.exit_code == 0
    assert "成立" in proven.output


def test_check_reports_the_trap_and_a_bad_reference(taxonomy):
    file = taxonomy / "rules" / "05-坏.yaml"
    file.write_text(
        'rules:\n- {id: R-X, when: {leaf: ["08-01"]}, unit: 水务, reason: 试}\n'
        '- {id: R-Y, when: {leaf: ["77-01"]}, unit: 水务, reason: 试}\n',
        "utf-8",
    )
    result = run("rules", "check", "--dir", str(taxonomy))
    file.unlink()
    assert result.exit_code == 1
    assert "hides_place" in result.output
    assert "05-坏.yaml 第 3 行 R-Y" in result.output


def test_check_sees_the_codes_of_gates(taxonomy):
    file = taxonomy / "rules" / "gates.yaml"
    text = file.read_text("utf-8")
    assert '["15-07-006"]' in text
    file.write_text(text.replace('["15-07-006"]', '["15-77-006"]', 1), "utf-8")
    result = run("rules", "check", "--dir", str(taxonomy))
    file.write_text(text, "utf-8")
    assert result.exit_code == 1
    assert "gates.yaml" in result.output and "15-77-006" in result.output


def test_show_explains_rules_leaves_groups_deadlines_and_gates():
    assert "第二十二条" in run("rules", "show", "R-10-001").output
    leaf = run("rules", "show", "08-01-001").output
    assert "D-08-01-001" in leaf
    assert "R-20-010" in leaf
    assert "R-20-010" in run("rules", "show", "08-01").output
    assert "2 小时" in run("rules", "show", "T-2H-EMERGENCY").output
    assert "96777" in run("rules", "show", "G1-GAS").output
    assert run("rules", "show", "R-NONE").exit_code != 0


def test_explain_prints_every_stage_and_json(bundle):
    text = "朝阳区望京西园四区楼下烧烤店油烟太大"
    shown = run("explain", text, "--bundle", str(bundle.path))
    assert shown.exit_code == 0, shown.output
    for title in ("规范文字", "判定类目", "定位", "逐条试规则", "定时限", "把握与结论"):
        assert title in shown.output
    data = json.loads(run("explain", text, "--json", "--bundle", str(bundle.path)).output)
    assert data["suggestion"]["demands"][0]["place"]["district"] == "朝阳区"
    same = run("suggest", "--explain", text, "--bundle", str(bundle.path))
    assert "逐条试规则" in same.output


@pytest.mark.parametrize("command", [("rules", "check"), ("places", "check")])
def test_a_file_where_a_folder_should_be_is_said_plainly(command, tmp_path):
    file = tmp_path / "规则.txt"
    file.write_text("", "utf-8")
    result = run(*command, "--dir", str(file))
    assert isinstance(result.exception, DataError)
    assert "不存在" in str(result.exception)
