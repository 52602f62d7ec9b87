"""Between two levels each weight goes from the device to the host once and back once."""

from collections import Counter

import pytest
import tiny

from tf_lottery.callbacks import LotteryTicket
from tf_lottery.core import masks as masks_lib
from tf_lottery.core.pruning import next_masks
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, model_masks, naming, state


def prunable():
    model = conversion.make_prunable(tiny.dense())
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), tiny.loss())
    model.optimizer.build(model.trainable_variables)
    return model


class Transfers:
    """Counts how often each variable is turned into an array and assigned to, by its id."""

    def __init__(self, monkeypatch):
        self.reads, self.writes = Counter(), Counter()
        for method, counter in (("numpy", self.reads), ("__array__", self.reads), ("assign", self.writes)):
            self._watch(monkeypatch, method, counter)

    def _watch(self, monkeypatch, method, counter):
        kind = type(prunable().weights[0])
        original = getattr(kind, method)

        def counted(variable, *args, **kwargs):
            counter[id(variable)] += 1
            return original(variable, *args, **kwargs)

        monkeypatch.setattr(kind, method, counted)

    def forget(self):
        self.reads.clear(), self.writes.clear()

    def of(self, model):
        """Reads and writes of each weight of `model`, by name."""
        return {
            name: (self.reads[id(variable)], self.writes[id(variable)])
            for name, variable in naming.named_variables(model).items()
        }


@pytest.fixture
def transfers(monkeypatch):
    return Transfers(monkeypatch)


def test_prune_and_rewind_read_each_weight_once_and_write_it_once(transfers):
    model = prunable()
    at_k, masks = state.capture(model, model.optimizer), model_masks.get_masks(model)
    transfers.forget()
    trained = state.trained_weights(model)
    new = next_masks(at_k["weights"], trained, masks, criterion="magnitude", fraction=0.2, scope="global", rng=None)
    started = state.restore(at_k, model, model.optimizer, new)
    assert set(transfers.of(model).values()) == {(1, 1)}
    now = state.weights(model)
    for name, array in masks_lib.apply(at_k["weights"], new).items():
        assert array.tobytes() == now[name].tobytes() == started[name].tobytes()


@pytest.mark.parametrize("settings", [{"rewind": "weights"}, {"rewind": "learning_rate"}, {"reset_optimizer": True}])
def test_one_more_level_of_a_fit_reads_each_weight_once_and_writes_it_once(transfers, settings):
    counts = []
    for levels in (1, 2):
        model, tickets = prunable(), LotteryTicket(levels, epochs_per_level=1, **settings)
        transfers.forget()
        model.fit(tiny.X, tiny.Y, batch_size=16, epochs=tickets.total_epochs, verbose=0, callbacks=[tickets])
        counts.append(transfers.of(model))
    for name, (reads, writes) in counts[0].items():
        assert counts[1][name] == (reads + 1, writes + 1)
