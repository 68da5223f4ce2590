"""The verbs of ``jiesu places``."""

import json
import re

from typer.testing import CliRunner

from jiesu_nlp.cli.main import app
from jiesu_nlp.errors import UsageError

RUNNER = CliRunner()


def test_lookup_says_what_and_why():
    result = RUNNER.invoke(app, ["places", "lookup", "家住通州，今天在国贸桥下被积水淹了"])
    assert result.exit_code == 0
    assert "住处" in result.output
    assert "朝阳区" in result.output
    assert "已定到街道乡镇" in result.output or "只知区" in result.output
    assert not re.search("resolved|district_only|unknown|bridge|town", result.output)
    data = RUNNER.invoke(app, ["places", "lookup", "方庄街道停水", "--json"])
    assert json.loads(data.output)["town"] == "方庄街道"
    assert "没有找到" in RUNNER.invoke(app, ["places", "lookup", "老板欠薪"]).output


def test_import_and_check(tmp_path):
    (tmp_path / "districts.tsv").write_text(
        "code\tname\tshort\taliases\n110105\t朝阳区\t朝阳\t\n", "utf-8"
    )
    (tmp_path / "towns.tsv").write_text(
        "code\tname\tdistrict\tkind\taliases\n110105026\t望京街道\t朝阳区\t街道\t\n", "utf-8"
    )
    file = tmp_path / "库.csv"
    file.write_text("name,district,town\n星河苑,朝阳区,望京街道\n", "utf-8")
    result = RUNNER.invoke(app, ["places", "import", str(file), "--dir", str(tmp_path)])
    assert result.exit_code == 0
    assert "可用 1" in result.output
    assert RUNNER.invoke(app, ["places", "check", "--dir", str(tmp_path)]).exit_code == 0
    file.write_text("name,district\n星河苑,火星区\n", "utf-8")
    bad = RUNNER.invoke(app, ["places", "import", str(file), "--dir", str(tmp_path)])
    assert bad.exit_code == 1
    assert "第 2 行" in bad.output
    assert "未写入" in bad.output
    report = str(tmp_path / "没有" / "问题.csv")
    words = ["places", "import", str(file), "--dir", str(tmp_path), "--report", report]
    assert isinstance(RUNNER.invoke(app, words).exception, UsageError)
