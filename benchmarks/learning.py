"""Our classifier beside the usual ones: same data, same split, same machine, from raw text.

    .venv/bin/python benchmarks/learning.py --task cold [--per-leaf 12]
    .venv/bin/python benchmarks/learning.py --task zipf [--tickets 200000] [--leaves 2240]
    .venv/bin/python benchmarks/learning.py --task file --train F --test F

``cold`` trains on the catalogue (names, definitions, says) and judges on ``tests/gold``; ``zipf``
trains on synthetic tickets with Zipf priors and 10 % wrong labels and judges on clean ones. Every
method runs in a process of its own, one after the other (``--methods ours,fasttext`` for some).
Timings on shared cores are noisy: read the ratios. Peers run with their defaults or the usual
published setting, none is tuned, ours neither. One that is not installed or that takes longer than
``--limit`` seconds says so in its line; ``--most svc=20000`` gives a method no more than so many
training texts, drawn evenly, and its line says that too.

    pip install scikit-learn fasttext-numpy2 omikuji hiclass libpecos
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
K = 5
# Throughput is measured on so many texts at most; the first come singly for the latency.
_MOST_TEST, _SINGLE = 5000, 300
_FEW_TEXTS = 100_000


class Method:
    """Fit on raw texts; answer the best five labels with scores, best first."""

    def fit(self, texts, labels, parents):
        raise NotImplementedError

    def best(self, texts):
        """Return labels ``(n, K)`` and the confidence of the first, ``(n,)`` (nan: none)."""
        raise NotImplementedError

    def megabytes(self):
        raise NotImplementedError


def top(scores):
    width = min(K, scores.shape[1])
    part = np.argpartition(-scores, width - 1, axis=1)[:, :width]
    order = np.argsort(-np.take_along_axis(scores, part, axis=1), axis=1)
    return np.take_along_axis(part, order, axis=1)


def softmax(scores):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


class Ours(Method):
    def fit(self, texts, labels, parents):
        from threadpoolctl import threadpool_limits

        from jiesu_nlp.text.normalise import normalise
        from training.low_rank import Recipe, fit, recipe_for

        self.clean = lambda ts: [normalise(t).text for t in ts]
        # Few texts of many leaves are a catalogue's, not tickets.
        cold = len(parents) >= 100 and len(texts) < _FEW_TEXTS
        recipe = Recipe() if cold else recipe_for(len(parents), len(texts))
        self.model = fit(self.clean(texts), labels, parents, recipe=recipe)
        # As the dispatcher does: a second thread only waits for its turn.
        threadpool_limits(limits=1, user_api="blas")

    def best(self, texts):
        p = np.concatenate(
            [
                self.model.probabilities(self.clean(texts[i : i + 512]))
                for i in range(0, len(texts), 512)
            ]
        )
        return top(p), p.max(axis=1)

    def megabytes(self):
        return sum(map(len, self.model.to_files().values())) / 1e6


class _Sklearn(Method):
    """TF-IDF of character 1–2-grams, the method of most published hotline systems."""

    def features(self):
        from sklearn.feature_extraction.text import TfidfVectorizer

        return TfidfVectorizer(
            analyzer="char", ngram_range=(1, 2), min_df=2, sublinear_tf=True, dtype=np.float32
        )

    def fit(self, texts, labels, parents):
        self.vectorizer = self.features()
        rows = self.vectorizer.fit_transform(texts)
        self.model = self.classifier().fit(rows, labels)
        # The layout in which a sparse row is multiplied without copying the matrix.
        self.model.coef_ = np.asfortranarray(self.model.coef_)

    def megabytes(self):
        vocabulary = sum(len(k.encode()) + 8 for k in self.vectorizer.vocabulary_)
        return (self.model.coef_.nbytes + vocabulary) / 1e6

    def best(self, texts):
        parts = [self._best(texts[i : i + 2000]) for i in range(0, len(texts), 2000)]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def _best(self, texts):
        p = softmax(self.model.decision_function(self.vectorizer.transform(texts)))
        return self.model.classes_[top(p)], p.max(axis=1)


class LinearSvc(_Sklearn):
    def classifier(self):
        from sklearn.svm import LinearSVC

        return LinearSVC()


class Logistic(_Sklearn):
    def classifier(self):
        from sklearn.linear_model import SGDClassifier

        return SGDClassifier(loss="log_loss", alpha=1e-6, max_iter=10, n_jobs=2, random_state=0)


class Centroid(_Sklearn):
    def fit(self, texts, labels, parents):
        from scipy import sparse

        self.vectorizer = self.features()
        rows = self.vectorizer.fit_transform(texts)
        member = sparse.csr_matrix(
            (np.ones(len(labels), np.float32), (labels, np.arange(len(labels)))),
            shape=(len(parents), len(labels)),
        )
        sums = member @ rows
        norms = np.sqrt(np.asarray(sums.multiply(sums).sum(axis=1)).ravel())
        self.centroids = sparse.csr_matrix((sparse.diags(1 / np.maximum(norms, 1e-9)) @ sums).T)

    def _best(self, texts):
        scores = (self.vectorizer.transform(texts) @ self.centroids).toarray()
        return top(scores), scores.max(axis=1)

    def megabytes(self):
        vocabulary = sum(len(k.encode()) + 8 for k in self.vectorizer.vocabulary_)
        return (self.centroids.data.nbytes + self.centroids.indices.nbytes + vocabulary) / 1e6


class FastText(Method):
    def loss(self, few):
        """Return the better loss of either task, see docs/训练与评测.md."""
        return "softmax" if few else "hs"

    def fit(self, texts, labels, parents):
        import fasttext
        import rjieba

        self.line = lambda t: " ".join(w for w in rjieba.cut(t) if not w.isspace())
        self.folder = tempfile.mkdtemp()
        path = Path(self.folder) / "train.txt"
        with path.open("w", encoding="utf-8") as stream:
            stream.writelines(
                f"__label__{y} {self.line(t)}\n" for t, y in zip(texts, labels, strict=True)
            )
        # A greater rate ends in NaN.
        few = len(texts) < _FEW_TEXTS
        self.model = fasttext.train_supervised(
            str(path),
            dim=100,
            epoch=50 if few else 25,
            lr=0.5,
            loss=self.loss(few),
            thread=2,
            verbose=0,
        )

    def best(self, texts):
        labels, scores = self.model.predict([self.line(t) for t in texts], k=K)
        found = np.full((len(texts), K), -1)
        for i, row in enumerate(labels):
            found[i, : len(row)] = [int(name[9:]) for name in row]
        return found, np.array([s[0] if len(s) else 0 for s in scores])

    def megabytes(self):
        path = Path(self.folder) / "model.bin"
        self.model.save_model(str(path))
        return path.stat().st_size / 1e6


class FastTextSoftmax(FastText):
    """Every label weighed for every text, as ours does, instead of a tree of them."""

    def loss(self, few):
        return "softmax"


class Omikuji(Method):
    """Parabel: a balanced tree of linear classifiers."""

    def fit(self, texts, labels, parents):
        import omikuji

        self.vectorizer = _Sklearn().features()
        rows = self.vectorizer.fit_transform(texts)
        path = Path(tempfile.mkdtemp()) / "train.txt"
        with path.open("w") as stream:
            stream.write(f"{rows.shape[0]} {rows.shape[1]} {len(parents)}\n")
            for i, y in enumerate(labels):
                a, b = rows.indptr[i], rows.indptr[i + 1]
                pairs = zip(rows.indices[a:b], rows.data[a:b], strict=True)
                stream.write(f"{y} " + " ".join(f"{j}:{v:.5f}" for j, v in pairs) + "\n")
        parameters = omikuji.Model.default_hyper_param()
        self.model = omikuji.Model.train_on_data(str(path), parameters, n_threads=2)

    def best(self, texts):
        found, first = np.full((len(texts), K), -1), np.zeros(len(texts))
        rows = self.vectorizer.transform(texts)
        for i in range(len(texts)):
            a, b = rows.indptr[i], rows.indptr[i + 1]
            pairs = list(zip(rows.indices[a:b].tolist(), rows.data[a:b].tolist(), strict=True))
            answers = self.model.predict(pairs, top_k=K)
            for j, (label, score) in enumerate(answers[:K]):
                found[i, j] = label
                first[i] = first[i] if j else score
        return found, first

    def megabytes(self):
        folder = tempfile.mkdtemp()
        self.model.save(folder)
        return sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file()) / 1e6


class Pecos(Method):
    """PECOS XR-Linear: a tree of clusters of labels with linear rankers (needs numpy below 2)."""

    def fit(self, texts, labels, parents):
        from pecos.xmc import Indexer, LabelEmbeddingFactory
        from pecos.xmc.xlinear.model import XLinearModel
        from scipy import sparse

        self.vectorizer = _Sklearn().features()
        rows = self.vectorizer.fit_transform(texts)
        rows.sort_indices()
        answers = sparse.csr_matrix(
            (np.ones(len(labels), np.float32), (np.arange(len(labels)), labels)),
            shape=(len(labels), len(parents)),
        )
        clusters = Indexer.gen(LabelEmbeddingFactory.create(answers, rows))
        self.model = XLinearModel.train(rows, answers, C=clusters, threads=2)

    def best(self, texts):
        rows = self.vectorizer.transform(texts)
        rows.sort_indices()
        answers = self.model.predict(rows, only_topk=K).tocsr()
        found, first = np.full((len(texts), K), -1), np.zeros(len(texts))
        for i in range(len(texts)):
            a, b = answers.indptr[i], answers.indptr[i + 1]
            order = np.argsort(-answers.data[a:b])[:K]
            found[i, : len(order)] = answers.indices[a:b][order]
            first[i] = answers.data[a:b].max(initial=0)
        return found, first

    def megabytes(self):
        folder = tempfile.mkdtemp()
        self.model.save(folder)
        return sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file()) / 1e6


class HiClass(Method):
    """A linear SVM per parent node; gives one path, no confidence."""

    def fit(self, texts, labels, parents):
        from hiclass import LocalClassifierPerParentNode
        from sklearn.svm import LinearSVC

        self.vectorizer = _Sklearn().features()
        rows = self.vectorizer.fit_transform(texts)
        paths = np.array([[f"c{parents[y]}", str(y)] for y in labels])
        self.model = LocalClassifierPerParentNode(LinearSVC(), n_jobs=1)
        self.model.fit(rows, paths)

    def best(self, texts):
        paths = self.model.predict(self.vectorizer.transform(texts))
        return paths[:, 1].astype(int)[:, None], np.full(len(texts), np.nan)

    def megabytes(self):
        nodes = [n.get("classifier") for _, n in self.model.hierarchy_.nodes(data=True)]
        return sum(n.coef_.nbytes for n in nodes if hasattr(n, "coef_")) / 1e6


METHODS = {
    "ours": ("本项目", Ours),
    "centroid": ("TF-IDF 质心", Centroid),
    "svc": ("TF-IDF + LinearSVC", LinearSvc),
    "logistic": ("TF-IDF + 逻辑回归（SGD）", Logistic),
    "fasttext": ("fastText（rjieba 分词）", FastText),
    "fasttext-softmax": ("fastText（softmax）", FastTextSoftmax),
    "omikuji": ("omikuji（Parabel）", Omikuji),
    "hiclass": ("HiClass（LinearSVC）", HiClass),
    "pecos": ("PECOS（XR-Linear）", Pecos),
}


def cold_data(args):
    from jiesu_nlp.catalogue import read_catalogue

    catalogue = read_catalogue(ROOT / "taxonomy" / "catalogue")
    rng = random.Random(5)
    texts, labels = [], []
    for row, leaf in enumerate(catalogue.leaves):
        says = list(leaf.says)
        if args.per_leaf:
            says = rng.sample(says, min(max(args.per_leaf - 2, 0), len(says)))
        lines = [leaf.name, leaf.definition, *says][: args.per_leaf or None]
        texts += lines
        labels += [row] * len(lines)
    row_of = {c.code: i for i, c in enumerate(catalogue.classes)}
    parents = [row_of[leaf.class_code] for leaf in catalogue.leaves]
    gold = (ROOT / "tests" / "gold" / "tickets.jsonl").read_text(encoding="utf-8").splitlines()
    test, answers = [], []
    for ticket in map(json.loads, gold):
        codes = (ticket["code"], *ticket["codes_ok"], *ticket["also"])
        test.append(ticket["text"])
        answers.append([catalogue.index[c] for c in codes])
    return texts, labels, parents, test, answers


def zipf_data(args):
    from benchmarks.synthetic import make_world, tickets

    world = make_world(args.leaves)
    row_of = {path: i for i, path in enumerate(world.paths)}
    train = list(tickets(world, args.tickets, seed=11, floor=3))
    test = list(tickets(world, max(args.tickets // 10, 1000), seed=12, noise=0.0))[:_MOST_TEST]
    return (
        [t["text"] for t in train],
        [row_of[t["path"]] for t in train],
        world.class_of,
        [t["text"] for t in test],
        [[row_of[t["path"]]] for t in test],
    )


def file_data(args):
    """Two files of labelled tickets with a scheme of their own."""
    from training.labels import LabelBook
    from training.taxonomies import labels_of_data
    from training.texts import class_rows
    from training.tickets import LabelledTicket, read_tickets

    catalogue = labels_of_data([args.train, args.test])
    book = LabelBook(catalogue)
    parts = [
        [t for t in read_tickets([path], book) if isinstance(t, LabelledTicket)]
        for path in (args.train, args.test)
    ]
    return (
        [t.text for t in parts[0]],
        [catalogue.index[t.code] for t in parts[0]],
        class_rows(catalogue).tolist(),
        [t.text for t in parts[1]],
        [[catalogue.index[c] for c in t.codes] for t in parts[1]],
    )


def peak_megabytes():
    """Return this process's own peak; ``ru_maxrss`` would count what the parent held at the start."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1e3


