"""Several devices charge the KL divergence of one: MirroredStrategy on two logical CPUs, in a process of its own.

The logical devices have to be made before TensorFlow starts, so this file is also the program that trains on them.
"""

import json

import numpy as np
import pytest
import two_devices

NUM_EXAMPLES = 40
RATE = 0.5
KINDS = ("DenseReparameterization", "DenseLocalReparameterization", "DenseFlipout", "Conv1DFlipout", "normalised")
SIZES = (2, 8, 14)  # of 14 examples: all shares even; 6 left; one batch


def examples(n=14):
    rng = np.random.default_rng(0)
    return rng.standard_normal([n, 4]).astype(np.float32), rng.standard_normal([n, 1]).astype(np.float32)


def nothing(y, outputs):
    """A likelihood that knows nothing: the loss is the KL divergence alone."""
    import tensorflow as tf

    return 0.0 * tf.reduce_sum(outputs, tuple(range(1, outputs.shape.rank)))


def model_of(kind):
    import keras

    from companion import bayesian_layers as bl

    if kind.startswith("Conv"):
        start = [keras.layers.Reshape([4, 1]), getattr(bl, kind)(3, 2, num_examples=NUM_EXAMPLES, seed=1)]
        layers = [*start, keras.layers.Flatten()]
    elif kind == "normalised":  # its moving averages are assigned in the middle of a step
        layers = [keras.layers.BatchNormalization(), bl.DenseFlipout(1, num_examples=NUM_EXAMPLES, seed=1)]
    else:
        layers = [getattr(bl, kind)(1, num_examples=NUM_EXAMPLES, seed=1)]
    model = keras.Sequential([keras.Input([4]), *layers])
    model.compile(keras.optimizers.SGD(RATE), nothing, jit_compile=False)
    return model


def named(model):
    return {v.name: np.asarray(v, float).tolist() for v in model.variables if v.name[-3:] in ("loc", "rho")}


def calls(model):
    from companion import bayesian_layers as bl

    return [int(np.asarray(layer.calls)) for layer in bl.layers_in(model)]


def charges(strategy, kind):
    """The KL divergence that evaluate reports at every batch size, and the variables before and after steps."""
    x, y = examples()
    with strategy.scope():
        model = model_of(kind)
    evaluated = {str(size): model.evaluate(x, y, batch_size=size, verbose=0) for size in SIZES}
    before, seen = named(model), calls(model)
    history = model.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False).history["loss"]
    steps = [b - a for a, b in zip(seen, calls(model), strict=True)]
    return {"evaluated": evaluated, "before": before, "after": named(model), "loss": history, "steps": steps}


def trained(strategy):
    """Whether the layers learn, with a likelihood; even shares, and so the mean of the shares is that of the batch."""
    import keras
    import tensorflow as tf

    from companion import bayesian_layers as bl

    keras.utils.set_random_seed(0)
    x, y = examples(32)
    y = x[:, :1]
    with strategy.scope():
        hidden = bl.DenseLocalReparameterization(8, "tanh", num_examples=32, seed=1)
        model = keras.Sequential([keras.Input([4]), hidden, bl.DenseFlipout(1, num_examples=32, seed=2)])
        loss = bl.NegativeLogLikelihood(bl.likelihoods.Normal(0.3))
        model.compile(keras.optimizers.Adam(0.03), loss, jit_compile=False)
    history = model.fit(x, y, batch_size=8, epochs=20, verbose=0).history["loss"]
    prediction = bl.predict(model, x, num_samples=20, seed=1)
    with tf.device("CPU:0"):
        return {"loss": history, "mean": prediction.mean.numpy().tolist(), "weights": len(model.get_weights())}


def noise(strategy):
    """The outputs of the two devices for the same example."""
    found = {}
    for kind in KINDS[:3]:
        with strategy.scope():
            model = model_of(kind)
        x = np.repeat(examples(1)[0], 8, axis=0)
        outputs = model.predict(x, batch_size=8, verbose=0)
        found[kind] = np.asarray(outputs, float)[:, 0].tolist()
    return found


def sampled(strategy):
    """With a prior that has no closed form."""
    import keras

    from companion import bayesian_layers as bl

    x, y = examples(8)
    with strategy.scope():
        layer = bl.DenseFlipout(1, num_examples=NUM_EXAMPLES, seed=1, prior=bl.scale_mixture())
        model = keras.Sequential([keras.Input([4]), layer])
        model.compile(keras.optimizers.SGD(RATE), nothing, jit_compile=False)
    model.set_weights([np.full(w.shape, 0.25 if w.ndim else 0, w.dtype) for w in model.get_weights()])
    return [model.train_on_batch(x, y) for _ in range(3)]


