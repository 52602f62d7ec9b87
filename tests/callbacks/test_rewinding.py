"""The start of a level: exact start, complete rewind, and the three modes of rewinding."""

import contextlib

import fits
import numpy as np
import pytest
import tiny
from tiers import always, nightly, slow

from tf_lottery import keras_compat
from tf_lottery.callbacks.lottery_ticket import LotteryTicket
from tf_lottery.core import masks as masks_lib
from tf_lottery.keras_compat import keras
from tf_lottery.masking import state

pytestmark = pytest.mark.filterwarnings("ignore:With `use_ema`")

OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "schedule": lambda: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, 16)),
    "averages": lambda: keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.9),
    "averages written": lambda: keras.optimizers.SGD(0.05, use_ema=True, ema_overwrite_frequency=3),
    "clipping": lambda: keras.optimizers.Adam(0.01, global_clipnorm=0.1),
}


if not keras_compat.LEGACY:
    OPTIMIZERS["accumulation"] = lambda: keras.optimizers.SGD(0.05, momentum=0.9, gradient_accumulation_steps=2)


class RecordsStarts(keras.callbacks.Callback):
    """Records the state that every level starts with."""

    def __init__(self):
        super().__init__()
        self.states = []

    def on_train_begin(self, logs=None):
        self.states.append(state.capture(self.model, self.model.optimizer))


def convolutional():
    """Return a network with BatchNorm and Dropout, whose states are rewound too."""
    keras_compat.make_randomness_restorable()
    return tiny.convolutional()


@pytest.mark.parametrize(
    ("optimizer", "rewind_to"),
    [
        *((optimizer, 3) for optimizer in ("momentum", "schedule", "averages", "averages written")),
        *(slow(optimizer, 3) for optimizer in OPTIMIZERS if optimizer in ("adam", "clipping", "accumulation")),
        *(slow("averages", k) for k in (0, 8)),
        *(nightly(optimizer, k) for optimizer in OPTIMIZERS if optimizer != "averages" for k in (0, 8)),
    ],
)
def test_with_nothing_pruned_every_level_ends_as_the_dense_one(optimizer, rewind_to):
    made = fits.model(convolutional, OPTIMIZERS[optimizer]())
    tickets = fits.found(made=made, fraction=0.0, rewind_to=rewind_to, fit_settings={"data": fits.ONE_BATCH})
    assert fits.same_bits(tickets.ticket(0).weights["final"], tickets.ticket(1).weights["final"])
    assert fits.same_bits(tickets.ticket(0).weights["final"], tickets.ticket(2).weights["final"])


def test_with_nothing_pruned_every_level_ends_as_the_dense_one_in_mixed_precision():
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        made = fits.model(convolutional)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    tickets = fits.found(made=made, fraction=0.0, rewind_to=3, fit_settings={"data": fits.ONE_BATCH})
    assert fits.same_bits(tickets.ticket(0).weights["final"], tickets.ticket(2).weights["final"])


@pytest.mark.parametrize("optimizer", always("schedule", "averages", among=OPTIMIZERS))
def test_a_level_starts_with_everything_as_it_was_at_step_k(optimizer):
    made = fits.model(convolutional, OPTIMIZERS[optimizer]())
    tickets = LotteryTicket(2, 0.5, epochs_per_level=2, rewind_to=3, callbacks=[starts := RecordsStarts()])
    fits.fit(made, tickets)
    at_k = tickets._store.read("rewind").weights
    averages = {name for name, average in averages_of(made).items()}
    for level in (1, 2):
        start, masks = starts.states[level], tickets.ticket(level).masks
        assert fits.same_bits(start["weights"], masks_lib.apply(at_k["weights"], masks))
        others = {name: slot for name, slot in start["optimizer"].items() if name not in averages}
        assert fits.same_bits(others, {name: at_k["optimizer"][name] for name in others})
    assert averages == set() or "averages" in optimizer


def averages_of(made):
    pairs = keras_compat.moving_averages(made.optimizer, made.trainable_variables)
    ids = {id(average) for _, average in pairs}
    slots = keras_compat.optimizer_variables(made.optimizer)
    return {f"{position:04d}": slot for position, slot in enumerate(slots) if id(slot) in ids}


