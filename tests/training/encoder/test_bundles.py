"""From a table of tickets to bundles that answer: encoder, cascade, distilled."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from jiesu_nlp import Dispatcher
from jiesu_nlp.bundle import open_bundle, write_bundle
from jiesu_nlp.classify.cascade import Cascade
from jiesu_nlp.classify.classifier import Classifier
from jiesu_nlp.classify.encoder import OnnxEncoder
from jiesu_nlp.errors import BundleError, DataError
from jiesu_nlp.gate_scorer import SETTINGS as GATE_SCORER
from jiesu_nlp.gate_scorer import GateScorer
from jiesu_nlp.knowledge import SAYS_FILE
from jiesu_nlp.text.normalise import normalise
from tests.training.encoder.conftest import WORDS, sentences
from training.encoder import bundles
from training.encoder.bundles import write_cascade, write_distilled
from training.encoder.distil import distil
from training.run_record import CARD_FILE, seen_in_training
from training.tickets import LabelledTicket
from training.train import TrainOptions, train

QUICK = {
    "epochs": 14,
    "patience": 14,
    "batch": 16,
    "learning_rate": 3e-3,
    "head_factor": 1.0,
    "max_length": 48,
}


def labelled(repeat, seed):
    texts, rows = sentences(repeat, seed)
    known = [(t, int(r)) for t, r in zip(texts, rows, strict=True) if r < len(WORDS)]
    return [(f"第{i}件：{t}", "".join(WORDS[r][:1])) for i, (t, r) in enumerate(known)]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "tickets.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *labelled(32, 0)])
    return path


@pytest.fixture(scope="module")
def models(table, checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    common = {"taxonomy": "labels-only", "test": 0.0, "calibrate": 0.2}
    fast = train([table], folder / "fast", TrainOptions(**common)).bundle
    options = TrainOptions(checkpoint=checkpoint, encoder=QUICK, **common)
    return fast, train([table], folder / "encoder", options).bundle


def tickets_of(bundle, rows):
    index = {leaf.name: leaf.code for leaf in Dispatcher.from_bundle(bundle).catalogue.leaves}
    return [LabelledTicket(text, (index[label],)) for text, label in rows]


def test_encoder_bundle_answers_tickets(models):
    dispatcher = Dispatcher.from_bundle(models[1])
    assert isinstance(dispatcher.classifier, OnnxEncoder)
    category = dispatcher.suggest("小区里暖气供暖不热好几天了").demands[0].categories[0]
    assert category.path[-1] == WORDS[3][0]
    assert not list(models[1].path.parent.glob(".*")), "working folders are cleared away"


def test_cascade_bundle(models, tmp_path):
    fast, strong = models
    unseen = tickets_of(fast, [(f"另{t}", label) for t, label in labelled(10, 7)])
    record = write_cascade(fast, strong, unseen, tmp_path / "c", most_asked=0.5)
    bundle = open_bundle(tmp_path / "c")
    dispatcher = Dispatcher.from_bundle(bundle)
    assert isinstance(dispatcher.classifier, Cascade)
    assert record["asked"] <= 0.5
    assert dispatcher.suggest("小区里停水水压").demands[0].categories[0].path[-1] == WORDS[4][0]
    assert seen_in_training(bundle, [t.text for t in unseen]).all()
    assert "级联" in bundle.read_bytes(CARD_FILE).decode()


def test_cascade_leaves_out_what_either_has_seen(models, tmp_path):
    fast, strong = models
    seen = tickets_of(fast, labelled(32, 0))
    with pytest.raises(DataError, match="没见过的标注工单只有"):
        write_cascade(fast, strong, seen, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_cascade_wants_one_fast_and_one_encoder_of_one_catalogue(models, bundle, tmp_path):
    fast, strong = models
    with pytest.raises(BundleError, match="不是编码器"):
        write_cascade(fast, fast, [], tmp_path / "c")
    with pytest.raises(BundleError, match="不是快速模型"):
        write_cascade(strong, fast, [], tmp_path / "c")
    with pytest.raises(BundleError, match="目录不同"):
        write_cascade(bundle, strong, [], tmp_path / "c")


def test_distilled_bundle(models, tmp_path):
    _, strong = models
    tickets = tickets_of(strong, labelled(8, 11))
    unlabelled = [t for t, _ in labelled(20, 12)]
    record = write_distilled(strong, tickets[:6], unlabelled, tickets[6:], tmp_path / "d")
    dispatcher = Dispatcher.from_bundle(open_bundle(tmp_path / "d"))
    assert isinstance(dispatcher.classifier, Classifier)
    assert record["unlabelled"] == len(unlabelled)
    assert (
        dispatcher.suggest("我家门口停电电表跳闸").demands[0].categories[0].path[-1] == WORDS[5][0]
    )


def with_gate_scorer(source, scorer, path):
    """Copy a bundle of a taxonomy without says, which has no gate scorer, and give it one."""
    files = {name: source.read_bytes(name) for name in source.manifest["files"]}
    return write_bundle(
        path,
        {**files, **scorer.to_files()},
        versions=source.versions,
        parameters={},
        created_at="2026-11-20",
    )


def test_the_gate_scorer_is_handed_on(models, bundle, tmp_path):
    scorer = GateScorer.from_bundle(bundle)
    fast, strong = (with_gate_scorer(m, scorer, tmp_path / m.name) for m in models)
    tickets = tickets_of(fast, [(f"另{t}", label) for t, label in labelled(10, 7)])
    write_cascade(fast, strong, tickets, tmp_path / "c")
    write_distilled(strong, [], [t.text for t in tickets], [], tmp_path / "d")
    for name in ("c", "d"):
        again = GateScorer.from_bundle(open_bundle(tmp_path / name))
        assert again.to_files() == scorer.to_files()


def test_the_says_are_learned_from_and_handed_on(bundle, tmp_path, monkeypatch):
    learned = []

    def no_student(teacher, lines, unlabelled, **options):
        learned.extend(lines[0])
        return teacher

    monkeypatch.setattr(bundles, "distil", no_student)
    write_distilled(bundle, [], ["路灯不亮"], [], tmp_path / "d")
    distilled = open_bundle(tmp_path / "d")
    says = bundle.read_json(SAYS_FILE)
    assert {normalise(text).text for own in says.values() for text in own} <= set(learned)
    assert distilled.read_json(SAYS_FILE) == says
    assert distilled.versions["catalogue"] == bundle.versions["catalogue"]


def test_a_taxonomy_that_needs_a_gate_scorer_is_not_handed_on_without(bundle, tmp_path):
    files = {k: v for k, v in bundle.manifest["files"].items() if k != GATE_SCORER}
    old = replace(bundle, manifest={**bundle.manifest, "files": files})
    with pytest.raises(BundleError, match="没有分流评分器"):
        write_distilled(old, [], ["路灯不亮"], [], tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_distillation_calibrates_on_what_neither_teacher_nor_student_saw(
    models, tmp_path, monkeypatch
):
    _, strong = models
    asked = {}

    def spy(teacher, lines, unlabelled, **options):
        asked.update(options, unlabelled=unlabelled)
        return distil(teacher, lines, unlabelled, **options)

    monkeypatch.setattr(bundles, "distil", spy)
    seen = tickets_of(strong, labelled(32, 0))
    unseen = tickets_of(strong, [(f"另{t}", label) for t, label in labelled(10, 7)])
    own = [replace(t, text=f"又{t.text}", weight=0.25) for t in unseen[:6]]
    others = [f"再{t.text}" for t in unseen]
    record = write_distilled(
        strong,
        own,
        [*others, *(t.text for t in unseen[:20])],
        [*seen, *own, *unseen],
        tmp_path / "d",
        seed=3,
    )
    assert record["seen_left_out"] == len(seen) + len(own)
    assert record["unlabelled_left_out"] == 20
    assert record["calibrated_on"].startswith(f"{len(unseen)} 条未参与训练的文本")
    assert asked["unlabelled"] == [normalise(t).text for t in others]
    assert asked["weights"][-6:].tolist() == [0.25] * 6
    assert asked["recipe"].seed == record["seed"] == 3


def test_a_foreign_folder_is_not_overwritten(models, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(BundleError, match="不覆盖"):
        write_cascade(*models, [], tmp_path / "mine")
