"""What a person reads: Chinese throughout, text as it is, and a word before the work, not after."""

import sys

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from jiesu_nlp.cli import main
from jiesu_nlp.cli.console import bundle_named, check_folder_of, error, note, say, say_table
from jiesu_nlp.cli.wording import in_chinese
from jiesu_nlp.errors import BundleError, UsageError


def command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["jiesu", *words])
    with pytest.raises(SystemExit) as left:
        main.run()
    return left.value.code


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("frob",), "没有命令 frob；用法见 jiesu --help"),
        (("suggest", "--frob", "x"), "没有选项 --frob；用法见 jiesu suggest --help"),
        (("related", "d"), "缺少选项 --output / -o"),
        (("related", "-o", "r.html"), "缺少参数 DIR"),
        (("relabel", "a", "--workers", "0"), "--workers 不应小于 1"),
        (("relabel", "a", "--workers", "many"), "--workers 应为整数"),
        (("relabel", "--output"), "选项 --output 后面应有值"),
        (("demo", "x"), "多出参数 x"),
        (("catalogue", "diff", __file__, "taxonomy/catalogue"), f"没有文件夹 {__file__}；"),
        (("catalogue", "show", "--dir", f"{__file__}/x"), f"没有文件夹 {__file__}/x；"),
    ],
)
def test_wrong_use_is_told_in_chinese_on_one_line(monkeypatch, capsys, words, told):
    assert command(monkeypatch, *words) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"错误 {told}")
    assert err.count("\n") == 1


def test_a_message_that_is_not_known_stays_as_it_is():
    assert in_chinese("Something else.") == "Something else."


def test_help_has_chinese_titles(monkeypatch, capsys):
    assert not command(monkeypatch, "related", "--help")
    shown = capsys.readouterr().out
    for word in ("选项", "参数", "必填", "默认"):
        assert word in shown
    assert "[required]" not in shown
    assert "Show this" not in shown


def test_help_is_not_cut_off_on_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    assert not command(monkeypatch, "relabel", "--help")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(cell_len, lines)) <= 80
    shown = "".join(line.strip("│ ").rpartition("  ")[2] for line in lines)
    assert "原标签所在的列（编码、细项名或路径）；给出时另出变化报告。" in shown


def test_our_own_errors_keep_their_exit_codes(monkeypatch, capsys):
    assert command(monkeypatch, "relabel", "没有.csv", "--output", "x") == 2
    assert "没有.csv" in capsys.readouterr().err
    assert command(monkeypatch, "model", "info", "没有") == BundleError.exit_code


def test_an_interrupt_is_told(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("jiesu_nlp.cli.catalogue.read_catalogue", interrupt)
    assert command(monkeypatch, "catalogue", "show") == 130
    assert "已中断" in capsys.readouterr().err


ODD = "out[red]/[/x] local[2] c\\[d]"


def test_brackets_are_text(capsys):
    from rich.table import Table

    table = Table("列", box=None)
    table.add_row(ODD)
    say(ODD)
    say(ODD, head="头")
    say_table(table)
    error(ODD)
    note(ODD)
    shown = capsys.readouterr()
    assert shown.out.count(ODD) == 3
    assert shown.err.count(ODD) == 2


def test_words_with_brackets_can_be_searched():
    result = CliRunner().invoke(main.app, ["catalogue", "search", "[/zzz]"])
    assert result.exit_code == 1
    assert "[/zzz]" in result.output


def test_a_bundle_has_a_name_or_a_folder(bundle, monkeypatch):
    monkeypatch.setenv("JIESU_MODELS", str(bundle.path.parent))
    assert bundle_named(bundle.path.name).path == bundle.path
    assert bundle_named(str(bundle.path)).path == bundle.path
    with pytest.raises(BundleError, match="没有名为“没有”"):
        bundle_named("没有")
    with pytest.raises(BundleError, match="不是模型包"):
        bundle_named("./没有")


def test_without_any_bundle_none_is_built_to_be_looked_at(tmp_path, monkeypatch):
    monkeypatch.setenv("JIESU_MODELS", str(tmp_path))
    with pytest.raises(BundleError, match="default"):
        bundle_named(None, build=False)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_told_before_the_work(tmp_path):
    check_folder_of(None, tmp_path / "a.html")
    with pytest.raises(UsageError, match="没有文件夹"):
        check_folder_of(tmp_path / "没有" / "a.html")
