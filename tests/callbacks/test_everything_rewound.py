"""What a level rewinds besides weights and the compiled optimizer, and what it names because it cannot."""

import threading

import fits
import numpy as np
import pytest
import tensorflow as tf
import tiny

import tf_lottery as tfl
from tf_lottery.callbacks.lottery_ticket import LotteryTicket
from tf_lottery.errors import ConfigError, ModelError, RunError
from tf_lottery.keras_compat import LEGACY, keras, owned_optimizers
from tf_lottery.masking import state


def part(units, features):
    layers = [keras.Input((features,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(units)]
    return tfl.make_prunable(keras.Sequential(layers))


class Adversaries(keras.Model):
    """Two models with an optimizer each, that train in turn: as GANs are written."""

    def __init__(self, where="attribute"):
        super().__init__()
        self.first, self.second, self.where = part(1, 8), part(8, 4), where

    def compile(self, one, other):
        super().compile()
        if self.where == "attribute":
            self.d_optimizer, self.g_optimizer = one, other
        elif self.where == "dict":
            self.held = {"first": one, "second": other}
        self.both = (lambda: (one, other)) if self.where == "closure" else (lambda: tuple(self._own()))
        self.seen = keras.metrics.Mean(name="d_loss")

    def _own(self):
        return self.held.values() if self.where == "dict" else (self.d_optimizer, self.g_optimizer)

    def train_step(self, real):
        real = real[0] if isinstance(real, tuple) else real
        noise = real[:, :4]
        first_optimizer, second_optimizer = self.both()
        for optimizer, model, sign in ((first_optimizer, self.first, 1.0), (second_optimizer, self.second, -1.0)):
            with tf.GradientTape() as tape:
                made, true = self.first(self.second(noise)), self.first(real)
                loss = sign * tf.reduce_mean(tf.square(made) - tf.square(true - 1.0))
            weights = model.trainable_weights
            optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        self.seen.update_state(loss)
        return {"d_loss": self.seen.result()}


DATA = np.tile(np.random.default_rng(0).random((4, 8), dtype=np.float32), (8, 1))


def adversaries(where="attribute"):
    model = Adversaries(where)
    if LEGACY:
        model.built = True  # a model without `call` never is
    model.compile(keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.01, momentum=0.9))
    return model


def fit(model, tickets, **settings):
    settings = {"batch_size": 4, "verbose": 0, "shuffle": False} | settings
    return model.fit(DATA, epochs=tickets.total_epochs, callbacks=[tickets], **settings)


@pytest.mark.parametrize("where", ["attribute", "dict"])
@pytest.mark.parametrize("rewind_to", [0, 3])
def test_all_optimizers_that_a_model_owns_are_rewound(where, rewind_to):
    model, tickets = adversaries(where), LotteryTicket(1, 0.0, epochs_per_level=2, rewind_to=rewind_to)
    fit(model, tickets)
    assert fits.same_bits(tickets.ticket(0).weights["final"], tickets.ticket(1).weights["final"])
    assert tickets.to_frame()["step"].tolist() == [16, 16]
    own = [optimizer for path, optimizer in owned_optimizers(model).items() if path]
    assert [int(optimizer.iterations.numpy()) for optimizer in own] == [16, 16]


def test_an_optimizer_that_is_no_attribute_of_the_model_is_named():
    model, tickets = adversaries("closure"), LotteryTicket(1, 0.0, epochs_per_level=1)
    with pytest.warns(UserWarning, match=r"\(Adam\).*cannot be rewound: make each optimizer an attribute"):
        fit(model, tickets)


def test_a_resumed_process_builds_all_optimizers(tmp_path):
    settings = {"fraction": 0.5, "epochs_per_level": 2, "rewind_to": 3, "directory": tmp_path}
    fit(adversaries(), LotteryTicket(0, **settings))
    model, resumed = adversaries(), LotteryTicket(1, **settings)
    fit(model, resumed)
    again = LotteryTicket(1, **settings | {"directory": None})
    assert [record["step"] for record in resumed.records] == [16, 16]
    assert [int(one.iterations.numpy()) for path, one in owned_optimizers(model).items() if path] == [16, 16]
    assert again.records == []


def test_the_control_of_a_model_with_a_compile_of_its_own_needs_a_model():
    tickets = LotteryTicket(1, 0.5, epochs_per_level=1, rewind_to=3)
    fit(adversaries(), tickets)
    if not LEGACY:
        with pytest.raises(ModelError):
            tickets.control("random_mask", 1)
    control = tickets.control("random_mask", 1, model=adversaries())
    assert [int(one.iterations.numpy()) for path, one in owned_optimizers(control).items() if path] == [3, 3]


def test_without_a_loss_or_an_accuracy_best_says_which_metrics_there_are():
    tickets = LotteryTicket(0, epochs_per_level=1)
    fit(adversaries(), tickets)
    with pytest.raises(ConfigError, match=r"does not know which metric to compare.*Measured: d_loss"):
        tickets.best()


class Unfreezes(keras.callbacks.Callback):
    """Unfreezes the first layer after an epoch, as callbacks for fine-tuning do."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            self.model.layers[-2].trainable = True
            self.model.compile(keras.optimizers.Adam(0.01), tiny.loss())
            self.model.make_train_function(force=True)


def frozen():
    model = fits.model(optimizer=keras.optimizers.SGD(0.05, momentum=0.9))
    model.layers[-2].trainable = False
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), tiny.loss())
    return model


@pytest.mark.parametrize("rewind_to", [0, 3])
def test_the_optimizer_and_the_frozen_layers_of_step_k_come_back_if_callbacks_compile(rewind_to):
    model, tickets = frozen(), LotteryTicket(1, 0.0, epochs_per_level=3, rewind_to=rewind_to, callbacks=[Unfreezes()])
    first = model.optimizer
    fits.fit(model, tickets, data=fits.ONE_BATCH)
    dense, again = tickets.ticket(0).weights, tickets.ticket(1).weights
    assert fits.same_bits(dense["final"], again["final"])
    assert not np.array_equal(dense["final"]["dense/kernel"], dense["rewind"]["dense/kernel"])
    assert model.optimizer is not first
    assert tickets.to_frame()["step"].tolist() == [24, 24]


def test_a_compile_that_levels_do_not_share_is_warned_of():
    model, tickets = frozen(), LotteryTicket(1, 0.0, epochs_per_level=3)
    with pytest.warns(UserWarning, match="`compile` was called in level 0 but not in level 1"):
        fits.fit(model, tickets, Unfreezes())


def test_a_directory_whose_dense_network_was_compiled_anew_before_step_k_is_not_resumed(tmp_path):
    def tickets(levels):
        return LotteryTicket(
            levels, epochs_per_level=3, rewind_to="2ep", callbacks=[Unfreezes()], directory=tmp_path / "run"
        )

    fits.fit(frozen(), tickets(0))
    with pytest.raises(RunError, match=r"run cannot be resumed: a callback called `compile` before step k"):
        fits.fit(frozen(), tickets(1))


class WithState(keras.layers.Layer):
    """Counts its calls and draws noise, in variables that Keras does not list."""

    def __init__(self):
        super().__init__()
        self.hidden = {"calls": [tf.Variable(0.0, trainable=False)]}
        self.random = tf.random.Generator.from_seed(3)

    def call(self, x, training=False):
        if training:
            self.hidden["calls"][0].assign_add(1.0)
            x = x + self.random.normal((3,)) / self.hidden["calls"][0]
        return x


@pytest.mark.parametrize("rewind_to", [0, 3])
def test_state_that_layers_do_not_list_is_rewound_and_is_no_part_of_tickets(rewind_to):
    model = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    model = fits.model(lambda: model)
    inner = WithState()
    whole = keras.Sequential([model, inner])
    whole(tiny.X[:1])
    whole.compile("sgd", tiny.loss())
    tickets = LotteryTicket(1, 0.0, epochs_per_level=2, rewind_to=rewind_to)
    fits.fit(whole, tickets, data=fits.ONE_BATCH)
    dense, again = tickets.ticket(0).weights["final"], tickets.ticket(1).weights["final"]
    assert fits.same_bits(dense, again)
    assert float(inner.hidden["calls"][0].numpy()) == 16
    assert all("hidden" not in name and "random" not in name for name in dense)
    stored = {"with_state/hidden/calls/0", "with_state/random"}
    assert LEGACY or set(tickets._store.read("rewind").weights["unlisted"]) == stored


class Centred(keras.losses.Loss):
    """A loss with a running mean of what it sees."""

    def __init__(self):
        super().__init__()
        self.centre = tf.Variable(tf.zeros(3), trainable=False)

    def call(self, y_true, y_pred):
        self.centre.assign(0.5 * self.centre + 0.5 * tf.reduce_mean(y_pred, axis=0))
        return tf.reduce_mean(tf.square(y_pred - self.centre - tf.one_hot(tf.cast(y_true, tf.int32), 3)), axis=-1)


def centred_in_a_closure():
    centred = Centred()
    return lambda y_true, y_pred: centred(y_true, y_pred)


class Helper:
    def __init__(self):
        self.parts = {"losses": [Centred()]}

    def loss(self, y_true, y_pred):
        return self.parts["losses"][0](y_true, y_pred)


GLOBAL = Centred()


def with_a_global(y_true, y_pred):
    return GLOBAL(y_true, y_pred)


@pytest.mark.parametrize("rewind_to", [0, 3])
@pytest.mark.parametrize(
    "loss",
    [Centred, centred_in_a_closure, lambda: Helper().loss, lambda: with_a_global],
    ids=["object", "closure", "method", "global"],
)
def test_the_state_of_a_loss_is_rewound_wherever_it_is_kept(loss, rewind_to):
    model, tickets = fits.model(), LotteryTicket(1, 0.0, epochs_per_level=2, rewind_to=rewind_to)
    model.compile("sgd", loss())
    fits.fit(model, tickets, data=fits.ONE_BATCH)
    assert fits.same_bits(tickets.ticket(0).weights["final"], tickets.ticket(1).weights["final"])
    assert not np.array_equal(
        tickets.ticket(0).weights["final"]["dense/kernel"], tickets.ticket(0).weights["rewind"]["dense/kernel"]
    )


@pytest.mark.parametrize("rewind", ["learning_rate", "none"])
def test_a_resumed_process_knows_the_state_that_is_not_rewound(tmp_path, rewind):
    def fit(levels, name):
        keras.utils.set_random_seed(0)
        whole = keras.Sequential([fits.model(), WithState()])
        whole(tiny.X[:1])
        whole.compile(keras.optimizers.SGD(0.05, momentum=0.9), tiny.loss())
        tickets = LotteryTicket(levels, epochs_per_level=1, rewind=rewind, directory=tmp_path / name)
        fits.fit(whole, tickets, data=fits.ONE_BATCH)
        return tickets.ticket(levels).weights["final"]

    fit(1, "resumed")
    assert fits.same_bits(fit(2, "resumed"), fit(2, "whole"))


def test_a_control_says_that_it_sets_back_state_that_the_model_of_fit_uses_too():
    model, tickets = fits.model(), LotteryTicket(1, epochs_per_level=1)
    model.compile("sgd", with_a_global)
    fits.fit(model, tickets)
    other = fits.model()
    other.compile("sgd", with_a_global)
    with pytest.warns(UserWarning, match=r"uses the same loss/GLOBAL/centre as the model of `fit`, and sets it back"):
        tickets.control("random_mask", 1, model=other)


class Averaging(keras.Model):
    """A network and a teacher, which is its running average and is validated."""

    def __init__(self):
        super().__init__()
        self.student, self.teacher = tiny.dense(), tiny.dense()
        self.teacher.trainable = False

    def call(self, x):
        return self.student(x) + self.teacher(x)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, self.student(x), from_logits=True))
        weights = self.student.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        for average, weight in zip(self.teacher.weights, self.student.weights, strict=True):
            average.assign(0.5 * average + 0.5 * weight)
        return {"loss": loss}

    def test_step(self, data):
        x, y = data
        return {
            "error": tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, self.teacher(x), from_logits=True))
        }


def test_weights_that_code_assigns_are_pruned_when_they_are_validated_and_named():
    model = Averaging()
    model(tiny.X)
    model = tfl.make_prunable(model)
    model.compile(keras.optimizers.SGD(0.05))
    tickets = LotteryTicket(1, epochs_per_level=2)
    with pytest.warns(UserWarning, match="Code has assigned values to pruned weights of ") as said:
        fits.fit(model, tickets, **fits.VALIDATED)
    assert len(said) == 1
    tickets.restore(model, 1)
    again = model.evaluate(tiny.X, tiny.Y, batch_size=4, verbose=0, return_dict=True)
    assert again["error"] == pytest.approx(tickets.records[1]["metrics"]["val_error"], rel=1e-6)


def test_a_model_that_is_pruned_already_is_no_dense_network():
    model = fits.model()
    tfl.set_masks(model, tiny.half_masks(model))
    with pytest.warns(UserWarning, match=r"is pruned already: level 0 trains .*% of its weights and not the dense"):
        fits.fit(model, LotteryTicket(0, epochs_per_level=1))


def test_models_without_such_state_store_nothing_more():
    tickets = fits.found(levels=0, epochs_per_level=1)
    assert set(tickets._store.read("rewind").weights) == {"weights", "optimizer", "start"}


class At(keras.callbacks.Callback):
    """Does something to the model at the end of one epoch."""

    def __init__(self, epoch, act):
        super().__init__()
        self.epoch, self.act = epoch, act

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            self.act(self.model)


def follow_a_schedule(model):
    model.optimizer.learning_rate = keras.optimizers.schedules.CosineDecay(0.1, 100)


def prune_half(model):
    tfl.set_masks(model, tiny.half_masks(model))


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (follow_a_schedule, r"learning rate of the optimizer cannot go back to step k: .* replaced by CosineDecay"),
        (prune_half, r"does not have the masks of level 0 any more \(dense/kernel, .*a callback has changed them"),
    ],
)
def test_what_a_callback_does_to_a_level_that_cannot_be_undone_is_refused_by_its_cause(act, said):
    with pytest.raises(ConfigError, match=said):
        fits.fit(fits.model(), LotteryTicket(1, epochs_per_level=2, callbacks=[At(1, act)]))


@pytest.mark.parametrize("kind", ["random_mask", "reinit"])
def test_controls_exempt_the_same_weights_from_decay(kind):
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.5)
    model = fits.model()
    optimizer.exclude_from_weight_decay(var_list=[model.trainable_variables[0]], var_names=["bias"])
    model.compile(optimizer, tiny.loss())
    tickets = fits.found(made=model, levels=1, epochs_per_level=1)
    control = tickets.control(kind, 1)
    kernel, last = control.trainable_variables[0], control.trainable_variables[2]
    assert [control.optimizer._use_weight_decay(v) for v in control.trainable_variables] == [False, False, True, False]
    assert kernel.shape != last.shape


def test_a_new_learning_rate_is_refused_with_both_rates():
    model, tickets = fits.model(optimizer=keras.optimizers.SGD(0.05)), LotteryTicket(1, epochs_per_level=1)
    with pytest.warns(UserWarning, match="ends before the last level"):
        fits.fit(model, tickets, epochs=1)
    model.optimizer.learning_rate.assign(0.25)
    with pytest.raises(RunError, match=r"learning_rate=0\.0500.* \(stored\), 0\.25 \(now\)"):
        fits.fit(model, tickets)


def test_a_rate_that_a_callback_has_changed_in_an_earlier_fit_is_not_refused():
    plateau = keras.callbacks.ReduceLROnPlateau("loss", patience=0, min_delta=10.0, factor=0.5)
    tickets = LotteryTicket(1, epochs_per_level=2, callbacks=[plateau])
    model = fits.model(optimizer=keras.optimizers.SGD(0.05))
    with pytest.warns(UserWarning, match="ends before the last level"):
        fits.fit(model, tickets, epochs=2)
    assert float(np.asarray(model.optimizer.learning_rate)) < 0.05
    fits.fit(model, tickets)
    assert [record["level"] for record in tickets.records] == [0, 1]


def test_other_batches_are_refused_without_a_directory_too():
    model, tickets = fits.model(), LotteryTicket(1, epochs_per_level=1)
    with pytest.warns(UserWarning, match="ends before the last level"):
        fits.fit(model, tickets, epochs=1)
    with pytest.raises(RunError, match=r"The levels of this LotteryTicket have epochs of 8 steps; this `fit` has 4"):
        fits.fit(model, tickets, batch_size=8)


def test_a_lottery_ticket_outside_fit_says_where_it_belongs():
    with pytest.raises(ConfigError, match=r"works inside `model.fit.*outside `fit`"):
        LotteryTicket(1, epochs_per_level=1).on_train_begin()


@pytest.mark.parametrize("callbacks", [[keras.callbacks.TerminateOnNaN], "abc", 3, [None]])
def test_what_is_no_callback_is_refused(callbacks):
    with pytest.raises(ConfigError, match=r"`callbacks` must be callbacks of .*Received: "):
        LotteryTicket(1, epochs_per_level=1, callbacks=callbacks)


def test_one_lottery_ticket_in_the_fits_of_two_threads_is_refused():
    errors, tickets = [], LotteryTicket(0, epochs_per_level=1)
    other = fits.model()

    def fit_other():
        try:
            fits.fit(other, tickets, epochs=1)
        except ConfigError as error:
            errors.append(str(error))

    class Meanwhile(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            thread = threading.Thread(target=fit_other)
            thread.start()
            thread.join()

    model = fits.model()
    fits.fit(model, tickets, Meanwhile(), epochs=1)
    assert len(errors) == 1
    assert "use another LotteryTicket in each `fit`" in errors[0]
    assert tickets.model is model
    assert state.weights(model)


@pytest.mark.parametrize("rewind_to", [0, "1ep"])
def test_level_0_that_begins_again_after_an_interrupt_says_that_it_begins_with_other_weights(rewind_to):
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    made, tickets = fits.model(), LotteryTicket(1, 0.5, epochs_per_level=3, rewind_to=rewind_to)
    with pytest.raises(KeyboardInterrupt):
        fits.fit(made, tickets, Interrupt())
    with pytest.warns(UserWarning, match="Level 0 was interrupted and begins again with the weights"):
        fits.fit(made, tickets)
    assert len(tickets.records) == 2
