"""One copy of every parameter for each sample, in a new leading axis of rows.

Differentiating the sum of f with respect to the copies gives each sample's own gradient, at the cost of one
backward pass. That is right only if the distribution treats leading axes as batch axes and no row
influences another; `find_pads` makes sure of both, on a trial with a few rows.
"""

import tensorflow as tf

from companion import _validation

__all__ = ["copy_rows", "find_pads"]


def copy_rows(params, num_rows, pads):
    """Copies each parameter of shape S to shape [num_rows, 1, ..., 1, *S] with `pads[name]` ones."""

    def copy(p, pad):
        ones = [1] * pad
        one_row = tf.reshape(p, tf.concat([[1], ones, tf.shape(p)], axis=0))
        rows = tf.broadcast_to(one_row, tf.concat([[num_rows], ones, tf.shape(p)], axis=0))
        return tf.ensure_shape(rows, tf.TensorShape([num_rows, *ones]).concatenate(p.shape))

    return {name: copy(p, pads[name]) for name, p in params.items()}


def find_pads(make_distribution, params, distribution):
    """How many axes of length 1 go between the rows and each parameter.

    With loc of shape [3] and a scalar scale, rows of shapes [n, 3] and [n] do not line up (for n = 3 they even
    broadcast, wrongly): the scale needs [n, 1]. A trial with a number of rows that occurs in no shape tells
    which form the distribution takes.

    Raises:
        ValueError: if neither form gives a row of the distribution for each row of the parameters, or the rank
            of a parameter is unknown.
    """
    if not all(p.shape.is_fully_defined() for p in params.values()):
        params = _with_known_shapes(params)
        distribution = make_distribution(**params)
    plain = dict.fromkeys(params, 0)
    batch_rank = distribution.batch_shape.rank
    padded = {name: max(0, batch_rank - p.shape.rank) for name, p in params.items()}
    for pads in [plain] if padded == plain else [plain, padded]:
        obstacle = _try_rows(make_distribution, params, distribution, pads)
        if obstacle is None:
            return pads
    expected = "a distribution in which every leading axis of the parameters is a batch axis of its own"
    raise ValueError(_validation.message("make_distribution", expected, obstacle))


def _with_known_shapes(params):
    """Stand-ins for a trial in a graph: where a length is unknown, the first entry, repeated."""
    known = {1}.union(*(p.shape.as_list() for p in params.values() if p.shape.rank is not None))
    length = next(n for n in range(2, len(known) + 3) if n not in known)

    def stand_in(name, p):
        if p.shape.rank is None:
            raise ValueError(_validation.message(f"params[{name!r}]", "a tensor of known rank", "one of unknown rank"))
        for axis, n in enumerate(p.shape):
            if n is None:
                p = tf.gather(p, tf.zeros([length], tf.int32), axis=axis)
        return p

    return {name: stand_in(name, p) for name, p in params.items()}


def _try_rows(make_distribution, params, distribution, pads):
    """None if rows of the parameters give rows of the distribution that do not mix; else what was seen."""
    batch, event = distribution.batch_shape, distribution.event_shape
    taken = {1, *batch, *event}.union(*(p.shape for p in params.values()))
    num_rows = next(n for n in range(2, len(taken) + 3) if n not in taken)
    rows = copy_rows(params, num_rows, pads)
    try:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(rows)
            trial = make_distribution(**rows)
            if trial.batch_shape != tf.TensorShape([num_rows]).concatenate(batch):
                return f"batch shape {list(trial.batch_shape)} from parameters with {num_rows} rows in front"
            if trial.event_shape != event:
                return f"event shape {list(trial.event_shape)} where {list(event)} was without rows"
            z = tf.stop_gradient(trial.sample(seed=tf.constant([0, 0])))
            first_row = trial.log_prob(z)[0]
    except (ValueError, tf.errors.InvalidArgumentError) as error:
        return str(getattr(error, "message", error)).strip().splitlines()[0][:160]
    for name, gradient in tape.gradient(first_row, rows).items():
        if gradient is None:
            continue
        others = tf.convert_to_tensor(gradient)[1:]
        others = tf.where(tf.math.is_finite(others), others, 0.0)  # 0 * inf, where a row has no density
        mixed = f"rows of params[{name!r}] that influence each other (a reduction over all axes?)"
        if not tf.executing_eagerly():
            tf.debugging.assert_equal(others, tf.zeros_like(others), f"make_distribution: {mixed}")
        elif bool(tf.reduce_any(others != 0)):
            return mixed
    return None
