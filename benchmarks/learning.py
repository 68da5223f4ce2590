"""Our classifier beside the usual ones: same data, same split, same machine, from raw text.

    .venv/bin/python benchmarks/learning.py [--task cold|zipf|file] [--methods ours,fasttext,…]
        [--tickets 20000] [--leaves 300] [--train F --test F] [--markdown 表.md]

``cold`` trains on the catalogue (names, definitions, says) and judges on ``tests/gold``; ``zipf``
trains on synthetic tickets with Zipf priors and 10 % wrong labels and judges on clean ones. Every
method runs in a process of its own. Timings on shared cores are noisy: read the ratios. Peers run
with their defaults or the usual published setting, none is tuned, ours neither; a peer that is not
installed is left out:

    pip install scikit-learn fasttext-numpy2 omikuji hiclass
"""

from __future__ import annotations

import argparse
import json
import os
import resource
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
        from jiesu_nlp.text.normalise import normalise
        from training.low_rank import fit, recipe_for

        self.clean = lambda ts: [normalise(t).text for t in ts]
        recipe = recipe_for(len(parents), len(texts))
        self.model = fit(self.clean(texts), labels, parents, recipe=recipe)

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
        # The best of three settings tried on the cold start (see docs/训练与评测.md).
        self.model = fasttext.train_supervised(
            str(path), dim=100, epoch=50, lr=1.0, loss="hs", thread=2, verbose=0
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
    "omikuji": ("omikuji（Parabel）", Omikuji),
    "hiclass": ("HiClass（LinearSVC）", HiClass),
}
NEEDS = {"fasttext": "fasttext", "omikuji": "omikuji", "hiclass": "hiclass", "svc": "sklearn"}


def cold_data(_):
    from jiesu_nlp.catalogue import read_catalogue

    catalogue = read_catalogue(ROOT / "taxonomy" / "catalogue")
    texts, labels = [], []
    for row, leaf in enumerate(catalogue.leaves):
        lines = (leaf.name, leaf.definition, *leaf.says)
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
    test = list(tickets(world, max(args.tickets // 10, 1000), seed=12, noise=0.0))
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


def run_one(name, path):
    """In a process of its own: fit, measure, print one JSON line."""
    from training.metrics import calibration_error, macro_f1

    texts, labels, parents, test, answers = json.loads(path.read_text(encoding="utf-8"))
    labels, parents = np.array(labels, np.int64), np.array(parents, np.int64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    method = METHODS[name][1]()
    started = time.perf_counter()
    method.fit(texts, labels, parents)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found, confidence = method.best(test)
    started = time.perf_counter()
    method.best(test)
    rate = len(test) / (time.perf_counter() - started)
    single = []
    for text in test[:300]:
        started = time.perf_counter()
        method.best([text])
        single.append(time.perf_counter() - started)
    right = np.array([[g in a for g in row] for row, a in zip(found, answers, strict=True)])
    truth = np.array([a[0] for a in answers])
    guess = np.where(right[:, 0], truth, found[:, 0])
    known = not np.isnan(confidence).any()
    result = {
        "top1": float(right[:, 0].mean()),
        "top5": float(right.any(axis=1).mean()) if found.shape[1] > 1 else None,
        "level1": float(
            np.mean([parents[g] in parents[a] for g, a in zip(found[:, 0], answers, strict=True)])
        ),
        "macro_f1": macro_f1(truth, guess),
        "ece": calibration_error(confidence, right[:, 0].astype(float)) if known else None,
        "seconds": seconds,
        "peak_mb": peak / 1e3,
        "data_mb": before / 1e3,
        "model_mb": method.megabytes(),
        "p50_ms": statistics.median(single) * 1e3,
        "rate": rate,
    }
    print("RESULT " + json.dumps(result))


def table(results):
    head = "| 方法 | 首位 | 前五 | 一级类 | 宏 F1 | ECE（原始） | 训练秒 | 内存峰值 MB | 模型 MB | p50 毫秒 | 件/秒 |"
    lines = [head, "|" + "---|" * 11]
    for name, r in results.items():
        if isinstance(r, str):
            lines.append(f"| {METHODS[name][0]} | {r} |" + " |" * 9)
            continue
        five = "–" if r["top5"] is None else f"{r['top5']:.1%}"
        ece = "–" if r["ece"] is None else f"{r['ece']:.3f}"
        lines.append(
            f"| {METHODS[name][0]} | {r['top1']:.1%} | {five} | {r['level1']:.1%} | {r['macro_f1']:.1%} "
            f"| {ece} | {r['seconds']:.0f} | {r['peak_mb']:.0f} | {r['model_mb']:.0f} "
            f"| {r['p50_ms']:.2f} | {r['rate']:.0f} |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=("cold", "zipf", "file"), default="zipf")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--tickets", type=int, default=20_000)
    parser.add_argument("--leaves", type=int, default=300)
    parser.add_argument("--train", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--limit", type=float, default=600, help="每个方法最多多少秒")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        run_one(args.one[0], Path(args.one[1]))
        return
    data = {"cold": cold_data, "zipf": zipf_data, "file": file_data}[args.task](args)
    texts, _, parents, test, _ = data
    print(f"训练 {len(texts)} 条，类目 {len(parents)} 个，评测 {len(test)} 条，{os.cpu_count()} 核")
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.json"
        path.write_text(json.dumps(data), encoding="utf-8")
        for name in args.methods.split(","):
            command = [sys.executable, __file__, "--one", name, str(path)]
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=args.limit, check=False
                )
            except subprocess.TimeoutExpired:
                results[name] = f"超过 {args.limit:.0f} 秒"
                continue
            line = next((x for x in done.stdout.splitlines() if x.startswith("RESULT ")), None)
            if line is None:
                last = (done.stderr.strip().splitlines() or ["?"])[-1]
                results[name] = "未安装" if "ModuleNotFoundError" in last else f"失败：{last[:60]}"
                continue
            results[name] = json.loads(line[7:])
            print(METHODS[name][0], {k: round(v, 3) if v else v for k, v in results[name].items()})
    text = table(results)
    print(text)
    if args.markdown:
        args.markdown.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
