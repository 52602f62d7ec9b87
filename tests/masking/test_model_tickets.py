"""Tickets and the models they are for."""

import numpy as np
import pytest
import tiny

import tf_lottery as tfl
from tf_lottery.errors import ModelError, TicketError
from tf_lottery.keras_compat import keras
from tf_lottery.masking import state
from tf_lottery.masking.ticket import Ticket


def ticket_of(model):
    return Ticket(tfl.get_masks(model), {"final": state.weights(model)})


def wider():
    inside = [keras.layers.Flatten(), keras.layers.Dense(5), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((6, 6, 1)), *inside])


def save(path, ticket):
    tfl.save_ticket(path, ticket)
    return path


@pytest.mark.parametrize("build", [tiny.dense, tiny.convolutional, tiny.subclassed])
def test_a_ticket_is_loaded_for_its_model_and_restored(tmp_path, build):
    model, other = tiny.half_masked(build), tfl.make_prunable(build())
    path = save(tmp_path / "t.tfl", ticket_of(model))
    tfl.restore_ticket(other, tfl.load_ticket(path, other))
    assert tiny.same_masks(model, other)
    assert np.array_equal(model.predict(tiny.X, verbose=0), other.predict(tiny.X, verbose=0))


def test_a_ticket_can_be_loaded_for_a_plain_model(tmp_path):
    path = save(tmp_path / "t.tfl", ticket_of(tiny.half_masked(tiny.dense)))
    assert sorted(tfl.load_ticket(path, tiny.dense()).masks) == ["dense/kernel", "dense_1/kernel"]


def test_a_ticket_of_another_architecture_is_refused(tmp_path):
    path = save(tmp_path / "t.tfl", ticket_of(tiny.half_masked(tiny.convolutional)))
    with pytest.raises(TicketError, match=r"t\.tfl: 'conv2d/kernel' among the masks is unknown here"):
        tfl.load_ticket(path, tiny.dense())
    path = save(tmp_path / "wider.tfl", ticket_of(tfl.make_prunable(wider())))
    with pytest.raises(TicketError, match=r"'dense/kernel' among the masks has shape \[36, 5\], expected \(36, 4\)"):
        tfl.load_ticket(path, tiny.dense())


def test_a_ticket_that_lacks_something_is_refused(tmp_path):
    model = tiny.half_masked(tiny.dense)
    whole = ticket_of(model)
    few = {name: array for name, array in whole.weights["final"].items() if name != "dense_1/bias"}
    path = save(tmp_path / "t.tfl", Ticket(whole.masks, {"final": few}))
    with pytest.raises(TicketError, match=r"no ticket of this model: it lacks 'dense_1/bias' among the final\."):
        tfl.load_ticket(path, model)
    one = {"dense/kernel": whole.masks["dense/kernel"]}
    path = save(path, Ticket(one, {}))
    with pytest.raises(TicketError, match="lacks 'dense_1/kernel' among the masks"):
        tfl.load_ticket(path, model)
    assert list(tfl.load_ticket(path, tiny.dense()).masks) == ["dense/kernel"]  # its other kernel is in no mask


def test_masks_alone_are_a_ticket(tmp_path):
    model = tiny.half_masked(tiny.dense)
    path = save(tmp_path / "t.tfl", Ticket(tfl.get_masks(model), {}))
    ticket = tfl.load_ticket(path, model)
    assert ticket.weights == {}
    with pytest.raises(TicketError, match="holds the weights none"):
        tfl.restore_ticket(model, ticket)


def test_a_ticket_can_be_loaded_without_a_model_and_an_unbuilt_model_is_refused(tmp_path):
    path = save(tmp_path / "t.tfl", ticket_of(tiny.half_masked(tiny.dense)))
    assert list(tfl.load_ticket(path).weights) == ["final"]
    with pytest.raises(ModelError, match="is not built"):
        tfl.load_ticket(path, tiny.Net())


def test_only_tickets_are_saved_and_restored(tmp_path):
    model = tiny.half_masked(tiny.dense)
    ticket = ticket_of(model)
    for arguments in ((ticket, "t.tfl"), (tmp_path / "t.tfl", model)):
        with pytest.raises(TicketError, match=r"save_ticket\(path, ticket\) writes a Ticket. Received: ticket="):
            tfl.save_ticket(*arguments)
    with pytest.raises(TicketError, match=r"restore_ticket\(model, ticket\) takes a Ticket. Received: ticket='t.tfl'"):
        tfl.restore_ticket(model, "t.tfl")
    with pytest.raises(ModelError, match=r"Received: tf_lottery\.masking\.ticket\.Ticket"):
        tfl.restore_ticket(ticket, model)
    assert not list(tmp_path.iterdir())
