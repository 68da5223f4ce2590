"""Great files in little memory: samples of streams, files written row by row, own peaks."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from jiesu_nlp.errors import DataError, UsageError
from training.labels import LabelBook
from training.reservoir import Reservoir
from training.rows_file import rows_file
from training.run_record import among
from training.taxonomies import labels_of_data


def test_a_reservoir_keeps_the_order_and_is_fair():
    kept = np.zeros(50)
    for seed in range(400):
        reservoir = Reservoir[int](10, seed)
        for i in range(50):
            reservoir.add(i)
        items = reservoir.items()
        assert items == sorted(items)
        assert len(items) == 10
        assert reservoir.seen == 50
        kept[items] += 1
    # 400 draws of a fifth: 80, give or take five standard deviations.
    assert kept.min() > 40
    assert kept.max() < 120


def test_fewer_than_asked_are_all_kept():
    reservoir = Reservoir[str](10)
    for item in "甲乙丙":
        reservoir.add(item)
    assert reservoir.items() == ["甲", "乙", "丙"]


def test_a_file_of_rows_is_whole_or_absent(tmp_path):
    path = tmp_path / "a.jsonl"
    with rows_file(path) as write:
        write({"甲": 1})
        write({"乙": 2})
        assert not path.exists()
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == [
        {"甲": 1},
        {"乙": 2},
    ]

    def interrupted():
        with rows_file(path) as write:
            write({"丙": 3})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]
    with pytest.raises(UsageError, match="没有留下半截文件"), rows_file(tmp_path / "无" / "a"):
        pass


def test_any_text_can_stand_in_a_file_of_rows(tmp_path):
    with rows_file(tmp_path / "a.jsonl") as write:
        write({"甲": "路灯\ud83d"})
    assert json.loads((tmp_path / "a.jsonl").read_text(encoding="utf-8")) == {"甲": "路灯\ud83d"}


def test_membership_is_that_of_a_set():
    rng = np.random.default_rng(0)
    known = np.unique(rng.integers(0, 500, 200, dtype=np.uint64))
    asked = rng.integers(0, 600, 1000, dtype=np.uint64)
    assert among(asked, known).tolist() == [int(v) in set(known.tolist()) for v in asked]
    assert not among(asked, known[:0]).any()


def test_unknown_labels_do_not_fill_the_memory(knowledge, monkeypatch):
    monkeypatch.setattr("training.labels._MOST_REMEMBERED", 10)
    book = LabelBook(knowledge.catalogue)
    for i in range(100):
        assert book.resolve(f"没有的类目{i}").code is None
    assert len(book._known) == 10
    leaf = knowledge.catalogue.leaves[0].code
    assert book.resolve(leaf).code == leaf


def test_a_column_of_texts_is_no_column_of_labels(tmp_path, monkeypatch):
    monkeypatch.setattr("training.taxonomies._MOST_LABELS", 50)
    rows = "".join(f"路灯坏了{i}盏,说法{i}\n" for i in range(200))
    (tmp_path / "a.csv").write_text("text,code\n" + rows, encoding="utf-8")
    with pytest.raises(DataError, match="不像类目"):
        labels_of_data([tmp_path / "a.csv"])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
def test_the_peak_is_that_of_this_process_alone():
    """A child's ``ru_maxrss`` starts at what its parent held."""
    child = "from training.run_record import peak_memory_mb; print(peak_memory_mb())"
    parent = (
        "import subprocess, sys; held = bytearray(b'x') * 600_000_000;"
        f"print(subprocess.run([sys.executable, '-c', {child!r}], capture_output=True, text=True,"
        " check=True).stdout)"
    )
    done = subprocess.run(
        [sys.executable, "-c", parent], capture_output=True, text=True, check=True
    )
    assert 10 < int(done.stdout) < 400


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
def test_a_great_parquet_file_is_not_held_in_memory(tmp_path):
    """Buffered in advance, the row groups that were read stay until the end of the file."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rng = np.random.default_rng(0)
    path = tmp_path / "a.parquet"
    schema = pyarrow.schema([("text", pyarrow.string())])
    with parquet.ParquetWriter(path, schema, compression="none") as writer:
        for _ in range(24):
            texts = [rng.bytes(200).hex() for _ in range(25_000)]
            writer.write_table(pyarrow.table([texts], schema=schema))
    assert path.stat().st_size > 230_000_000
    read = (
        "import sys; from pathlib import Path; import pyarrow.parquet\n"
        "from training.raw_rows import raw_rows; from training.run_record import peak_memory_mb\n"
        "before = peak_memory_mb()\n"
        "rows = sum(1 for _ in raw_rows(Path(sys.argv[1])))\n"
        "print(rows, peak_memory_mb() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", read, str(path)], capture_output=True, text=True, check=True
    )
    rows, grown = map(int, done.stdout.split())
    assert rows == 600_000
    assert grown < 120
