"""Fine-tune, export, serve from a bundle, cascade, distil: on an encoder of two tiny layers."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from jiesu_nlp.bundle import open_bundle, write_bundle
from jiesu_nlp.classify import encoder as serving
from jiesu_nlp.classify.cascade import Cascade
from jiesu_nlp.classify.classifier import Classifier
from jiesu_nlp.classify.encoder import OnnxEncoder
from jiesu_nlp.classify.loading import classifier_of
from jiesu_nlp.errors import BundleError, DataError, UsageError
from tests.training.encoder.conftest import CLASS_OF, build_checkpoint, sentences
from training.encoder import train_encoder
from training.encoder.cascade import fit_cascade
from training.encoder.checkpoint import open_checkpoint
from training.encoder.distil import distil, teacher_targets
from training.encoder.options import EncoderOptions, LongTail, options_from_words
from training.low_rank import Recipe, fit

QUICK = Recipe(min_texts=2, rank=6, epochs=3, batch=16, weigh_by_text=True)


@pytest.fixture(scope="module")
def trained(toy, quick, checkpoint, tmp_path_factory):
    return train_encoder(toy, checkpoint, tmp_path_factory.mktemp("runs") / "toy", quick)


@pytest.fixture(scope="module")
def fresh():
    texts, rows = sentences(12, 9)
    return [t for t, r in zip(texts, rows, strict=True) if r < len(CLASS_OF)], rows[
        rows < len(CLASS_OF)
    ]


@pytest.fixture
def encoder_bundle(trained, tmp_path):
    return written(tmp_path / "m", trained.classifier)


def written(path, classifier):
    versions = {"model": "t", "catalogue": "t", "rules": "t", "places": "t"}
    return write_bundle(
        path, classifier.to_files(), versions=versions, parameters={}, created_at="2026-01-01"
    )


def test_it_learns(trained, fresh):
    texts, rows = fresh
    assert (trained.classifier.probabilities(texts).argmax(axis=1) == rows).mean() >= 0.9


def test_parity_of_the_exports(trained):
    report = trained.report
    assert report["parity_fp32"]["max_difference"] < 1e-3
    assert report["parity_fp32"]["agreement"] == 1.0
    assert report["parity_int8"]["max_difference"] < 0.5
    assert report["parity_int8"]["agreement"] >= 0.97
    assert report["parity_int8"]["megabytes"] < report["parity_fp32"]["megabytes"]
    assert report["serves"] == "int8"


def test_int8_that_disagrees_is_not_served(toy, quick, checkpoint, trained, tmp_path):
    # A share above one cannot be reached; the finished run is taken up and only exported anew.
    again = train_encoder(
        toy, checkpoint, tmp_path / "r", replace(quick, epochs=1, least_agreement=1.1)
    )
    assert again.report["serves"] == "fp32"
    assert not again.classifier.quantised


def test_bundle_round_trip(trained, fresh, encoder_bundle):
    loaded = classifier_of(open_bundle(encoder_bundle.path))
    assert isinstance(loaded, OnnxEncoder)
    texts, _ = fresh
    assert np.array_equal(loaded.probabilities(texts), trained.classifier.probabilities(texts))
    assert loaded.predict(texts[:3]) == trained.classifier.predict(texts[:3])


def test_a_text_scores_alike_alone_and_in_company(trained, fresh):
    texts, _ = fresh
    exact = trained.classifier
    alone = np.concatenate([exact.logits([t]) for t in texts[:8]])
    together = exact.logits([*texts[:8], "很" * 300])[:8]
    assert np.abs(alone - together).max() < 0.2  # int8 activations share a scale per batch
    assert (alone.argmax(axis=1) == together.argmax(axis=1)).all()


def test_probabilities_leave_room_for_no_matter(trained):
    p = trained.classifier.probabilities(["您好谢谢再见", "小区里停水水压水管好几天了", ""])
    assert p.shape == (3, len(CLASS_OF))
    assert (p.sum(axis=1) <= 1 + 1e-5).all()
    assert p[0].sum() < p[1].sum()


def test_temperature_flattens(trained, fresh):
    texts, _ = fresh
    hot = trained.classifier.tempered(3.0)
    assert hot.probabilities(texts).max(axis=1).mean() < (
        trained.classifier.probabilities(texts).max(axis=1).mean()
    )


def test_evidence_points_at_the_matter(trained):
    text = "小区里暖气供暖好几天了"
    (spans,) = trained.classifier.evidence([text], [3])
    assert spans
    assert all(0 <= a < b <= len(text) for a, b in spans)
    assert any(a < 7 and b > 3 for a, b in spans), [text[a:b] for a, b in spans]
    assert trained.classifier.evidence([""], [3]) == [()]


def test_damaged_model_is_refused(encoder_bundle):
    file = encoder_bundle.path / serving.MODEL
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(bytes(data))
    with pytest.raises(BundleError, match="被改动过"):
        classifier_of(open_bundle(encoder_bundle.path))


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        (serving.MODEL, b"not a model", "无法载入"),
        (serving.TOKENIZER, b"{}", "分词器"),
        (serving.SETTINGS, b"{}", "内容不全"),
    ],
)
def test_foreign_files_are_refused(trained, tmp_path, file, content, words):
    files = {**trained.classifier.to_files(), file: content}
    versions = {"model": "t", "catalogue": "t", "rules": "t", "places": "t"}
    bundle = write_bundle(
        tmp_path / "m", files, versions=versions, parameters={}, created_at="2026-01-01"
    )
    with pytest.raises(BundleError, match=words):
        classifier_of(bundle)


def test_leaves_that_do_not_fit_the_model(trained, tmp_path):
    files = trained.classifier.to_files()
    settings = json.loads(files[serving.SETTINGS])
    settings["bias"].append(0.0)
    settings["class_of"].append(1)
    files[serving.SETTINGS] = json.dumps(settings).encode()
    versions = {"model": "t", "catalogue": "t", "rules": "t", "places": "t"}
    bundle = write_bundle(
        tmp_path / "m", files, versions=versions, parameters={}, created_at="2026-01-01"
    )
    with pytest.raises(BundleError, match="细项数"):
        classifier_of(bundle)


def test_no_torch_and_no_pickle_in_serving(trained, tmp_path, encoder_bundle):
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from jiesu_nlp.bundle import open_bundle;"
        "from jiesu_nlp.classify.loading import classifier_of;"
        f"c = classifier_of(open_bundle(Path({str(encoder_bundle.path)!r})));"
        "print(c.probabilities(['停水']).shape);"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- cascade and distillation -------------------------------------------------------------------


@pytest.fixture(scope="module")
def fast():
    """A fast classifier that knows three words of the task only: unsure of the rest."""
    texts, rows = sentences(2, 3)
    return fit(texts, rows, CLASS_OF, recipe=replace(QUICK, epochs=1))


def test_cascade_asks_the_encoder_where_unsure(trained, fast, fresh, tmp_path):
    texts, rows = fresh
    cascade = Cascade(fast, trained.classifier, threshold=0.5)
    asked = cascade.unsure(fast.logits(texts))
    assert 0 < len(asked) <= len(texts)
    p = cascade.probabilities(texts)
    assert np.allclose(
        p[asked], trained.classifier.probabilities([texts[i] for i in asked]), atol=0.1
    )
    others = np.setdiff1d(np.arange(len(texts)), asked)
    assert np.allclose(p[others], fast.probabilities(texts)[others], atol=1e-5)
    loaded = classifier_of(written(tmp_path / "c", cascade))
    assert isinstance(loaded, Cascade)
    assert loaded.threshold == 0.5
    assert np.allclose(loaded.probabilities(texts), p, atol=0.02)
    of_first = texts[:1], [int(rows[0])]
    assert loaded.evidence(*of_first) == fast.evidence(*of_first)


def test_threshold_stays_within_its_share(trained, fast, fresh):
    texts, rows = fresh
    cascade, point, curve = fit_cascade(fast, trained.classifier, texts, rows, most_asked=0.4)
    assert point.asked <= 0.4
    assert cascade.threshold == point.threshold
    measured = (cascade.probabilities(texts).argmax(axis=1) == rows).mean()
    assert measured == pytest.approx(point.top1, abs=0.02)
    assert curve[0].asked == 0.0
    assert curve[-1].asked == 1.0
    assert [c.asked for c in curve] == sorted(c.asked for c in curve)
    assert point.top1 >= curve[0].top1


def test_cascade_of_different_catalogues_is_refused(trained, fast):
    other = replace(trained.classifier, class_of=np.array([0, 1, 1, 1, 1, 1]))
    with pytest.raises(BundleError, match="目录不同"):
        Cascade(fast, other, 0.5)


def test_teacher_targets_are_distributions(trained, fresh):
    texts, _ = fresh
    soft = teacher_targets(trained.classifier, texts, most=3)
    assert soft.shape == (len(texts), len(CLASS_OF) + 1)
    assert np.allclose(np.asarray(soft.sum(axis=1)), 1, atol=1e-5)
    assert (np.diff(soft.indptr) == 3).all()


def test_student_learns_from_unlabelled_texts(trained, fresh):
    texts, rows = fresh
    few = sentences(1, 3)
    unlabelled, _ = sentences(60, 5)
    alone = fit(*few, CLASS_OF, recipe=QUICK)
    student = distil(trained.classifier, few, unlabelled, recipe=QUICK)
    assert isinstance(student, Classifier)

    def right(c):
        return (c.probabilities(texts).argmax(axis=1) == rows).mean()

    assert right(student) > right(alone)
    with pytest.raises(DataError, match="未标注"):
        distil(trained.classifier, few, [])


def test_a_labelled_text_without_weight_teaches_the_student_nothing(trained, fresh):
    texts, rows = fresh
    few, few_rows = sentences(6, 3)
    wrong = (few, (few_rows + 1) % len(CLASS_OF))
    unlabelled, _ = sentences(20, 5)

    def right(weights):
        student = distil(trained.classifier, wrong, unlabelled, weights=weights, recipe=QUICK)
        return (student.probabilities(texts).argmax(axis=1) == rows).mean()

    assert right(np.zeros(len(few), np.float32)) > right(np.full(len(few), 9, np.float32))


def test_soft_one_hot_targets_change_nothing():
    from scipy import sparse

    texts, rows = sentences(4, 3)
    hot = sparse.csr_matrix((np.ones(len(rows), np.float32), (np.arange(len(rows)), rows)))
    a = fit(texts, rows, CLASS_OF, recipe=QUICK)
    b = fit(texts, rows, CLASS_OF, recipe=QUICK, soft=hot)
    assert np.array_equal(a.embedding, b.embedding)
    assert np.array_equal(a.bias, b.bias)


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: (d / "config.json").unlink(), "缺少 config.json"),
        (lambda d: (d / "config.json").write_text("{}"), "model_type"),
        (lambda d: edit(d, model_type="gpt2"), "不支持的架构“gpt2”"),
        (lambda d: edit(d, model_type="我们自己的"), "不支持的架构"),
        (lambda d: edit(d, is_decoder=True), "带解码器"),
        (lambda d: (d / "model.safetensors").unlink(), "缺少权重"),
        (lambda d: (d / "model.safetensors").rename(d / "pytorch_model.bin"), "执行文件里的代码"),
        (
            lambda d: [f.unlink() for f in d.glob("*to*.json")] + [(d / "vocab.txt").unlink()],
            "分词器",
        ),
        (lambda d: edit(d, vocab_size=50), "不配套"),
    ],
)
def test_foreign_or_incomplete_checkpoints(checkpoint, tmp_path, spoil, words):
    folder = tmp_path / "ck"
    shutil.copytree(checkpoint, folder)
    spoil(folder)
    with pytest.raises(DataError, match=words):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: (d / "model.safetensors").write_bytes(b"\0" * 64),
        lambda d: edit(d, hidden_size=64),
        lambda d: edit(d, num_hidden_layers=3),
    ],
)
def test_weights_that_do_not_fit(checkpoint, tmp_path, spoil):
    folder = tmp_path / "ck"
    shutil.copytree(checkpoint, folder)
    spoil(folder)
    with pytest.raises(DataError, match="权重"):
        open_checkpoint(folder).encoder()


def edit(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}), encoding="utf-8")


def test_missing_folder(tmp_path):
    with pytest.raises(DataError, match="没有这个编码器文件夹"):
        open_checkpoint(tmp_path / "nowhere")


def test_data_that_cannot_teach(toy, checkpoint, tmp_path, quick):
    for bad, words in (
        (replace(toy, leaf_of=toy.leaf_of[:-1]), "数目不符"),
        (replace(toy, leaf_of=np.zeros_like(toy.leaf_of)), "不足两类"),
        (replace(toy, leaf_of=toy.leaf_of + 3), "行号"),
        (replace(toy, weights=np.full(len(toy.texts), np.nan, np.float32)), "权重"),
    ):
        with pytest.raises(DataError, match=words):
            train_encoder(bad, checkpoint, tmp_path / "run", quick)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("bad", [{"epochs": 0}, {"learning_rate": -1.0}, {"dropout": 1.5}])
def test_options_that_make_no_sense(toy, checkpoint, tmp_path, bad):
    with pytest.raises(UsageError, match=next(iter(bad))):
        train_encoder(toy, checkpoint, tmp_path / "run", EncoderOptions(**bad))


def test_options_of_the_command_line():
    found = options_from_words(["epochs=3", "int8=false", "learning_rate=1e-3", "long_tail=none"])
    options = EncoderOptions(**found)
    assert (options.epochs, options.int8, options.learning_rate) == (3, False, 1e-3)
    assert options.long_tail is LongTail.NONE
    for bad in ("epoch=3", "epochs", "epochs=三", "int8=maybe", "precision=fp8"):
        with pytest.raises(UsageError, match="编码器选项"):
            options_from_words([bad])


def test_missing_extra_is_named(toy, tmp_path, monkeypatch):
    from training.encoder import extras

    monkeypatch.setattr(extras, "NEEDED", ("torch", "no_such_module_here"))
    with pytest.raises(UsageError, match=r"no_such_module_here.*jiesu-nlp\[encoder\]"):
        train_encoder(toy, tmp_path, tmp_path / "run")


@pytest.mark.slow
def test_electra_exports_too(toy, quick, tmp_path):
    folder = build_checkpoint(tmp_path / "electra", kind="electra")
    found = train_encoder(toy, folder, tmp_path / "run", replace(quick, epochs=1, int8=False))
    assert found.report["parity_fp32"]["max_difference"] < 1e-3
