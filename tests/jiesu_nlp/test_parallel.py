from __future__ import annotations

import gc
from copy import deepcopy

import pytest

from jiesu_nlp.errors import UsageError
from jiesu_nlp.garbage import no_collection

TEXTS = [f"{n}号楼三单元楼道灯不亮" for n in range(1, 60)]


def plain(suggestions) -> list[dict]:
    rows = [s.to_dict() for s in suggestions]
    for row in rows:
        row.pop("elapsed_ms")
    return rows


def test_processes_answer_in_order_as_one_does(dispatcher):
    alone = plain(dispatcher.suggest_many(TEXTS, batch_size=16))
    together = plain(dispatcher.suggest_many(TEXTS, batch_size=16, workers=2))
    assert together == alone


def test_a_bad_ticket_stops_the_stream_with_its_reason(dispatcher):
    with pytest.raises(UsageError, match="为空"):
        list(dispatcher.suggest_many([*TEXTS, "  "], batch_size=16, workers=2))


def test_leaving_early_leaves_no_process_waiting(dispatcher):
    stream = dispatcher.suggest_many(iter(TEXTS), batch_size=4, workers=2)
    assert next(stream).demands
    stream.close()


def test_a_suggestion_survives_the_way_between_processes(dispatcher):
    suggestion = dispatcher.suggest("海淀区学院路和通州区八里桥两处路灯都不亮")
    # A deep copy takes the way of pickling, which carries answers between processes.
    assert deepcopy(suggestion) == suggestion


def test_answering_leaves_no_cycles_behind(dispatcher):
    list(dispatcher.suggest_many(TEXTS[:4]))
    gc.collect()
    list(dispatcher.suggest_many(TEXTS))
    assert gc.collect() < len(TEXTS)


@pytest.mark.parametrize("enabled", [True, False])
def test_collection_is_as_it_was_after_a_failure(enabled):
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(RuntimeError), no_collection():
            assert not gc.isenabled()
            raise RuntimeError
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
