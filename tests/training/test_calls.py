from dataclasses import replace

import pytest

from jiesu_nlp.errors import DataError
from training.calls import Call, filed_calls, read_calls, training_calls
from training.texts import catalogue_texts


@pytest.mark.parametrize("line", ["火\t着火了", "119着火了", "119\t ", "119\t着火了\t火情\t多"])
def test_a_bad_line_is_named(tmp_path, line):
    path = tmp_path / "emergency.tsv"
    path.write_text(f"kind\ttext\tleaf\nnone\t你好\n{line}\n", "utf-8")
    with pytest.raises(DataError) as caught:
        read_calls(path)
    assert caught.value.line == 3


def test_the_leaf_may_be_missing(tmp_path):
    path = tmp_path / "emergency.tsv"
    path.write_text(
        "kind\ttext\tleaf\n119\t着火了\t火情冒烟求助\n119\t冒烟了\t\n119\t烧了\n", "utf-8"
    )
    assert read_calls(path) == [
        Call("119", "着火了", "火情冒烟求助"),
        Call("119", "冒烟了"),
        Call("119", "烧了"),
    ]


def test_every_leaf_named_is_in_the_catalogue(knowledge):
    names = {leaf.name for leaf in knowledge.catalogue.leaves}
    named = {call.leaf for call in training_calls() if call.leaf}
    assert len(named) >= 100
    assert named <= names


def test_filed_calls_teach_their_leaf_and_no_other(knowledge):
    catalogue = knowledge.catalogue
    filed = filed_calls(catalogue)
    texts, rows = catalogue_texts(catalogue)
    taught = set(zip(texts, rows.tolist(), strict=True))
    for row, leaf in enumerate(catalogue.leaves):
        assert {(text, row) for text in filed[leaf.code]} <= taught


def test_a_code_of_another_catalogue_gets_no_calls(knowledge):
    """Another city's 12-02-001 may be anything; only leaves of the same name are taught."""
    catalogue = knowledge.catalogue
    other = replace(
        catalogue,
        leaves=tuple(replace(leaf, name=f"{leaf.name}（甲市）") for leaf in catalogue.leaves),
    )
    assert not any(filed_calls(other).values())
