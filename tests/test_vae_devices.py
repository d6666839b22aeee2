"""Several devices give the losses of one: MirroredStrategy on two logical CPUs, in a process of its own.

The logical devices have to be made before TensorFlow starts, so this file is also the program that trains on them.
"""

import json

import numpy as np
import pytest
import two_devices

CASES = {
    "elbo": {},
    "weighted": {"objective": "importance_weighted", "gradient": "doubly_reparameterized", "num_samples": 3},
}
RUNS = {  # case and batch size: of 28 examples batches of 8 leave 4; of 9 leave 1, so that one device has no share
    "uneven": ("elbo", 8),
    "one_example_left": ("weighted", 9),
    "never_a_share_for_one": ("elbo", 1),
}
REFUSAL = "steps_per_execution: expected 1 with several devices (Keras fails otherwise); got 5."


def examples(n=28):
    return (np.random.default_rng(0).random([n, 6]) < 0.4).astype(np.float32)


def trained(strategy, options, size):
    """The history of two epochs and the evaluation at another batch size."""
    import keras

    from companion import VAE

    with strategy.scope():
        model = VAE([8], [8], 2, seed=0, **options)
        model.compile(keras.optimizers.Adam(0.02), jit_compile=False)
    x = examples(28 if size > 1 else 3)
    history = model.fit(x, batch_size=size, epochs=2, verbose=0).history
    evaluated = model.evaluate(x, batch_size=5, verbose=0, return_dict=True)
    return {
        "history": history,
        "evaluated": evaluated,
        "predicted": model.predict(x, batch_size=size, verbose=0).tolist(),
    }


def refusal(strategy):
    from companion import VAE

    with strategy.scope():
        model = VAE([8], [8], 2, seed=0)
        try:
            model.compile("adam", steps_per_execution=5)
        except ValueError as error:
            return str(error)


def main():
    one, two = two_devices.strategies()
    results = {
        name: [trained(strategy, CASES[case], size) for strategy in (one, two)] for name, (case, size) in RUNS.items()
    }
    print(json.dumps({"devices": two.num_replicas_in_sync, "refusal": refusal(two), "results": results}))


@pytest.fixture(scope="module")
def report():
    return two_devices.report_of(__file__)


@pytest.mark.parametrize("run", RUNS)
def test_two_devices_give_the_numbers_of_one(run, report):
    assert report["devices"] == 2
    one, two = report["results"][run]
    assert one["history"].keys() == two["history"].keys()
    for name, values in one["history"].items():
        np.testing.assert_allclose(two["history"][name], values, rtol=1e-5)
    for name, value in one["evaluated"].items():
        np.testing.assert_allclose(two["evaluated"][name], value, rtol=1e-5)
    np.testing.assert_allclose(two["predicted"], one["predicted"], rtol=1e-4, atol=1e-5)
    assert len(set(one["history"]["loss"])) == 2


def test_several_steps_at_once_are_refused(report):
    assert report["refusal"] == REFUSAL


if __name__ == "__main__":
    main()