def main():
    one, two = two_devices.strategies()
    results = {
        "devices": two.num_replicas_in_sync,
        "charges": {kind: [charges(strategy, kind) for strategy in (one, two)] for kind in KINDS},
        "trained": [trained(strategy) for strategy in (one, two)],
        "noise": noise(two),
        "sampled": [sampled(strategy) for strategy in (one, two)],
    }
    print(json.dumps(results, default=float))


@pytest.fixture(scope="module")
def report():
    return two_devices.report_of(__file__)


def analytic_kl(variables):
    """KL(q || N(0, 1)), by its formula, in float64."""
    pairs = {name[:-4]: (variables[name], variables[name[:-4] + "_rho"]) for name in variables if name.endswith("_loc")}
    total = 0.0
    for loc, rho in pairs.values():
        scale = np.logaddexp(0.0, rho)
        total += np.sum(0.5 * (scale**2 + np.square(loc) - 1.0) - np.log(scale))
    return total


def after_steps(variables, num_steps):
    """Steps of gradient descent on KL / NUM_EXAMPLES, by its derivative."""
    after = {name: np.asarray(value) for name, value in variables.items()}
    for _ in range(num_steps):
        for name, value in after.items():
            scale = np.logaddexp(0.0, value)
            slope = (scale - 1.0 / scale) / (1.0 + np.exp(-value)) if name.endswith("rho") else value
            after[name] = value - RATE / NUM_EXAMPLES * slope
    return after


@pytest.mark.parametrize("place", [0, 1], ids=["one_device", "two_devices"])
@pytest.mark.parametrize("kind", KINDS)
def test_evaluate_charges_the_analytic_kl_at_every_batch_size(kind, place, report):
    assert report["devices"] == 2
    found = report["charges"][kind][place]
    exact = analytic_kl(found["before"]) / NUM_EXAMPLES
    assert exact > 0.1
    np.testing.assert_allclose(list(found["evaluated"].values()), np.full(len(SIZES), exact), rtol=1e-5)


@pytest.mark.parametrize("place", [0, 1], ids=["one_device", "two_devices"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_follows_the_gradient_of_the_kl_once(kind, place, report):
    """Two epochs of two batches; a divergence charged by each device in full would move twice as far."""
    found = report["charges"][kind][place]
    expected, doubled = (after_steps(found["before"], num_steps) for num_steps in (4, 8))
    for name, value in found["after"].items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-7)
        assert not np.allclose(value, doubled[name], rtol=1e-4, atol=1e-7) or np.allclose(value, 0.0)
    first = np.mean([analytic_kl(after_steps(found["before"], n)) for n in (0, 1)]) / NUM_EXAMPLES
    np.testing.assert_allclose(found["loss"][0], first, rtol=1e-2)  # batches of 8 and 6


@pytest.mark.parametrize("kind", KINDS)
def test_the_place_in_the_noise_counts_steps_not_devices(kind, report):
    """The layers of a model that goes on with another number of devices do not meet their noise again."""
    for found in report["charges"][kind]:
        assert found["steps"] == [4]


def test_a_sampled_kl_is_the_same_on_both(report):
    """The draw belongs to the step."""
    one, two = report["sampled"]
    np.testing.assert_allclose(two, one, rtol=1e-5)
    assert len(set(one)) == 3


def test_devices_share_a_draw_of_the_weights_and_have_their_own_signs_and_noise(report):
    """Eight times the same example, four on each device."""
    shared = report["noise"]["DenseReparameterization"]
    np.testing.assert_allclose(shared, shared[:1] * 8, rtol=1e-6)
    separate = report["noise"]["DenseLocalReparameterization"]
    assert len(set(separate)) == 8
    signs = report["noise"]["DenseFlipout"]
    assert len(set(np.round(signs, 5))) > 2
    assert not np.allclose(signs[:4], signs[4:])


def test_two_devices_learn_what_one_does(report):
    one, two = report["trained"]
    assert one["weights"] == two["weights"]
    for found in (one, two):
        assert found["loss"][-1] < found["loss"][0] - 1.0
        np.testing.assert_allclose(np.ravel(found["mean"]), examples(32)[0][:, 0], atol=0.8)
    np.testing.assert_allclose(two["loss"][-5:], one["loss"][-5:], rtol=0.35)


if __name__ == "__main__":
    main()
