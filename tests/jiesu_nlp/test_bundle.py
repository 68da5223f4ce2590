import json
import os
import subprocess
import sys

import numpy as np
import pytest

from jiesu_nlp.bundle import (
    FORMAT,
    MANIFEST,
    Registry,
    json_bytes,
    open_bundle,
    tensor_bytes,
    write_bundle,
)
from jiesu_nlp.errors import BundleError
from tests.conftest import TAXONOMY


def make(path, text="甲"):
    return write_bundle(
        path,
        {"a.json": json_bytes({"值": text}), "t.safetensors": tensor_bytes({"x": np.arange(6)})},
        versions={"model": path.name},
        parameters={"seed": 1},
        created_at="2026-11-20T00:00:00+00:00",
    )


def test_round_trip(tmp_path):
    make(tmp_path / "m")
    bundle = open_bundle(tmp_path / "m")
    bundle.verify()
    assert bundle.read_json("a.json") == {"值": "甲"}
    assert bundle.read_tensors("t.safetensors")["x"].tolist() == [0, 1, 2, 3, 4, 5]
    assert bundle.name == "m"


def test_replacing_leaves_nothing_behind(tmp_path):
    make(tmp_path / "m")
    make(tmp_path / "m", "乙")
    assert open_bundle(tmp_path / "m").read_json("a.json") == {"值": "乙"}
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_does_not_overwrite_a_foreign_folder(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "家谱.txt").write_text("x")
    with pytest.raises(BundleError, match="不覆盖"):
        make(tmp_path / "m")
    assert (tmp_path / "m" / "家谱.txt").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f.unlink(), "缺失"),
        (lambda f: f.write_bytes(f.read_bytes()[:-1]), "不完整"),
        (lambda f: f.write_bytes(b"X" + f.read_bytes()[1:]), "改动"),
    ],
)
def test_damage_names_the_file(tmp_path, damage, message):
    make(tmp_path / "m")
    damage(tmp_path / "m" / "a.json")
    with pytest.raises(BundleError, match=message) as caught:
        open_bundle(tmp_path / "m").verify()
    assert "a.json" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": FORMAT + 1}, "升级"),
        ({"format": FORMAT - 1}, "jiesu model build"),
        ({"kind": "other"}, "不是 jiesu"),
        ({"files": None}, "缺少必要内容"),
    ],
)
def test_foreign_or_newer_manifest_is_refused(tmp_path, change, message):
    make(tmp_path / "m")
    path = tmp_path / "m" / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BundleError, match=message):
        open_bundle(tmp_path / "m")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_broken_manifest_is_refused(tmp_path, content):
    make(tmp_path / "m")
    (tmp_path / "m" / MANIFEST).write_bytes(content)
    with pytest.raises(BundleError, match="清单损坏"):
        open_bundle(tmp_path / "m")


def test_registry_switches_and_rolls_back(tmp_path):
    registry = Registry(tmp_path)
    make(tmp_path / "one")
    make(tmp_path / "two")
    assert registry.active() is None
    registry.use("one")
    registry.use("two")
    assert registry.history() == ("two", "one")
    assert registry.roll_back().name == "one"
    assert registry.active() == "one"


def test_registry_refuses_a_damaged_bundle_and_keeps_the_old(tmp_path):
    registry = Registry(tmp_path)
    make(tmp_path / "one")
    make(tmp_path / "two")
    registry.use("one")
    (tmp_path / "two" / "a.json").write_bytes(b"{}")
    with pytest.raises(BundleError):
        registry.use("two")
    assert registry.active() == "one"
    with pytest.raises(BundleError, match="没有名为"):
        registry.use("three")


def test_the_same_knowledge_is_the_same_version_in_every_process():
    """The order of a set is another one in every process; no version may hang on it."""
    code = (
        "from pathlib import Path\n"
        "from jiesu_nlp.knowledge import read_knowledge\n"
        f"print(read_knowledge(Path({str(TAXONOMY)!r})).versions())"
    )
    versions = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(versions) == 1
