"""Exact start, zero at every step, masks of ones, complete rewind, inference: on the Keras that this process uses."""

import numpy as np
import pytest
import tensorflow as tf
import tiny
from tiers import always, nightly, slow

from tf_lottery import keras_compat
from tf_lottery.callbacks.scheduled_pruning import ScheduledPruning
from tf_lottery.keras_compat import keras
from tf_lottery.masking import conversion, model_masks, naming, state
from tf_lottery.training.learning_rate import LearningRate
from tf_lottery.training.progress import Pauses

OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "nesterov": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.05),
    "weight decay": lambda: keras.optimizers.AdamW(0.05, weight_decay=0.1),
    "global clipping": lambda: keras.optimizers.Adam(0.05, global_clipnorm=0.1),
    "averages": lambda: keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True, ema_momentum=0.9),
    "averages written": lambda: keras.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=2),
    "loss scale": lambda: keras.mixed_precision.LossScaleOptimizer(keras.optimizers.Adam(0.05)),
}
if not keras_compat.LEGACY:
    OPTIMIZERS["accumulation"] = lambda: keras.optimizers.AdamW(0.05, gradient_accumulation_steps=2)
TYPICAL = ("momentum", "weight decay", "averages written", "loss scale")
MODELS = {
    "dense": tiny.dense,
    "convolutional": tiny.convolutional,
    "nested": tiny.nested,
    "subclassed": tiny.subclassed,
}


