from __future__ import annotations

import pickle

import numpy as np
import pytest

from backtest.engine import LatencyModel, RunOptions, run
from backtest.evaluator import TapeEvaluator, TapeEvaluatorFactory, ordered
from backtest.optimizer.compute import compute_on
from backtest.optimizer.evaluate import QUEUE_MODELS, evaluate
from backtest.tape import tape_key
from shared.config import MMConfig, load_config
from tests.backtest.small_sample import small_tapes, tapes_folder

OPTIONS = RunOptions(order=LatencyModel(0.05), cancel=LatencyModel(0.2), seed=4)
BOTH = np.array([0, 1])


def factory_of() -> TapeEvaluatorFactory:
    folders = tuple(sorted(tapes_folder().iterdir()))
    return TapeEvaluatorFactory(folders, OPTIONS, tape_key(load_config()))


def test_a_period_earns_what_a_run_of_it_alone_earns_under_each_queue() -> None:
    config, tapes = load_config(), small_tapes()
    found = TapeEvaluator(tapes, OPTIONS, tape_key(config))(config, np.array([1, 0, 1])).pnl_usd
    assert found.shape == (3, len(QUEUE_MODELS))
    for column, queue in enumerate(QUEUE_MODELS):
        alone = [run([tape], config, OPTIONS._replace(queue=queue)).pnl_usd[0] for tape in tapes]
        assert found[:, column].tolist() == [alone[1], alone[0], alone[1]]
    assert len(set(found.ravel().tolist())) > 1


def test_a_setting_of_the_second_pass_alone_changes_the_answer() -> None:
    evaluator = TapeEvaluator(small_tapes(), OPTIONS, tape_key(load_config()))
    flat = MMConfig.model_validate({"techniques": {"tiers": False}})
    one_layer, usual = (evaluator(each, BOTH).pnl_usd for each in (flat, load_config()))
    assert one_layer.tolist() != usual.tolist()


def test_a_configuration_that_needs_other_tapes_is_refused() -> None:
    evaluator = TapeEvaluator(small_tapes(), OPTIONS, tape_key(load_config()))
    with pytest.raises(ValueError, match="needs tapes of its own"):
        evaluator(MMConfig.model_validate({"limits": {"book_s": 1.0}}), BOTH)


def test_the_factory_is_pickled_and_compared_and_reads_periods_in_order() -> None:
    factory = factory_of()
    again = pickle.loads(pickle.dumps(factory))
    assert again == factory
    assert hash(again) == hash(factory)
    backward = factory._replace(folders=factory.folders[::-1])
    config = load_config()
    expected = TapeEvaluator(small_tapes(), OPTIONS, factory.key)(config, BOTH).pnl_usd
    assert again()(config, BOTH).pnl_usd.tolist() == backward()(config, BOTH).pnl_usd.tolist() == expected.tolist()


def test_processes_of_the_optimizer_find_the_same() -> None:
    config, factory = load_config(), factory_of()
    with compute_on(workers=2) as compute:
        futures = [compute.executor.submit(evaluate, factory, config, np.array([place])) for place in (0, 1)]
        elsewhere = np.concatenate([each.result() for each in futures])
    assert elsewhere.tolist() == evaluate(factory, config, BOTH).tolist()


def test_tapes_are_put_in_order_of_their_start() -> None:
    tapes = small_tapes()
    assert [each.slug for each in ordered(tapes[::-1])] == [each.slug for each in tapes]
