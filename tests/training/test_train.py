import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jiesu_nlp import Dispatcher
from jiesu_nlp.bundle import open_bundle
from jiesu_nlp.catalogue.model import Leaf
from jiesu_nlp.dispatcher import CALIBRATION_FILE
from jiesu_nlp.errors import BundleError, DataError, UsageError
from jiesu_nlp.gate_scorer import GateScorer
from jiesu_nlp.knowledge import knowledge_of
from tests.training.conftest import MATTERS, small_tickets, write_jsonl
from training import train as module
from training.evaluate import evaluate
from training.low_rank import Recipe, fit
from training.run_record import seen_in_training
from training.texts import catalogue_texts, class_rows
from training.train import TrainOptions, train

LABELS_ONLY = TrainOptions(taxonomy="labels-only")


def test_it_learns_a_scheme_of_its_own(small):
    overall = small.evaluation.overall
    assert overall["leaf_top1"].value > 0.9
    assert overall["leaf_top1"].n == 60
    assert overall["unit_lenient"].value > 0.9


def test_the_bundle_is_whole_and_answers(small, small_dispatcher):
    open_bundle(small.bundle.path).verify()
    answer = small_dispatcher.suggest("楼下烧烤摊占道，油烟呛人，小贩推车摆摊")
    assert answer.demands[0].categories[0].path == ("市容", "占道", "游商占道")
    assert answer.demands[0].unit.unit_class == "城管执法"


def test_the_record_tells_what_was_done(small):
    record = small.bundle.read_json("training.json")
    assert record["rows"] == record["usable"] == 600
    assert record["split"]["by_time"]
    assert sum(record["leaf_counts"]) == record["split"]["train"] == 480
    assert len(record["data_hash"]) == 64
    assert record["versions"]["code"].startswith("0.")
    assert record["options"]["seed"] == record["recipe"]["seed"] == 0
    assert record["seconds"] > 0
    assert record["peak_memory_mb"] > 50


def test_the_card_is_of_this_run(small):
    card = small.bundle.read_bytes("card.md").decode()
    record = small.bundle.read_json("training.json")
    top1 = small.evaluation.overall["leaf_top1"]
    assert f"| 细项首位正确 | {top1.value:.1%} |" in card
    for part in (
        record["data_hash"],
        record["versions"]["code"],
        "训练 480、校准 60、评测 60 件",
        "限度",
    ):
        assert part in card


def test_the_card_tells_what_the_bundle_knows_of_citizens(small):
    card = small.bundle.read_bytes("card.md").decode()
    assert "没有脱敏" in card
    assert "没有用到市民的姓名" not in card


def test_the_card_tells_why_the_split_is_random(tmp_path):
    rows = small_tickets(100)
    for i, row in enumerate(rows):
        if i % 5 > 1:
            row.pop("created_at")
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    trained = train([path], tmp_path / "m", LABELS_ONLY)
    assert not trained.record["split"]["by_time"]
    assert "有时间的工单不到一半，随机划分" in trained.bundle.read_bytes("card.md").decode()


def test_what_is_measured_is_what_is_shipped(tmp_path, small_file, small, bundle, monkeypatch):
    knowledge = knowledge_of(small.bundle)
    leaves = [replace(leaf, says=("没人管",)) for leaf in knowledge.catalogue.leaves]
    knowledge = replace(knowledge, catalogue=knowledge.catalogue.replace_leaves(leaves))
    scorer = GateScorer.from_bundle(bundle)
    measured = []

    def spy(dispatcher, *args, **options):
        measured.append(dispatcher.gate_scorer)
        return evaluate(dispatcher, *args, **options)

    monkeypatch.setattr(module, "knowledge_for", lambda *args, **options: knowledge)
    monkeypatch.setattr(module, "fit_gate_scorer", lambda known: scorer)
    monkeypatch.setattr(module, "evaluate", spy)
    options = replace(LABELS_ONLY, recipe=Recipe(rank=6, epochs=1, runs=1))
    trained = train([small_file], tmp_path / "m", options)
    assert measured == [scorer]
    assert GateScorer.from_bundle(trained.bundle).to_files() == scorer.to_files()


def test_the_default_bundle_has_record_and_card(bundle):
    record = bundle.read_json("training.json")
    for key in ("data_hash", "recipe", "versions", "seconds", "peak_memory_mb", "calibrated_on"):
        assert record[key], key
    assert {"code", "catalogue"} <= set(record["versions"])
    card = bundle.read_bytes("card.md").decode()
    assert "没有用任何工单" in card
    assert record["data_hash"] in card
    assert f"随机种子 {record['recipe']['seed']}" in card