class Watch(keras.callbacks.Callback):
    """Looks at the weights whenever user code can."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(tiny.is_pruned_to_plus_zero(self.model))

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(tiny.is_pruned_to_plus_zero(self.model))

    def on_test_begin(self, logs=None):
        self.seen.append(tiny.is_pruned_to_plus_zero(self.model))

    def on_train_end(self, logs=None):
        if keras_compat.moving_averages(self.model.optimizer, self.model.trainable_variables):
            model_masks.apply_masks(self.model)  # Keras takes averages before it applies constraints
        self.seen.append(tiny.is_pruned_to_plus_zero(self.model))


def same_bits(first, second):
    return all(
        first[group][name].tobytes() == second[group][name].tobytes() for group in first for name in first[group]
    )


def fit_and_watch(model, optimizer, callbacks=(), **settings):
    model.compile(optimizer, tiny.loss(), **settings)
    model.fit(tiny.X, tiny.Y, batch_size=6, epochs=2, verbose=0, callbacks=[*callbacks, watch := Watch()])
    assert len(watch.seen) >= 5
    assert tiny.is_pruned_to_plus_zero(model)
    return watch.seen


@pytest.mark.parametrize(
    ("optimizer", "settings"),
    always(*((name, (1, False)) for name in TYPICAL), among=[(name, (1, False)) for name in OPTIMIZERS])
    + [("momentum", (7, True))]
    + [slow(name, (7, True)) for name in TYPICAL if name != "momentum"]
    + [nightly(name, (7, True)) for name in OPTIMIZERS if name not in TYPICAL]
    + [nightly("momentum", (1, True)), nightly("momentum", (7, False))],
    ids=str,
)
def test_pruned_weights_are_plus_zero_whenever_user_code_looks(optimizer, settings):
    steps_per_execution, jit_compile = settings
    model = tiny.half_masked(tiny.convolutional)
    settings = {"steps_per_execution": steps_per_execution, "jit_compile": jit_compile}
    assert all(fit_and_watch(model, OPTIMIZERS[optimizer](), **settings))


@pytest.mark.parametrize("settings", [(1, False), slow((7, True))], ids=str)
@pytest.mark.parametrize("optimizer", ["momentum", "weight decay", "averages written"])
def test_pruned_weights_stay_zero_in_a_subclassed_model(optimizer, settings):
    steps_per_execution, jit_compile = settings
    model = tiny.half_masked(tiny.subclassed)
    settings = {"steps_per_execution": steps_per_execution, "jit_compile": jit_compile}
    assert all(fit_and_watch(model, OPTIMIZERS[optimizer](), **settings))


@pytest.mark.parametrize("policy", ["mixed_float16", slow("mixed_bfloat16")])
@pytest.mark.parametrize("build", [tiny.convolutional, tiny.subclassed])
def test_pruned_weights_stay_zero_under_mixed_precision(build, policy):
    keras.mixed_precision.set_global_policy(policy)
    try:
        model = tiny.half_masked(build)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert all(fit_and_watch(model, keras.optimizers.Adam(0.05, use_ema=True), jit_compile=False))


@pytest.mark.parametrize("build", [tiny.dense, tiny.subclassed])
def test_pruned_weights_stay_zero_when_the_best_weights_come_back(build):
    model = tiny.half_masked(build)
    stop = keras.callbacks.EarlyStopping("loss", mode="max", patience=0, restore_best_weights=True)
    assert all(fit_and_watch(model, keras.optimizers.Adam(0.05), callbacks=[stop], jit_compile=False))


@pytest.mark.skipif(keras_compat.LEGACY, reason="legacy Keras has no such callback")
@pytest.mark.parametrize("swap_first", [True, False])
def test_pruned_weights_stay_zero_when_averages_take_the_place_of_weights_beside_a_callback_of_ours(swap_first):
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    callbacks = [swap, ScheduledPruning(lambda step: (False, 0.0))][:: 1 if swap_first else -1]
    model = tiny.half_masked(tiny.dense)
    assert all(fit_and_watch(model, OPTIMIZERS["averages"](), callbacks=callbacks, jit_compile=False))


@pytest.mark.parametrize("in_a_graph", [False, True])
@pytest.mark.parametrize("build", [tiny.convolutional, tiny.subclassed])
def test_pruned_weights_stay_zero_in_a_loop_of_ones_own_with_no_call_at_all(build, in_a_graph):
    model, optimizer = tiny.half_masked(build), OPTIMIZERS["momentum"]()

    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tiny.loss()(y, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    step = tf.function(step) if in_a_graph else step
    before = model.get_weights()
    for _ in range(3):
        step(tiny.X, tiny.Y)
        assert tiny.is_pruned_to_plus_zero(model)
    assert not all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_pruned_weights_stay_zero_in_our_own_training(jit_compile):
    model = tiny.half_masked(tiny.convolutional)
    trainer = tiny.trainer(model, keras.optimizers.AdamW(LearningRate(0.05), weight_decay=0.1), jit_compile=jit_compile)
    pauses, seen = Pauses(), []
    pauses.most_steps = lambda step: 1
    pauses.on_pause = lambda progress: seen.append(tiny.is_pruned_to_plus_zero(model))
    trainer.train(0, 12, shuffle_seed=0, pauses=pauses)
    assert seen == [True] * 12


@pytest.mark.parametrize(
    ("build", "optimizer", "jit_compile"),
    [
        *((build, "momentum", False) for build in MODELS),
        *(("dense", "momentum", True), slow("dense", "weight decay", False), ("dense", "averages", False)),
        *(slow(build, "momentum", True) for build in MODELS if build != "dense"),
        *(nightly(build, name, False) for build in MODELS if build != "dense" for name in ("weight decay", "averages")),
    ],
)
def test_an_all_ones_mask_trains_bit_for_bit_like_the_model_without_masks(build, optimizer, jit_compile):
    plain = MODELS[build]()
    masked = MODELS[build]()
    for variable, value in zip(naming.named_variables(masked).values(), state.weights(plain).values(), strict=True):
        variable.assign(value)  # the random state of dropout too
    masked = conversion.make_prunable(masked)
    for model in (plain, masked):
        model.compile(OPTIMIZERS[optimizer](), tiny.loss(), jit_compile=jit_compile)
        model.fit(tiny.X, tiny.Y, batch_size=6, epochs=2, verbose=0, shuffle=False)
    assert same_bits({"weights": state.weights(plain)}, {"weights": state.weights(masked)})


@pytest.mark.parametrize(
    ("build", "k", "jit_compile"),
    [
        *((build, 3, False) for build in MODELS),
        *(slow("convolutional", 0, False), slow("convolutional", 12, False), ("convolutional", 3, True)),
        *(nightly(build, k, False) for build in MODELS if build != "convolutional" for k in (0, 12)),
        *(slow(build, 3, True) for build in MODELS if build != "convolutional"),
    ],
)
def test_retraining_from_step_k_with_all_ones_masks_ends_as_the_dense_run(build, k, jit_compile):
    model = conversion.make_prunable(MODELS[build]())
    schedule = LearningRate(0.05, drops=(5, 9), warmup=4)
    trainer = tiny.trainer(model, keras.optimizers.Adam(schedule), jit_compile=jit_compile)
    dense = trainer.train(0, 12, shuffle_seed=1, snapshots_at=[k])
    end = state.capture(model, trainer.optimizer)
    state.restore(dense.snapshots[k], model, trainer.optimizer)
    again = trainer.train(k, 12, shuffle_seed=1)
    assert same_bits(end, state.capture(model, trainer.optimizer))
    losses = {row["step"]: row["validation_loss"] for row in dense.history}
    assert all(losses[row["step"]] == row["validation_loss"] for row in again.history)


@pytest.mark.parametrize("build", MODELS)
def test_a_level_starts_at_the_masked_weights_of_step_k_bit_for_bit(build):
    model = conversion.make_prunable(MODELS[build]())
    trainer = tiny.trainer(model, OPTIMIZERS["averages"]())
    snapshot = trainer.train(0, 12, shuffle_seed=1, snapshots_at=[3]).snapshots[3]
    model_masks.set_masks(model, masks := tiny.half_masks(model))
    state.restore(snapshot, model, trainer.optimizer)
    for name, weight in state.weights(model).items():
        at_k = snapshot["weights"][name]
        expected = np.where(masks[name], at_k, np.float32(0)) if name in masks else at_k
        assert weight.tobytes() == expected.tobytes()
    pairs = [pair for pair, _ in zip(model_masks.masked_variables(model).values(), masks, strict=True)]
    for weight, mask in pairs:
        for _, average in keras_compat.moving_averages(trainer.optimizer, [weight]):
            assert not average.numpy()[~mask.numpy()].any()


def test_the_snapshot_changes_nothing():
    model = conversion.make_prunable(tiny.convolutional())
    trainer = tiny.trainer(model)
    start = state.capture(model, trainer.optimizer)
    trainer.train(0, 12, shuffle_seed=1)
    without = state.capture(model, trainer.optimizer)
    state.restore(start, model, trainer.optimizer)
    trainer.train(0, 12, shuffle_seed=1, snapshots_at=[5])
    assert same_bits(without, state.capture(model, trainer.optimizer))


@pytest.mark.parametrize("build", MODELS)
def test_predict_and_evaluate_change_no_weight(build):
    model = tiny.half_masked(MODELS[build])
    model.compile("sgd", tiny.loss(), jit_compile=False)
    before = [weight.tobytes() for weight in model.get_weights()]
    model.predict(tiny.X, verbose=0)
    model.evaluate(tiny.X, tiny.Y, verbose=0)
    tiny.trainer(model).evaluate("test")
    assert [weight.tobytes() for weight in model.get_weights()] == before
