"""Interrupted runs, several processes, early stopping, long tail: the loop without the export."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from jiesu_nlp.errors import DataError, UsageError
from tests.training.encoder.conftest import CLASS_OF, GROUP_OF
from training.encoder import loop
from training.encoder import state as states
from training.encoder.checkpoint import open_checkpoint
from training.encoder.network import HierarchyLoss, LeafNetwork, parameter_groups
from training.encoder.options import EncoderData, EncoderOptions, LongTail, Precision

ROOT = Path(__file__).resolve().parents[3]


def silent(stage, done):
    pass


class InterruptedRunError(Exception):
    pass


def interrupt_at(step, steps):
    def progress(stage, done):
        if stage.startswith("微调") and done >= step / steps:
            raise InterruptedRunError

    return progress


def weights_of(fitted):
    return fitted.network.state_dict()


@pytest.fixture(scope="module")
def opened(checkpoint):
    return open_checkpoint(checkpoint)


@pytest.fixture(scope="module")
def short(quick):
    return replace(quick, epochs=2, save_every=4, patience=9)


@pytest.fixture(scope="module")
def whole(toy, opened, short, tmp_path_factory):
    return loop.fit_network(toy, opened, tmp_path_factory.mktemp("whole"), short, silent)


@pytest.mark.parametrize("at", [6, 15])
def test_resumed_run_ends_with_the_same_weights(toy, opened, short, whole, tmp_path, at):
    steps = 2 * -(-len(toy.texts) // short.batch)
    with pytest.raises(InterruptedRunError):
        loop.fit_network(toy, opened, tmp_path, short, interrupt_at(at, steps))
    # A process killed while saving leaves this behind.
    (tmp_path / ".state-half").mkdir()
    (tmp_path / ".state-half" / "network.safetensors").write_bytes(b"half")
    again = loop.fit_network(toy, opened, tmp_path, short, silent)
    assert not (tmp_path / ".state-half").exists()
    assert 0 < again.resumed_at < at
    assert again.history == whole.history
    for key, value in weights_of(whole).items():
        assert torch.equal(value, weights_of(again)[key]), key


def test_states_hold_no_pickle_and_only_the_newest_stays(toy, opened, short, tmp_path):
    loop.fit_network(toy, opened, tmp_path, short, silent)
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert {p.suffix for p in files} <= {".safetensors", ".json"}
    assert len(list(tmp_path.glob("state-*"))) == 1
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_finished_run_is_not_trained_again(toy, opened, short, whole, tmp_path):
    loop.fit_network(toy, opened, tmp_path, short, silent)
    stages = []
    again = loop.fit_network(toy, opened, tmp_path, short, lambda s, d: stages.append(s))
    assert not [s for s in stages if s.startswith("微调")]
    assert again.history == whole.history


def test_state_of_another_run_is_refused(toy, opened, short, tmp_path):
    loop.fit_network(toy, opened, tmp_path, short, silent)
    with pytest.raises(DataError, match="另一次训练"):
        loop.fit_network(toy, opened, tmp_path, replace(short, seed=5), silent)


def test_damaged_state_is_named(toy, opened, short, tmp_path):
    loop.fit_network(toy, opened, tmp_path, short, silent)
    (state,) = tmp_path.glob("state-*")
    (state / "optimizer.safetensors").write_bytes(b"\0" * 40)
    with pytest.raises(DataError, match="损坏"):
        loop.fit_network(toy, opened, tmp_path, short, silent)


def test_full_disk_leaves_the_previous_state(toy, opened, short, tmp_path, monkeypatch):
    steps = 2 * -(-len(toy.texts) // short.batch)
    with pytest.raises(InterruptedRunError):
        loop.fit_network(toy, opened, tmp_path, short, interrupt_at(6, steps))
    before = sorted(p.name for p in tmp_path.iterdir())

    def full(tensors, path):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(states, "save_file", full)
    with pytest.raises(DataError, match="写不进磁盘"):
        loop.fit_network(toy, opened, tmp_path, short, silent)
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_early_stopping_keeps_the_best(toy, opened, quick, tmp_path):
    # So high a rate cannot get better for long.
    wild = replace(quick, epochs=30, patience=1, learning_rate=0.05)
    found = loop.fit_network(toy, opened, tmp_path, wild, silent)
    scores = [h["held_out_top1"] for h in found.history]
    assert len(scores) < 30
    assert scores[found.best_epoch - 1] == max(scores)
    assert len(scores) == found.best_epoch + 1


def test_bf16_learns_and_fp16_is_refused_on_a_cpu(toy, opened, quick, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("about the CPU")
    found = loop.fit_network(
        toy, opened, tmp_path / "a", replace(quick, epochs=1, precision=Precision.BF16), silent
    )
    assert found.precision == "bf16"
    assert all(v.dtype is torch.float32 for v in found.network.parameters())
    with pytest.raises(UsageError, match="fp16"):
        loop.fit_network(
            toy, opened, tmp_path / "b", replace(quick, precision=Precision.FP16), silent
        )


def test_rates_grow_with_depth_and_norms_do_not_decay(opened):
    network = LeafNetwork(opened.encoder(), 7, 0.1)
    options = EncoderOptions(learning_rate=1e-4, layer_decay=0.5, head_factor=10)
    groups = parameter_groups(network, options)
    by_parameter = {id(p): g for g in groups for p in g["params"]}
    found = {n: by_parameter[id(p)] for n, p in network.named_parameters()}
    assert found["encoder.embeddings.word_embeddings.weight"]["peak"] == pytest.approx(2.5e-5)
    assert found["encoder.encoder.layer.0.output.dense.weight"]["peak"] == pytest.approx(5e-5)
    assert found["encoder.encoder.layer.1.output.dense.weight"]["peak"] == pytest.approx(1e-4)
    assert found["head.weight"]["peak"] == pytest.approx(1e-3)
    assert found["encoder.encoder.layer.1.output.LayerNorm.weight"]["weight_decay"] == 0
    assert found["head.bias"]["weight_decay"] == 0
    assert sum(len(g["params"]) for g in groups) == len(list(network.parameters()))


def loss_for(logits, row, **options):
    data = EncoderData(["一", "二"] * 3, np.arange(6), CLASS_OF, GROUP_OF)
    plain = EncoderOptions(smoothing=0.0, long_tail=LongTail.NONE, **options)
    loss = HierarchyLoss(data, plain, torch.device("cpu"))
    return float(loss(torch.tensor([logits]), torch.tensor([row]))[0])


def test_a_sibling_costs_less_than_a_stranger():
    # Leaf 0 is right; leaf 1 is of its group, leaf 2 of its class, leaf 5 a stranger.
    sibling, cousin, stranger = (
        loss_for([0.0] * at + [4.0] + [0.0] * (6 - at), 0, class_loss=0.5, group_loss=0.5)
        for at in (1, 2, 5)
    )
    assert sibling < cousin < stranger
    flat = [
        loss_for([0.0] * at + [4.0] + [0.0] * (6 - at), 0, class_loss=0, group_loss=0)
        for at in (1, 5)
    ]
    assert flat[0] == pytest.approx(flat[1])


def test_parent_loss_is_that_of_the_summed_probability():
    logits = np.array([1.0, 2.0, 0.5, -1.0, 0.3, 0.0, 0.2])
    p = np.exp(logits) / np.exp(logits).sum()
    whole = loss_for(logits.tolist(), 4, class_loss=0.4, group_loss=0.2)
    expected = -np.log(p[4]) - 0.4 * np.log(p[3:6].sum()) - 0.2 * np.log(p[4:6].sum())
    assert whole == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("tail", [LongTail.BALANCED_SOFTMAX, LongTail.CLASS_WEIGHTS])
def test_long_tail_lifts_the_rare_leaf(tail):
    """With features that say nothing, the plain loss follows the prior; the others do so less."""
    rows = np.array([0] * 95 + [1] * 5)
    data = EncoderData(["字"] * 100, rows, np.array([0, 0]), np.array([0, 0]))

    def rare_probability(kind):
        options = EncoderOptions(long_tail=kind, smoothing=0, class_loss=0, group_loss=0)
        loss = HierarchyLoss(data, options, torch.device("cpu"))
        bias = torch.zeros(3, requires_grad=True)
        optimiser = torch.optim.Adam([bias], lr=0.05)
        for _ in range(400):
            optimiser.zero_grad()
            loss(bias.expand(100, 3), torch.from_numpy(rows)).mean().backward()
            optimiser.step()
        return float(torch.softmax(bias[:2].detach(), 0)[1])

    assert rare_probability(LongTail.NONE) == pytest.approx(0.05, abs=0.01)
    assert rare_probability(tail) > 0.3


_WORKER = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from dataclasses import replace
from tests.training.encoder.conftest import CLASS_OF, GROUP_OF, sentences
from training.encoder import loop
from training.encoder.checkpoint import open_checkpoint
from training.encoder.options import EncoderData, EncoderOptions
from training.encoder.state import save_weights
texts, rows = sentences(7, 0)
held, held_rows = sentences(3, 1)
data = EncoderData(texts, rows, CLASS_OF, GROUP_OF, None, held, held_rows)
options = EncoderOptions(epochs=2, batch=16, max_length=48, learning_rate=1e-3, dropout=0.0)
found = loop.fit_network(data, open_checkpoint(Path({checkpoint!r})), Path({run!r}), options, lambda s, d: None)
if found is not None:
    assert found.processes == {processes}
    save_weights(found.network, Path({target!r}))
"""


