from collections import Counter

import numpy as np
import pytest

from jiesu_nlp.emergency import gates_of
from jiesu_nlp.errors import DataError
from jiesu_nlp.vocabulary import Gate
from training.calibration import read_labelled_tickets
from training.emergency import (
    DEVELOPMENT,
    FALSE_ALARMS,
    KINDS,
    PLAIN_WORDS,
    fit_emergency,
    fit_scorer,
    ordinary_tickets,
    read_emergencies,
    sample_says,
)


@pytest.fixture(scope="module")
def scorer(knowledge):
    return fit_emergency(knowledge.catalogue)


def test_there_are_enough_texts_of_every_kind_and_none_twice():
    kinds, texts = read_emergencies()
    count = Counter(kinds)
    assert count["none"] >= 500
    assert sum(count[k] for k in KINDS) >= 400
    assert all(count[k] >= 40 for k in KINDS)
    assert len(set(texts)) == len(texts)


def test_no_text_is_a_calibration_ticket():
    _, texts = read_emergencies()
    assert not {t.text for t in read_labelled_tickets()} & set(texts)


def test_the_same_data_give_the_same_scorer(scorer, knowledge):
    again = fit_emergency(knowledge.catalogue)
    assert again.threshold == scorer.threshold
    assert again.to_files() == scorer.to_files()


def test_the_threshold_keeps_its_promise_on_ordinary_texts(scorer, knowledge):
    unseen = [*ordinary_tickets(), *sample_says(knowledge.catalogue)[1]]
    alarms = [scorer.alarm(text).kind != "none" for text in unseen]
    assert np.mean(alarms) <= FALSE_ALARMS


def test_emergencies_it_never_saw_are_told_from_near_misses(knowledge, scorer):
    kinds, texts = read_emergencies()
    says, _ = sample_says(knowledge.catalogue, 2000)
    held_out = range(0, len(texts), 4)
    kept = [i for i in range(len(texts)) if i % 4]
    part = fit_scorer(
        [kinds[i] for i in kept], [texts[i] for i in kept], says, threshold=scorer.threshold
    )
    alarm = {i: part.alarm(texts[i]).kind != "none" for i in held_out}
    found = np.mean([alarm[i] for i in held_out if kinds[i] != "none"])
    false = np.mean([alarm[i] for i in held_out if kinds[i] == "none"])
    assert found > 0.5
    assert false < 0.15


def raised_of(path, knowledge, scorer):
    """Return the share of emergencies of a file that raise the gate, and of its near misses."""
    kinds, texts = read_emergencies(path)
    assert not set(texts) & set(read_emergencies()[1])
    gates = gates_of(texts, knowledge.gates, scorer)
    raised = np.array([gate.kind == Gate.EMERGENCY for gate, _ in gates])
    danger = np.array([kind != "none" for kind in kinds])
    return raised[danger].mean(), raised[~danger].mean()


def test_there_are_enough_development_texts_and_none_is_in_both():
    plain, seen = read_emergencies(PLAIN_WORDS), read_emergencies(DEVELOPMENT)
    assert not set(plain[1]) & set(seen[1])
    for kinds, _ in (plain, seen):
        assert kinds.count("none") >= 200
        assert all(kinds.count(kind) >= 13 for kind in KINDS)


def test_words_and_score_together_on_the_development_texts(knowledge, scorer):
    found, false = raised_of(DEVELOPMENT, knowledge, scorer)
    assert found >= 0.93
    assert false <= 0.03, "hard near misses: ordinary texts raise it far less"


def test_danger_told_without_its_textbook_words(knowledge, scorer):
    found, false = raised_of(PLAIN_WORDS, knowledge, scorer)
    assert found >= 0.68, "before the scorer learned such texts it found 0.58"
    assert false <= 0.06, "hard near misses: ordinary texts raise it far less"


def test_few_ordinary_texts_raise_the_gate(knowledge, scorer):
    texts = (*ordinary_tickets(), *sample_says(knowledge.catalogue)[1][:5000])
    gates = gates_of(texts, knowledge.gates, scorer)
    raised = [gate.kind == Gate.EMERGENCY for gate, _ in gates]
    assert np.mean(raised) <= 1.5 * FALSE_ALARMS, "some of these says are cries for help themselves"


@pytest.mark.parametrize("line", ["火\t着火了", "119着火了", "119\t "])
def test_a_bad_line_is_named(tmp_path, line):
    path = tmp_path / "emergency.tsv"
    path.write_text(f"kind\ttext\nnone\t你好\n{line}\n", "utf-8")
    with pytest.raises(DataError) as caught:
        read_emergencies(path)
    assert caught.value.line == 3
