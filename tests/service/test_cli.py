import re

import pytest
from openpyxl import Workbook
from sqlalchemy import select
from typer.testing import CliRunner

from jiesu_nlp.cli.main import app
from jiesu_nlp.errors import UsageError
from jiesu_nlp.ticket import Ticket
from service import cli as service_cli
from service.intake import read_table_of_tickets
from service.store.tables import audit

runner = CliRunner()


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("JIESU_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("JIESU_DATABASE_URL", raising=False)


def run(*arguments, stdin=None, code=0):
    result = runner.invoke(app, arguments, input=stdin)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def test_a_user_is_made_listed_and_closed():
    made = run("user", "add", "zhang", "--role", "engineer").stdout
    assert re.search(r"口令（只显示这一次）：\S{19}", made)
    assert "工程师" in run("user", "list").stdout
    run("user", "disable", "zhang")
    assert "停用" in run("user", "list").stdout
    run("user", "password", "zhang", "--password-stdin", "-", stdin="a-long-password\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("user", "add", "a", "--role", "king"), "没有角色"),
        (("user", "disable", "nobody"), "没有用户"),
        (("key", "revoke", "12345678"), "没有编号"),
        (("records", "export", "-o", "x.txt"), ".csv"),
        (("records", "export", "-o", "x.csv", "--since", "2026/11/01"), "2026-11-01"),
        (("user", "add", "a", "--password-stdin", "secret"), "命令行"),
        (("records", "import", "nothing.csv"), "不存在"),
    ],
)
def test_mistakes_are_explained(arguments, words, monkeypatch):
    monkeypatch.setenv("JIESU_SECRET", "5d41402abc4b2a76b9719d911017c592")
    monkeypatch.setattr(service_cli, "load_dispatcher", lambda _: None)
    result = runner.invoke(app, arguments)
    assert isinstance(result.exception, UsageError)
    assert words in str(result.exception)


def test_a_short_password_is_refused():
    result = runner.invoke(app, ["user", "add", "a", "--password-stdin", "-"], input="short\n")
    assert "至少" in str(result.exception)


@pytest.mark.parametrize(
    "verb", [("user", "list"), ("key", "add", "a"), ("records", "export", "-o", "{}/x.csv")]
)
def test_every_verb_tells_which_store_it_used(tmp_path, verb):
    done = run(*(a.format(tmp_path) for a in verb))
    assert f"存储：{tmp_path / 'data' / 'jiesu.db'}" in done.stderr
    assert "存储" not in done.stdout


def test_the_store_is_named_without_secrets(monkeypatch):
    url = "postgresql://bob:hunter2@127.0.0.1:1/jiesu?sslpassword=hunter3"
    monkeypatch.setenv("JIESU_DATABASE_URL", url)
    failed = runner.invoke(app, ["user", "list"])
    told = failed.stderr + str(failed.exception)
    assert told.count("postgresql+psycopg://127.0.0.1:1/jiesu?***") == 2
    assert "hunter" not in told


def test_a_key_is_shown_once():
    key = run("key", "add", "工单系统").stdout.strip().splitlines()[-1]
    assert key.startswith("jk_")
    listing = run("key", "list").stdout
    assert key.split("_")[1] in listing
    assert key.split("_", 2)[2] not in listing
    run("key", "revoke", key.split("_")[1])
    assert "已吊销" in run("key", "list").stdout
    with service_cli._engine().connect() as c:
        lines = [(a["action"], a["actor"]) for a in c.execute(select(audit)).mappings()]
    assert [action for action, _ in lines] == ["key-add", "key-revoke"]
    assert all(actor.startswith("cli:") for _, actor in lines)


def test_a_day_s_tickets_are_imported_and_backed_up(tmp_path, dispatcher, monkeypatch):
    monkeypatch.setenv("JIESU_SECRET", "5d41402abc4b2a76b9719d911017c592")
    monkeypatch.setattr(service_cli, "load_dispatcher", lambda _: dispatcher)
    book = Workbook()
    for row in (
        ("编号", "诉求内容", "渠道"),
        ("1", "路灯不亮", "热线"),
        ("2", "", "热线"),
        ("3", "井盖丢了", "网络"),
    ):
        book.active.append(row)
    book.save(tmp_path / "day.xlsx")
    (tmp_path / "day.csv").write_bytes("编号,诉求内容\n4,楼上装修噪音\n".encode("gb18030"))
    assert "已导入 2 件" in run("records", "import", str(tmp_path / "day.xlsx"), code=1).stdout
    assert "已导入 1 件" in run("records", "import", str(tmp_path / "day.csv")).stdout
    run("records", "backup", "-o", str(tmp_path / "copy.db"))
    assert (tmp_path / "copy.db").stat().st_size > 0
    run("records", "export", "-o", str(tmp_path / "out.csv"))
    assert (tmp_path / "out.csv").read_text("utf-8-sig").startswith("text,code,unit,created_at")
    bad = runner.invoke(app, ["records", "backup", "-o", str(tmp_path / "copy.db")])
    assert "不覆盖" in str(bad.exception)