@pytest.mark.parametrize("optimizer", ["averages", "averages written"])
def test_with_averages_pruned_weights_are_zero_and_tickets_hold_the_weights_that_fit_validated(optimizer):
    made = fits.model(convolutional, OPTIMIZERS[optimizer]())
    seen, validated = [], []

    class Looks(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(tiny.is_pruned_to_plus_zero(self.model))

        def on_test_begin(self, logs=None):
            validated.append(state.weights(self.model))

    callbacks = [looks := Looks()]
    tickets = fits.found(made=made, levels=1, rewind_to=3, callbacks=callbacks, fit_settings=fits.VALIDATED)
    assert looks
    assert all(seen[16:])
    assert tiny.is_pruned_to_plus_zero(made)  # although Keras has written the averages over the weights
    trainable = {name for name in validated[-1] if "moving" not in name and "seed" not in name.lower()}
    for level, weights in ((0, validated[1]), (1, validated[-1])):
        final = tickets.ticket(level).weights["final"]
        assert fits.same_bits({n: final[n] for n in trainable}, {n: weights[n] for n in trainable})


def test_reset_optimizer_starts_slots_afresh_at_step_k():
    made = fits.model(optimizer=keras.optimizers.Adam(0.01))
    callbacks = [starts := RecordsStarts()]
    fits.found(made=made, levels=1, rewind_to=3, reset_optimizer=True, callbacks=callbacks)
    slots = starts.states[1]["optimizer"]
    big = [slot for slot in slots.values() if slot.ndim]
    assert len(big) == 8
    assert not any(slot.any() for slot in big)
    assert 3 in [int(slot) for slot in slots.values() if slot.ndim == 0 and np.issubdtype(slot.dtype, np.integer)]


def test_averages_of_a_reset_optimizer_start_at_the_weights():
    made = fits.model(optimizer=OPTIMIZERS["averages"]())
    callbacks = [starts := RecordsStarts()]
    tickets = fits.found(made=made, levels=1, rewind_to=3, reset_optimizer=True, callbacks=callbacks)
    start = tickets.ticket(1).weights["rewind"]
    pairs = zip(keras_compat.moving_averages(made.optimizer, made.trainable_variables), start.values(), strict=False)
    names = list(averages_of(made))
    slots = [starts.states[1]["optimizer"][name] for name in names]
    assert len(slots) == len(start) == len(list(pairs))
    assert all(np.array_equal(slot, weight) for slot, weight in zip(slots, start.values(), strict=True))


def test_learning_rate_rewinding_keeps_the_weights_and_sets_the_step_back():
    made = fits.model(convolutional, keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.05, 1, 0.9)))
    callbacks = [starts := RecordsStarts()]
    tickets = fits.found(made=made, levels=1, rewind="learning_rate", rewind_to=3, callbacks=callbacks)
    before, masks = tickets.ticket(0).weights["final"], tickets.ticket(1).masks
    assert fits.same_bits(tickets.ticket(1).weights["rewind"], masks_lib.apply(before, masks))
    assert not any(slot.any() for slot in starts.states[1]["optimizer"].values() if slot.ndim)
    assert tickets.to_frame()["step"].tolist() == [16, 16]


def test_fine_tuning_keeps_everything_and_holds_the_rate():
    rates = []

    class Rates(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            schedule = self.model.optimizer._learning_rate
            rates.append(float(schedule(self.model.optimizer.iterations.numpy() - 1)))

    schedule = keras.optimizers.schedules.ExponentialDecay(0.05, 1, 0.9)
    made = fits.model(convolutional, keras.optimizers.SGD(schedule, momentum=0.9))
    journal, starts = fits.Journal(), RecordsStarts()
    callbacks = [Rates(), journal, starts]
    tickets = fits.found(made=made, rewind="none", rewind_to=3, callbacks=callbacks)
    assert rates == pytest.approx([0.05 * 0.9 ** min(step, 15) for step in range(16 + 13 + 13)])
    assert tickets.to_frame()["step"].tolist() == [16, 29, 42]
    assert journal.events == ["begin", 0, 1, "end", "begin", 2, 3, "end", "begin", 4, 5, "end"]
    assert any(slot.any() for slot in starts.states[1]["optimizer"].values() if slot.ndim)
    before, masks = tickets.ticket(0).weights["final"], tickets.ticket(1).masks
    assert fits.same_bits(tickets.ticket(1).weights["rewind"], masks_lib.apply(before, masks))


def test_a_plain_learning_rate_that_callbacks_change_is_rewound():
    made = fits.model(optimizer=keras.optimizers.SGD(0.5))
    plateau = keras.callbacks.ReduceLROnPlateau("loss", patience=0, min_delta=10.0, factor=0.5)
    seen = []

    class Rates(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(float(np.asarray(self.model.optimizer.learning_rate)))

    fits.found(made=made, levels=1, epochs_per_level=3, callbacks=[Rates(), plateau])
    assert seen[:3] == seen[3:]
    assert seen[0] == 0.5
    assert seen[2] < 0.5


class Drawing(keras.layers.Layer):
    """Draws from the generator that all layers without one of their own share, as the one in Keras' ConvNeXt."""

    def call(self, x, training=False):
        return x * keras.random.uniform((6, 6, 1)) if training else x


@pytest.mark.skipif(keras_compat.LEGACY, reason="legacy Keras keeps this state inside ops")
@pytest.mark.parametrize("is_used_before", [True, False])
def test_the_generator_of_all_layers_is_rewound_or_named_if_its_state_at_step_k_is_not_known(is_used_before):
    keras.utils.set_random_seed(1)  # and there is no such generator any more
    if is_used_before:
        keras.random.uniform(())
    made = fits.model(lambda: keras.Sequential([keras.Input((6, 6, 1)), Drawing(), *tiny.dense().layers]))
    named = pytest.warns(UserWarning, match="`keras.random` draws without a seed was first used after step k")
    with contextlib.nullcontext() if is_used_before else named:
        tickets = fits.found(made=made, levels=1, fraction=0.0)
    dense, again = (tickets.ticket(level).weights["final"] for level in (0, 1))
    assert fits.same_bits(dense, again) == is_used_before
