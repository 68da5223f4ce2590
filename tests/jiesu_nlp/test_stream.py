import json

import pytest

from jiesu_nlp.errors import UsageError
from jiesu_nlp.stream import Line, answer_stream, open_lines, parse_line


def answer(dispatcher, source, target):
    errors = {}
    with open_lines(str(source)) as lines:
        report = answer_stream(
            dispatcher, lines, target, on_error=lambda line, why: errors.update({line: why})
        )
    return report, errors, [json.loads(row) for row in target.read_text().splitlines()]


def test_one_answer_per_line_in_order_despite_bad_lines(dispatcher, tmp_path):
    source = tmp_path / "in.jsonl"
    good = json.dumps({"id": "A", "text": "小区停水两天了"}, ensure_ascii=False)
    source.write_text(
        "\n".join(
            [
                good,
                '{"id": "B", "text": ',
                "",
                '{"id": "C"}',
                '{"id": "D", "text": 5}',
                '{"id": "E", "text": "  "}',
                "路灯不亮",
                good.replace("A", "F"),
            ]
        )
        + "\n\n"
    )
    report, errors, rows = answer(dispatcher, source, tmp_path / "out.jsonl")
    assert (report.lines, report.answered, report.failed) == (8, 3, 5)
    assert [r.get("id", r.get("line")) for r in rows] == ["A", 2, 3, 4, 5, 6, "7", "F"]
    assert sorted(errors) == [2, 3, 4, 5, 6]
    assert "JSON" in errors[2]
    assert "text" in errors[4]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_usual_encodings_are_read(tmp_path, encoding):
    source = tmp_path / "in.txt"
    source.write_bytes("路灯不亮\n井盖丢了\n".encode(encoding))
    with open_lines(str(source)) as lines:
        assert [parse_line(line).text for line in lines] == ["路灯不亮", "井盖丢了"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_only_a_line_feed_ends_a_ticket(tmp_path, encoding):
    source = tmp_path / "in.jsonl"
    odd = "停水\u2028两天\x85了"
    rows = (json.dumps({"text": t}, ensure_ascii=False) for t in (odd, "路灯不亮"))
    source.write_bytes("\r\n".join(rows).encode(encoding))
    with open_lines(str(source)) as lines:
        read = [(line.number, parse_line(line).text) for line in lines]
    assert read == [(1, odd), (2, "路灯不亮")]


def test_odd_fields_of_one_ticket_stop_no_other(dispatcher, tmp_path):
    rows = [
        {"id": "1\udc00", "text": "路灯不亮\ud83d"},
        {"id": "2", "text": "路灯不亮", "address": "在王京地铁站附近\ud83d"},
        {"id": "3", "text": "路灯不亮", "created_at": "2026-①1-02"},
        {"id": "4", "text": "垃圾没人清"},
    ]
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(r) + "\n" for r in rows))
    report, _, answers = answer(dispatcher, source, tmp_path / "out.jsonl")
    assert (report.answered, report.failed) == (4, 0)
    assert [a["id"] for a in answers] == ["1\ufffd", "2", "3", "4"]
    assert answers[0]["redacted_text"] == "路灯不亮\ufffd"


def test_a_surrogate_does_not_stop_standard_output(dispatcher, capsys):
    lines = [Line(1, '{"text": "路灯不亮\\ud83d"}')]
    answer_stream(dispatcher, lines, None, on_error=lambda line, why: None)
    assert capsys.readouterr().out.encode()


def test_undecodable_line_is_an_error_of_that_line(dispatcher, tmp_path):
    source = tmp_path / "in.txt"
    source.write_bytes("路灯不亮\n".encode() + b"\xff\xff\xff\n" + "井盖丢了\n".encode())
    report, errors, rows = answer(dispatcher, source, tmp_path / "out.jsonl")
    assert (report.answered, report.failed) == (2, 1)
    assert "编码" in errors[2]
    assert rows[1]["line"] == 2


def test_failure_leaves_no_output(dispatcher, tmp_path):
    target = tmp_path / "out.jsonl"

    def lines():
        with open_lines(str(source)) as read:
            yield from read
        raise OSError("disk gone")

    source = tmp_path / "in.txt"
    source.write_text("路灯不亮\n")
    with pytest.raises(UsageError, match="没有留下半截文件"):
        answer_stream(dispatcher, lines(), target, on_error=lambda line, why: None)
    assert list(tmp_path.iterdir()) == [source]


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"没有\.jsonl"), open_lines(str(tmp_path / "没有.jsonl")):
        pass
    source = tmp_path / "file"
    source.write_text("路灯不亮\n")
    for path, why in ((source / "x", "不存在"), (tmp_path / ("长" * 300), "打不开")):
        with pytest.raises(UsageError, match=why), open_lines(str(path)):
            pass