def test_the_bundle_knows_what_it_saw_and_holds_no_ticket(small, small_file):
    rows = [json.loads(line) for line in small_file.read_text(encoding="utf-8").splitlines()]
    texts = [row["text"] for row in rows]
    seen = seen_in_training(small.bundle, [*texts, "从没见过的一句话"])
    assert 500 <= seen.sum() <= 560
    assert not seen[-1]
    for file in small.bundle.path.iterdir():
        if file.suffix in (".json", ".md"):
            assert texts[0] not in file.read_text(encoding="utf-8")


def test_two_runs_are_identical(tmp_path, small, small_file):
    again = train([small_file], tmp_path / "again", LABELS_ONLY)
    for name in ("classifier.safetensors", "classifier.json", "calibration.json"):
        assert again.bundle.read_bytes(name) == small.bundle.read_bytes(name), name


def test_weights_matter(tmp_path):
    rows = small_tickets(300)
    names = list(MATTERS)
    wrong = [{**r, "path": names[0], "weight": 0} for r in small_tickets(300, seed=1)]
    path = write_jsonl(tmp_path / "a.jsonl", [*rows, *wrong])
    trained = train([path], tmp_path / "m", replace(LABELS_ONLY, test=0))
    dispatcher = Dispatcher.from_bundle(trained.bundle)
    test = small_tickets(60, seed=5)
    answers = dispatcher.suggest_many([r["text"] for r in test])
    right = [
        " › ".join(a.demands[0].categories[0].path) == r["clean"]
        for a, r in zip(answers, test, strict=True)
    ]
    assert np.mean(right) > 0.9


def test_half_of_the_codes_unknown(tmp_path):
    rows = small_tickets(100)
    for row in rows[::2]:
        row["path"] = "99-99-999"
    path = write_jsonl(tmp_path / "a.jsonl", [{**r, "code": r.pop("path")} for r in rows])
    with pytest.raises(DataError, match=r"100 行里有 100 行不能用.*编码不存在"):
        train([path], tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_one_class_only(tmp_path):
    rows = [{"text": f"路灯坏了第{i}盏没人修", "code": "08-01-001"} for i in range(50)]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError, match="只有 1 个类目"):
        train([path], tmp_path / "m", LABELS_ONLY)
    with pytest.raises(DataError, match="学不到区别"):
        train([path], tmp_path / "m", TrainOptions(most_rejected=1.0))


def test_empty_texts_and_too_few_tickets(tmp_path):
    rows = [{"text": " ", "path": "甲"}, *small_tickets(10)]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError, match=r"只有 10 件.*诉求为空 1 行"):
        train([path], tmp_path / "m", LABELS_ONLY)


@pytest.mark.parametrize("stage", ["训练分类器", "写入模型包"])
def test_an_interrupted_run_leaves_nothing(tmp_path, small_file, stage):
    def interrupt(name: str, done: float) -> None:
        if name == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train([small_file], tmp_path / "m", LABELS_ONLY, interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_bundle(tmp_path, small, small_file, monkeypatch):
    target = tmp_path / "m"
    shutil.copytree(small.bundle.path, target)
    before = (target / "manifest.json").read_bytes()
    write = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.name == "classifier.safetensors":
            write(self, data[:100])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BundleError, match="写模型包失败"):
        train([small_file], target, replace(LABELS_ONLY, seed=3))
    assert (target / "manifest.json").read_bytes() == before
    open_bundle(target).verify()
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_folder_that_is_no_bundle_is_not_overwritten(tmp_path, small_file):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "重要.txt").write_text("x")
    with pytest.raises(BundleError, match="不覆盖"):
        train([small_file], tmp_path / "m", LABELS_ONLY)


def test_an_unknown_taxonomy(tmp_path, small_file):
    with pytest.raises(UsageError, match="labels-only"):
        train([small_file], tmp_path / "m", TrainOptions(taxonomy=str(tmp_path / "none")))


def test_the_sets_promise_what_was_asked(tmp_path, small, small_file):
    asked = train([small_file], tmp_path / "m", replace(LABELS_ONLY, coverage=0.6))
    rules = [b.read_json(CALIBRATION_FILE) for b in (asked.bundle, small.bundle)]
    assert asked.record["options"]["coverage"] == 0.6
    assert Dispatcher.from_bundle(asked.bundle).classifier.set_rule.coverage == 0.6
    assert Dispatcher.from_bundle(small.bundle).classifier.set_rule.coverage == 0.95
    assert rules[0] == rules[1], "the confidences are the same"


def test_a_greater_file_is_sampled(tmp_path, small_file):
    trained = train([small_file], tmp_path / "m", replace(LABELS_ONLY, most_tickets=200))
    assert trained.record["rows"] == 600
    assert trained.record["usable"] == 600
    assert trained.record["used"] == 200