@pytest.mark.slow
def test_two_processes_compute_what_one_does(tmp_path):
    """``torchrun`` with gloo: gradients are averaged over the whole batch, not per process."""
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    from tests.training.encoder.conftest import build_checkpoint

    folder = build_checkpoint(tmp_path / "ck")
    config = BertConfig.from_pretrained(folder)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    results = []
    for processes in (1, 2):
        target = tmp_path / f"{processes}.safetensors"
        script = tmp_path / f"worker{processes}.py"
        script.write_text(
            _WORKER.format(
                root=str(ROOT),
                checkpoint=str(folder),
                run=str(tmp_path / f"run{processes}"),
                target=str(target),
                processes=processes,
            ),
            encoding="utf-8",
        )
        # A fixed meeting place on loopback: the host's own name need not resolve.
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        launch = [sys.executable, "-m", "torch.distributed.run", "--nnodes=1"]
        launch += ["--master-addr=127.0.0.1", f"--master-port={port}"]
        command = [*launch, f"--nproc_per_node={processes}", str(script)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "CUDA_VISIBLE_DEVICES": "",
                "GLOO_SOCKET_IFNAME": "lo",
            },
        )
        assert done.returncode == 0, done.stderr[-3000:]
        results.append(load_file(target))
    one, two = results
    assert one.keys() == two.keys()
    for key, value in one.items():
        assert torch.allclose(value, two[key], atol=2e-4), key