def mapped_error(confidence, right):
    """Return the ECE after an isotonic map, fitted on one half of the test and judged on the other.

    The same for every method, since some give no probabilities at all.
    """
    from training.calibration import monotone_map
    from training.metrics import calibration_error

    order = np.random.default_rng(3).permutation(len(right))
    halves = np.array_split(order, 2)
    mapped = np.empty(len(right))
    for fitted, judged in (halves, halves[::-1]):
        low, high = confidence[fitted].min(), confidence[fitted].max()
        scaled = np.clip((confidence - low) / max(high - low, 1e-12), 0, 1)
        to_p = monotone_map(scaled[fitted], right[fitted], np.ones(len(fitted)))
        mapped[judged] = [to_p(v) for v in scaled[judged]]
    return calibration_error(mapped, right)


def run_one(name, path, most):
    """In a process of its own: fit, measure, print one JSON line."""
    from training.metrics import calibration_error, macro_f1

    texts, labels, parents, test, answers = json.loads(path.read_text(encoding="utf-8"))
    if most and most < len(texts):
        kept = sorted(random.Random(1).sample(range(len(texts)), most))
        texts, labels = [texts[i] for i in kept], [labels[i] for i in kept]
    labels, parents = np.array(labels, np.int64), np.array(parents, np.int64)
    data = peak_megabytes()
    method = METHODS[name][1]()
    started, used = time.perf_counter(), time.process_time()
    method.fit(texts, labels, parents)
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    peak = peak_megabytes()
    found, confidence = method.best(test)
    started = time.perf_counter()
    method.best(test)
    rate = len(test) / (time.perf_counter() - started)
    single = []
    for text in test[:_SINGLE]:
        started = time.perf_counter()
        method.best([text])
        single.append(time.perf_counter() - started)
    right = np.array([[g in a for g in row] for row, a in zip(found, answers, strict=True)])
    truth = np.array([a[0] for a in answers])
    guess = np.where(right[:, 0], truth, found[:, 0])
    first = right[:, 0].astype(float)
    known = not np.isnan(confidence).any()
    result = {
        "texts": len(texts),
        "top1": float(first.mean()),
        "top5": float(right.any(axis=1).mean()) if found.shape[1] > 1 else None,
        "level1": float(
            np.mean([parents[g] in parents[a] for g, a in zip(found[:, 0], answers, strict=True)])
        ),
        "macro_f1": macro_f1(truth, guess),
        "ece": calibration_error(confidence, first) if known else None,
        "ece_mapped": mapped_error(confidence, first) if known else None,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "peak_mb": peak,
        "data_mb": data,
        "model_mb": method.megabytes(),
        "p50_ms": statistics.median(single) * 1e3,
        "rate": rate,
    }
    print("RESULT " + json.dumps(result))