@pytest.mark.slow
def test_a_new_leaf_works_with_a_dozen_says(knowledge):
    # A matter that no leaf of the catalogue has: one that has it would rightly share the answers.
    says = (
        "滑翔伞天天从山头飞下来，落在我家麦地里，苗都踩倒了",
        "玩动力伞的嗡嗡地在村子上头转，鸡都不下蛋了",
        "滑翔伞基地的车把田埂压塌了",
        "那些飞伞的降落不看地方，砸坏了大棚膜",
        "动力伞飞得太低，擦着我家房顶过去",
        "飞滑翔伞的人挂在我家核桃树上，树枝压断好几根",
        "想问问滑翔伞起飞场归谁管",
        "周末动力伞的马达从早响到晚",
        "伞友把滑翔伞铺在村口晒，路都过不去",
        "滑翔伞俱乐部没有证照就带人飞",
        "教练带着游客飞伞，落到坟地上去了",
        "动力伞在水库边上起降，把牛吓跑了",
    )
    leaf = Leaf(
        "19-99-001",
        "滑翔伞动力伞扰民",
        "滑翔伞、动力伞在村庄农田上空飞行起降，噪声、毁坏庄稼房屋",
        ("投诉",),
        "体育",
        "7d",
        says=says,
    )
    catalogue = knowledge.catalogue.replace_leaves((*knowledge.catalogue.leaves, leaf))
    texts, rows = catalogue_texts(catalogue)
    classifier = fit(texts, rows, class_rows(catalogue), recipe=Recipe(runs=1))
    asked = (
        "每到周末就有人飞滑翔伞，从我家院子上面过去，吓得孩子直哭",
        "昨天一个动力伞掉进了我的玉米地，压坏一大片，没人赔",
        "山下那个飞伞的场子有没有手续",
        "动力伞在村里转了一上午，马达吵得人头疼",
    )
    row = catalogue.index["19-99-001"]
    ranks = [(p > p[row]).sum() for p in classifier.probabilities(asked)]
    assert sum(rank == 0 for rank in ranks) >= 3
    assert max(ranks) < 5


def test_what_is_no_matter_gets_low_confidence(dispatcher):
    nothing = (
        "asdfkjh qwe",
        "哈哈哈哈哈哈",
        "喂喂听得见吗",
        "12345 67890",
        "圆周率是三点一四一五九",
    )
    clear = ("路灯坏了半个月没人修", "小区暖气不热，室温只有十二度", "门口流动小贩占道卖烧烤")
    low = [dispatcher.suggest(t).demands[0].categories[0].confidence for t in nothing]
    high = [dispatcher.suggest(t).demands[0].categories[0].confidence for t in clear]
    assert max(low) < min(high)


def test_too_few_tickets_and_no_says_leave_a_model_that_says_it_is_not_calibrated(small_dispatcher):
    _, calibration, temperature = module.calibrate_on_tickets(
        small_dispatcher.knowledge, small_dispatcher.classifier, [], recipe=Recipe()
    )
    assert calibration.fitted_on.startswith("未校准")
    assert temperature == 1.0


def test_an_encoder_can_take_the_place_of_the_fast_classifier(tmp_path, small_file):
    from training.encoder.extras import missing_modules

    if missing_modules():
        pytest.skip("需要 jiesu-nlp[encoder]")
    from tests.training.encoder.conftest import build_checkpoint

    build_checkpoint(tmp_path / "checkpoint")
    options = replace(
        LABELS_ONLY,
        checkpoint=tmp_path / "checkpoint",
        encoder={"epochs": 1, "max_length": 48, "int8": False},
    )
    trained = train([small_file], tmp_path / "m", options)
    assert trained.record["architecture"] == "encoder"
    assert "encoder.onnx" in trained.bundle
    assert "预训练编码器（bert" in trained.bundle.read_bytes("card.md").decode()
    assert Dispatcher.from_bundle(trained.bundle).suggest("暖气不热").demands
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint", "m"]


def test_a_path_through_a_missing_folder_does_not_replace_another(tmp_path, small_file):
    """``missing/../precious`` exists as soon as ``missing`` is made: it must be refused before."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "important").write_text("x")
    out = tmp_path / "missing" / ".." / "precious"
    with pytest.raises(BundleError, match="不覆盖"):
        train([small_file], out, LABELS_ONLY)
    assert (precious / "important").read_text() == "x"


def test_a_folder_that_appears_during_the_run_is_not_replaced(tmp_path, small_file):
    target = tmp_path / "m"

    def progress(stage: str, done: float) -> None:
        if stage == "写入模型包":
            target.mkdir()
            (target / "important").write_text("x")

    with pytest.raises(BundleError, match="不覆盖"):
        train([small_file], target, LABELS_ONLY, progress)
    assert (target / "important").read_text() == "x"
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
