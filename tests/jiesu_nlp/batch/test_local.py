"""The local engine: nothing lost, nothing twice, the same bytes whatever happened on the way."""

import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from jiesu_nlp.batch import sink  # noqa: E402
from jiesu_nlp.batch.source import open_source  # noqa: E402
from jiesu_nlp.cli.relabel import _task  # noqa: E402
from jiesu_nlp.errors import BundleError, UsageError  # noqa: E402


@pytest.fixture(scope="module")
def parquet(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("in") / "in.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=70)
    return path


def answers(output):
    """Content of the output by file, without what tells of the run itself."""
    return {
        p.relative_to(output).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(output.rglob("part-*"))
    }


def table(output):
    return pa.concat_tables(pq.ParquetFile(p).read() for p in sorted(output.glob("part-*")))


@pytest.fixture(scope="module")
def whole(run, parquet, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole") / "out"
    run(parquet, output, task={"old_label": "old"})
    return output


def test_all_rows_in_order_with_their_columns_and_the_same_answers(whole, rows, dispatcher):
    found = table(whole)
    assert found.column("n").to_pylist() == [r["n"] for r in rows]
    assert found.column("编号").to_pylist() == [r["编号"] for r in rows]
    assert found.column("jiesu_row").to_pylist() == list(range(1, len(rows) + 1))
    for row in found.slice(0, 40).to_pylist():
        suggestion = dispatcher.suggest(rows[row["n"]]["text"])
        demand = suggestion.demands[0]
        assert row["jiesu_code"] == demand.categories[0].code
        assert row["jiesu_confidence"] == pytest.approx(demand.categories[0].confidence, abs=2e-4)
        assert row["jiesu_unit_name"] == demand.unit.name
        assert row["jiesu_deadline"] == demand.deadline.tier
        assert row["jiesu_category_set"] == list(demand.category_set.codes)
        assert row["jiesu_gate"] == suggestion.gate.kind
        assert row["jiesu_demands"] == len(suggestion.demands)
        assert row["text"] == suggestion.redacted_text


def test_running_again_does_nothing_and_damage_is_mended(run, parquet, whole, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(whole, output)
    tally = run(parquet, output, task={"old_label": "old"})
    assert tally.resumed == tally.rows
    first, second = sorted(output.glob("part-*"))[:2]
    first.write_bytes(first.read_bytes()[:-9])
    second.unlink()
    (output / ".part-x.parquet.tmp").write_bytes(b"half")
    run(parquet, output, task={"old_label": "old"})
    assert answers(output) == answers(whole)
    assert not list(output.rglob("*.tmp"))


def test_personal_data_is_masked_unless_told(run, tmp_path):
    path = tmp_path / "a.parquet"
    text = "小区停水两天了，我的电话是13812345678"
    pq.write_table(pa.table({"text": [text], "phone": ["13812345678"]}), path)
    run(path, tmp_path / "a", task={"redact_columns": ("phone",)})
    row = table(tmp_path / "a").to_pylist()[0]
    assert "13812345678" not in str(row)
    run(path, tmp_path / "b", task={"redact": False})
    assert table(tmp_path / "b").to_pylist()[0]["text"] == text


def test_a_column_named_for_redaction_is_masked_from_end_to_end(run, tmp_path):
    path = tmp_path / "a.parquet"
    rows = [
        {"text": "路灯不亮", "姓名": "王建国", "座机": "65123456", "手机": 13812345678},
        {"text": "停电，我叫张伟强", "姓名": "", "座机": " ", "手机": None},
        {"text": " ", "姓名": "欧阳 娜娜", "座机": "65123456转2", "手机": 13812345678},
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    task = {"redact_columns": ("姓名", "座机", "手机", "text")}
    tally = run(path, tmp_path / "out", task=task)
    first, second = table(tmp_path / "out").to_pylist()
    assert [first[n] for n in ("text", "姓名", "座机", "手机")] == [
        "路灯不亮", "***", "*" * 8, "*" * 11,
    ]  # fmt: skip
    assert [second[n] for n in ("text", "姓名", "座机", "手机")] == [
        "停电，我叫张**", "", " ", None,
    ]  # fmt: skip
    bad = json.loads(tally.bad_file.read_text(encoding="utf-8"))
    assert [bad[n] for n in ("姓名", "座机", "手机")] == ["** **", "*" * 10, "*" * 11]


def test_columns_that_look_personal_are_named(tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    rows = [
        {"诉求内容": "路灯不亮", "联系人姓名": "王建国", "固话": 65123456, "手机": ""},
        {"诉求内容": "停电", "备注": "回电13812345678", "类别": 6512},
    ]
    path.write_text("\n".join(json.dumps(r) for r in rows), encoding="utf-8")

    def noted(named):
        _task(
            open_source(str(path)),
            text_column=None, old_label=None, columns=("code",), prefix="jiesu_", redact=True,
            redact_columns=named,
        )  # fmt: skip
        lines = "".join(capsys.readouterr().err.splitlines())
        return [n for n in ("联系人姓名", "固话", "备注", "手机", "类别") if f"列 {n} 里" in lines]

    assert noted(None) == ["联系人姓名", "固话", "备注"]
    assert noted("固话，备注") == ["联系人姓名"]


def test_bad_rows_go_aside_with_reason_and_the_rest_is_answered(run, tmp_path):
    path = tmp_path / "a.parquet"
    texts = [
        "停水",
        None,
        "  ",
        "停电了",
        "x" * 100_001,
        "a\0b",
        "路灯不亮，我是13812345678" + "\0",
    ]
    pq.write_table(pa.table({"text": texts, "k": range(7)}), path)
    tally = run(path, tmp_path / "out", shard_rows=3)
    assert (tally.rows, tally.bad) == (2, 5)
    lines = tally.bad_file.read_text(encoding="utf-8").splitlines()
    bad = [json.loads(line) for line in lines]
    assert [b["_row"] for b in bad] == [2, 3, 5, 6, 7]
    assert all(b["_reason"] for b in bad)
    assert [b["k"] for b in bad] == [1, 2, 4, 5, 6]
    assert "13812345678" not in tally.bad_file.read_text()


def test_rows_that_the_reader_rejects_are_masked_too(run, tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [{"text": "停水", "n": 1, "who": "甲"}] * 2000
    rows.append({"text": "我叫张伟，电话13812345678", "n": "13812345678", "who": "乙"})
    rows.append({"text": "停电", "n": 13812345678, "who": "13812345678", "备注": ["王建国"]})
    path.write_text("\n".join(json.dumps(r) for r in rows), encoding="utf-8")
    task = {"columns": ("code",), "redact_columns": ("who",)}
    tally = run(path, tmp_path / "out", task=task, shard_rows=2002)
    bad = [json.loads(line) for line in tally.bad_file.read_text(encoding="utf-8").splitlines()]
    assert [b["_row"] for b in bad] == [2001, 2002]
    assert [b["who"] for b in bad] == ["*", "*" * 11]
    # A whole number in its own column is what the output would hold, too.
    assert (bad[0]["n"], bad[1]["n"]) == ("*" * 11, 13812345678)
    assert "张伟" not in bad[0]["text"]
    assert "1381" not in str(bad[0])
    assert set(bad[1]["备注"]) == {"*"}
    run(
        path,
        tmp_path / "plain",
        task=task | {"redact": False, "redact_columns": ()},
        shard_rows=2002,
    )
    plain = (tmp_path / "plain" / "_jiesu" / "bad_rows.jsonl").read_text(encoding="utf-8")
    assert "我叫张伟，电话13812345678" in plain


def test_one_ticket_that_breaks_the_dispatcher_does_not_stop_the_others(
    run, tmp_path, dispatcher, monkeypatch
):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["停水", "炸", "停电"]}), path)
    answer = dispatcher._prepare

    def prepare(tickets):
        if any(ticket.text == "炸" for ticket in tickets):
            raise RuntimeError
        return answer(tickets)

    monkeypatch.setattr(dispatcher, "_prepare", prepare)
    tally = run(path, tmp_path / "out")
    assert (tally.rows, tally.bad) == (2, 1)
    assert "RuntimeError" in tally.bad_file.read_text()


def test_a_damaged_file_is_left_and_made_up_for_after_repair(run, tmp_path, rows):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "abc":
        pq.write_table(pa.Table.from_pylist(rows[:50]), folder / f"{name}.parquet")
    data = (folder / "b.parquet").read_bytes()
    run(folder, tmp_path / "whole")
    (folder / "b.parquet").write_bytes(data[:200])
    tally = run(folder, tmp_path / "out")
    assert [name for name, _ in tally.faults] == ["b.parquet"]
    assert tally.rows == 100
    (folder / "b.parquet").write_bytes(data)
    assert run(folder, tmp_path / "out").faults == []
    assert answers(tmp_path / "out") == answers(tmp_path / "whole")


def test_refusals_leave_the_finished_shards(run, parquet, whole, tmp_path, rows):
    output = tmp_path / "out"
    shutil.copytree(whole, output)
    before = answers(output)
    with pytest.raises(UsageError, match=r"另一次重标.*脱敏"):
        run(parquet, output, task={"old_label": "old", "redact": False})
    with pytest.raises(BundleError, match="--accept-changed-bundle"):
        run(parquet, output, task={"old_label": "old"}, bundle="other")
    run(parquet, output, task={"old_label": "old"}, bundle="other", accept_changed_bundle=True)
    other = tmp_path / "in.parquet"
    pq.write_table(pa.Table.from_pylist(list(reversed(rows))), other, row_group_size=70)
    with pytest.raises(UsageError, match="输入在两次运行之间变了"):
        run(other, output, task={"old_label": "old"})
    assert answers(output) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("x")
    with pytest.raises(UsageError, match="不是空的"):
        run(parquet, tmp_path / "mine")
    run(parquet, output, restart=True)
    assert "jiesu_label" not in table(output).column_names


def test_a_command_that_did_nothing_yet_binds_nobody(run, parquet, tmp_path):
    empty = tmp_path / "empty.parquet"
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), empty)
    run(empty, tmp_path / "out")
    assert run(parquet, tmp_path / "out", task={"redact": False}).rows == 300


def test_a_full_disk_keeps_what_is_done_and_goes_on_later(run, parquet, tmp_path, monkeypatch):
    output = tmp_path / "out"
    sync = os.fsync
    marker = tmp_path / "full"

    def full(number):
        name = str(Path(f"/proc/self/fd/{number}").readlink())
        if "000001.parquet" in name and not marker.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(number)

    monkeypatch.setattr(sink.os, "fsync", full)
    with pytest.raises(UsageError, match="磁盘已满"):
        run(parquet, output)
    assert not list(output.rglob("*.tmp"))
    assert list(output.glob("part-*"))
    marker.touch()
    run(parquet, output)
    assert len(table(output)) == 300


def test_a_disk_that_is_full_at_the_very_end_is_told(run, tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["停水", None]}), path)
    sync = os.fsync

    def full(number):
        if "bad_rows.jsonl" in str(Path(f"/proc/self/fd/{number}").readlink()):
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(number)

    monkeypatch.setattr(sink.os, "fsync", full)
    with pytest.raises(UsageError, match=r"bad_rows\.jsonl 失败：磁盘已满"):
        run(path, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.tmp"))
    monkeypatch.undo()
    tally = run(path, tmp_path / "out")
    assert (tally.resumed, tally.bad_file.exists()) == (2, True)


def test_csv_output_and_partitions(run, parquet, tmp_path, rows):
    run(parquet, tmp_path / "csv", form="csv", task={"columns": ("code", "category_set")})
    text = "".join(p.read_text() for p in sorted((tmp_path / "csv").glob("part-*.csv")))
    assert text.startswith('"n","text","old","编号","jiesu_source","jiesu_row","jiesu_code"')
    run(parquet, tmp_path / "parts", by="jiesu_level1_code")
    found = pq.read_table(tmp_path / "parts")
    assert sorted(found.column("n").to_pylist()) == [r["n"] for r in rows]
    assert "jiesu_level1_code" in found.column_names


def test_no_row_is_lost_in_partitions_of_odd_values(run, tmp_path):
    path = tmp_path / "a.parquet"
    odd = [1.0, float("nan"), None, 0.0, -0.0, float("nan"), 2.0]
    names = ["甲/乙", None, "__HIVE_DEFAULT_PARTITION__", "", "甲/乙", "%", ":"]
    pq.write_table(pa.table({"text": ["停水"] * 7, "x": odd, "s": names, "n": range(7)}), path)
    for by in ("x", "s"):
        tally = run(path, tmp_path / by, by=by, task={"columns": ("code",)})
        files = sorted((tmp_path / by).rglob("part-*.parquet"))
        found = [n for f in files for n in pq.ParquetFile(f).read().column("n").to_pylist()]
        assert sorted(found) == list(range(7))
        assert tally.rows == 7
    assert not list((tmp_path / "x").glob("x=nan"))


@pytest.mark.parametrize(
    ("by", "told"),
    [
        ("jiesu_source", "核定"),
        ("jiesu_row", "核定"),
        ("jiesu_label", "核定"),
        ("jiesu_category_set", "多个值"),
        ("missing", "没有这一列"),
    ],
)
def test_partitions_that_cannot_work_are_refused_before_anything_is_written(
    run, parquet, tmp_path, by, told
):
    with pytest.raises(UsageError, match=told):
        run(parquet, tmp_path / "out", by=by, task={"old_label": "old"})
    assert not (tmp_path / "out").exists()


def test_result_columns_never_overwrite_input_columns(run, tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["停水"], "jiesu_code": ["x"]}), path)
    with pytest.raises(UsageError, match="--prefix"):
        run(path, tmp_path / "out")
    run(path, tmp_path / "out", task={"prefix": "new_"})
    assert table(tmp_path / "out").column("jiesu_code").to_pylist() == ["x"]


def test_killed_at_random_points_the_end_is_the_same(parquet, bundle, whole, tmp_path):
    output = tmp_path / "out"
    command = [
        sys.executable, "-c", "from jiesu_nlp.cli.main import run; run()", "relabel", str(parquet),
        "--output", str(output), "--bundle", str(bundle.path), "--old-label", "old",
        "--shard-rows", "40", "--workers", "2",
    ]  # fmt: skip
    rng = random.Random(5)
    kills = 0
    for done in (0, 1, 3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        manifest = output / "_jiesu" / "manifest.jsonl"
        while process.poll() is None:
            lines = manifest.read_bytes().count(b"\n") if manifest.exists() else 0
            if lines > done:
                time.sleep(rng.random() * 0.15)
                break
            time.sleep(0.005)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
    assert kills >= 2
    last = subprocess.run(command, capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stderr
    assert answers(output) == answers(whole)