def line_of(name, r, trained_on):
    """Return one line of the table; ``r`` is a result or why there is none."""
    title = METHODS[name][0]
    if isinstance(r, str):
        return f"| {title} | {r} |" + " |" * 11
    if r["texts"] < trained_on:
        title += f"，抽 {r['texts']} 条"

    def share(value):
        return "–" if value is None else f"{value:.1%}"

    def error(value):
        return "–" if value is None else f"{value:.3f}"

    return (
        f"| {title} | {share(r['top1'])} | {share(r['top5'])} | {share(r['level1'])} "
        f"| {share(r['macro_f1'])} | {error(r['ece'])} | {error(r['ece_mapped'])} "
        f"| {r['seconds']:.0f} | {r['cpu_seconds']:.0f} | {r['peak_mb']:.0f} "
        f"| {r['model_mb']:.0f} | {r['p50_ms']:.2f} | {r['rate']:.0f} |"
    )


def measured(name, path, most, limit):
    """Run one method in a process of its own; return its figures or why there are none."""
    command = [sys.executable, __file__, "--one", name, str(path), str(most)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return f"超过 {limit:.0f} 秒"
    line = next((x for x in done.stdout.splitlines() if x.startswith("RESULT ")), None)
    if line is not None:
        return json.loads(line[7:])
    sys.stderr.write(done.stderr)
    last = (done.stderr.strip().splitlines() or [f"退出码 {done.returncode}"])[-1]
    absent = re.fullmatch(r"ModuleNotFoundError: No module named '(\w+).*'", last)
    return f"没有安装 {absent[1]}" if absent else f"失败：{last[:80]}"


HEAD = (
    "| 方法 | 首位 | 前五 | 一级类 | 宏 F1 | ECE（原始） | ECE（保序后） | 训练秒 | CPU 秒 "
    "| 内存峰值 MB | 模型 MB | p50 毫秒 | 件/秒 |\n" + "|---" * 13 + "|"
)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=("cold", "zipf", "file"), default="zipf")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--per-leaf", type=int, default=12, help="cold：每类几条；0 为全部")
    parser.add_argument("--tickets", type=int, default=200_000)
    parser.add_argument("--leaves", type=int, default=2240)
    parser.add_argument("--train", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--most", action="append", default=[], help="方法=最多几条训练文本")
    parser.add_argument("--limit", type=float, default=1200, help="每个方法最多多少秒")
    parser.add_argument("--markdown", type=Path, help="表格也写到这个文件，量完一个写一行")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        run_one(args.one[0], Path(args.one[1]), int(args.one[2]))
        return
    data = {"cold": cold_data, "zipf": zipf_data, "file": file_data}[args.task](args)
    texts, _, parents, test, _ = data
    most = {name: int(number) for name, _, number in (m.partition("=") for m in args.most)}
    lines = [
        f"训练 {len(texts)} 条，类目 {len(parents)} 个，评测 {len(test)} 条，{os.cpu_count()} 核\n",
        HEAD,
    ]
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.json"
        path.write_text(json.dumps(data), encoding="utf-8")
        for name in args.methods.split(","):
            result = measured(name, path, most.get(name, 0), args.limit)
            lines.append(line_of(name, result, len(texts)))
            print(lines[-1], flush=True)
            if args.markdown:
                args.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