def read(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = list(read_table_of_tickets(path))
    texts = [t.text for t in found if isinstance(t, Ticket)]
    return texts, [t for t in found if isinstance(t, str)]


def test_a_line_that_cannot_be_decoded_is_told(tmp_path):
    lines = ["诉求内容,地址\n".encode(), b"\x80\xff\xff bad,x\n", "停水了,乙\n".encode()]
    texts, bad = read(tmp_path / "day.csv", b"".join(lines))
    assert texts == ["停水了"]
    assert len(bad) == 1
    assert bad[0].startswith("第 2 行")
    assert "UTF-8" in bad[0]
    within = [lines[0], '"甲\n'.encode(), lines[1], '丙",x\n'.encode(), lines[2]]
    texts, bad = read(tmp_path / "day.csv", b"".join(within))
    assert texts == ["停水了"]
    assert [b[:5] for b in bad] == ["第 3 行"]
    with pytest.raises(UsageError, match="列名"):
        read(tmp_path / "day.csv", lines[1] + lines[2])


@pytest.mark.parametrize(
    "rest",
    [
        "停水了,甲\n路灯坏了,乙\n",
        '停水了,甲\n"井盖丢了",乙\n',
        '停水了,甲\n"井盖\n丢了",乙\n路灯坏了,丙\n',
        "停水了，请处理\n" * 20_000,
    ],
)
def test_an_open_quote_spoils_its_own_line_only(tmp_path, rest):
    expected, none = read(tmp_path / "good.csv", "诉求内容,地址\n" + rest)
    assert none == []
    texts, bad = read(tmp_path / "bad.csv", '诉求内容,地址\n"漏水了,丁\n' + rest)
    assert texts == expected
    assert len(bad) == 1
    assert bad[0].startswith("第 2 行：引号没有配对")


def test_quotes_that_are_closed_are_read_as_before(tmp_path):
    content = '诉求内容,地址\n"甲小区"停水,A\n5"管漏水,B\n"两行\n""引号""",C\n\n"井盖,丢了",D\n'
    texts, bad = read(tmp_path / "day.csv", content)
    assert texts == ["甲小区停水", '5"管漏水', '两行\n"引号"', "井盖,丢了"]
    assert bad == []
    _, bad = read(tmp_path / "day.csv", content + ",E\n")
    assert bad == ["第 8 行：诉求内容为空"]
    with pytest.raises(UsageError, match="列名"):
        read(tmp_path / "day.csv", '"诉求内容,地址\n停水了,甲\n')


def test_a_row_wider_than_the_header_shifts_no_column(tmp_path):
    content = '诉求内容,地址\n停水了,请处理,望京\n停气,\n停电,方庄,\n"甲"停水,急,乙\n路灯\n'
    texts, bad = read(tmp_path / "day.csv", content)
    assert texts == ["停气", "路灯"]
    assert [b[:5] for b in bad] == ["第 2 行", "第 4 行", "第 5 行"]
    assert all("有 3 列，表头只有 2 列" in b for b in bad)
    assert "望京" not in str(bad)
    book = Workbook()
    for row in (("诉求内容", "地址"), ("停水", "望京", " "), ("停电", "方庄", "急")):
        book.active.append(row)
    book.save(tmp_path / "day.xlsx")
    found = list(read_table_of_tickets(tmp_path / "day.xlsx"))
    assert isinstance(found[0], Ticket)
    assert found[0].address == "望京"
    assert "第 3 行：有 3 列" in str(found[1])


def test_the_row_in_the_place_of_the_header_is_not_shown(tmp_path):
    with pytest.raises(UsageError) as fault:
        read(tmp_path / "day.csv", "我叫张伟强电话13812345678家里停水,望京\n停电,方庄\n")
    assert not any(secret in str(fault.value) for secret in ("张伟强", "1381", "停水", "望京"))
    assert "“诉求内容”" in str(fault.value)
    assert "第 1 行" in str(fault.value)


def test_rows_that_run_together_are_refused_with_their_lines(tmp_path):
    content = 'id,诉求内容,地址\n1,"漏水了,2-1\n2,停水了",3-1\n3,路灯不亮,4-1\n'
    texts, bad = read(tmp_path / "day.csv", content)
    assert texts == ["路灯不亮"]
    assert len(bad) == 1
    assert bad[0].startswith("第 2 行：")
    assert "第 2–3 行" in bad[0]
    cell = "停水了,请处理\n门牌3号,谢谢\n联系我,急"
    assert read(tmp_path / "day.csv", f'诉求内容,地址\n"{cell}",A座\n') == ([cell], [])


def test_a_taken_port_is_told_at_once(monkeypatch, models_folder):
    import socket

    monkeypatch.setenv("JIESU_MODELS", str(models_folder))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = runner.invoke(app, ["serve", "--demo", "--port", port])
    assert isinstance(result.exception, UsageError)
    assert "--port" in str(result.exception)


def test_serving_needs_a_secret(monkeypatch, models_folder):
    monkeypatch.setenv("JIESU_MODELS", str(models_folder))
    monkeypatch.delenv("JIESU_SECRET", raising=False)
    result = runner.invoke(app, ["serve"])
    assert "JIESU_SECRET" in str(result.exception)
