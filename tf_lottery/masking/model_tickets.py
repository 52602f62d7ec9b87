"""Loading tickets for a model and restoring a model from a ticket."""

import os

from tf_lottery.errors import TicketError
from tf_lottery.keras_compat import Model
from tf_lottery.masking import (
    constraint,
    conversion,
    model_masks,
    naming,
    prunable,
    state,
    tfmot_bridge,
    ticket as ticket_lib,
)
from tf_lottery.masking.ticket import Shapes, Ticket


def load_ticket(path: str | os.PathLike[str], model: Model | None = None) -> Ticket:
    """Read a ticket from a file.

    Args:
        path: A file from `save_ticket`, or the `ticket.tfl` of a run.
        model: The model that the ticket is for. A ticket with other names or shapes is refused before memory is
            allocated for it. If the model is plain, any of its prunable weights may have a mask. Defaults to None: the
            file is checked without a model.

    Returns:
        The ticket.

    Raises:
        TicketError: the file cannot be read; is damaged, inconsistent or not a ticket file; or is not a ticket of
            `model`.
        ModelError: `model` is not built.

    Examples:
        >>> import tempfile
        >>> import tf_lottery as tfl
        >>> model = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tfl.save_ticket(f"{folder}/ticket.tfl", tfl.Ticket(tfl.get_masks(model), {}))
        ...     ticket = tfl.load_ticket(f"{folder}/ticket.tfl", model)
        >>> ticket
        Ticket(density=1.0000, weights=[], metadata={})
    """
    if model is None:
        return ticket_lib.load_ticket(path)
    ticket = ticket_lib.load_ticket(path, shapes := ticket_shapes(model))
    groups = {**({"masks": ticket.masks} if constraint.has_masks(model) else {}), **ticket.weights}
    missing = [f"{name!r} among the {group}" for group in groups for name in shapes[group] if name not in groups[group]]
    if missing:
        raise TicketError(f"{path} is no ticket of this model: it lacks {', '.join(missing)}.")
    return ticket


def ticket_shapes(model: Model) -> Shapes:
    """Return the shapes of the arrays in a ticket of `model`, by group and weight name.

    The groups are those of the tickets of a run: `"masks"`, `"rewind"` and `"final"`.

    Raises:
        ModelError: `model` is not built.
    """
    conversion.check_model(model)
    masked = model_masks.masked_variables(model) if constraint.has_masks(model) else prunable.prunable_weights(model)
    weights = {name: tuple(variable.shape) for name, variable in naming.named_variables(model).items()}
    return {"masks": {name: weights[name] for name in masked}, "rewind": weights, "final": weights}


def restore_ticket(model: Model, ticket: Ticket, weights: str = "final") -> Model:
    """Set the masks and weights of a prunable model to those of a ticket.

    Args:
        model: A prunable model with the architecture of the ticket.
        ticket: A ticket, for instance from `load_ticket`.
        weights: `"final"` for the weights at the end of training, `"rewind"` for the weights at the rewind step, to
            start training from. Defaults to `"final"`.

    Returns:
        `model`.

    Raises:
        ModelError, PruningError: the ticket does not fit the model. The message lists what is missing, what is unknown
            and what has the wrong shape. Nothing is changed then.
        TicketError: `ticket` is no Ticket, or does not hold the weights that `weights` names.

    Examples:
        >>> import numpy as np
        >>> import tf_lottery as tfl
        >>> model = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10))
        >>> model.compile("adam", "mse")
        >>> tickets = tfl.callbacks.LotteryTicket(levels=1, epochs_per_level=1)
        >>> history = model.fit(np.ones((8, 8, 8, 1)), np.ones((8, 10)), epochs=2, callbacks=[tickets], verbose=0)
        >>> other = tfl.make_prunable(tfl.models.build("lenet_300_100", (8, 8, 1), 10))
        >>> tfl.density(tfl.restore_ticket(other, tickets.ticket(level=1)))
        0.8
    """
    conversion.check_model(model)
    if not isinstance(ticket, Ticket):
        raise TicketError(f"restore_ticket(model, ticket) takes a Ticket. Received: ticket={ticket!r}")
    if weights not in ticket.weights:
        raise TicketError(f"The ticket holds the weights {', '.join(ticket.weights) or 'none'}. Received: {weights!r}")
    state.check_fit(ticket.weights[weights], naming.named_variables(model))
    tfmot_bridge.adopt(model)
    state.set_weights(ticket.weights[weights], model, ticket.masks)
    return model
