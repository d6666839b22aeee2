"""Dense nets made from widths, and the check of nets that come from outside."""

import keras
import numpy as np
import pytest

from companion import _networks


class TestDense:
    def test_the_seed_decides_the_weights(self):
        def kernels(seed):
            net = keras.Sequential([keras.Input([3]), *_networks.dense([4, 2], "float32", seed)])
            return net.get_weights()

        for one, two in zip(kernels((1, 0)), kernels((1, 0)), strict=True):
            np.testing.assert_array_equal(one, two)
        assert np.abs(kernels((1, 0))[0] - kernels((1, 1))[0]).max() > 0.01

    def test_no_two_layers_start_alike(self):
        net = keras.Sequential([keras.Input([4]), *_networks.dense([4, 4], "float32", (1,))])
        assert np.abs(net.layers[0].kernel.numpy() - net.layers[1].kernel.numpy()).max() > 0.01

    def test_the_last_layer_is_linear_and_may_start_small(self):
        layers = _networks.dense([200, 300], "float64", (1,), last_scale=0.1)
        net = keras.Sequential([keras.Input([5], dtype="float64"), *layers])
        assert [layer.activation.__name__ for layer in net.layers] == ["relu", "linear"]
        assert net.layers[0].dtype == "float64"
        np.testing.assert_allclose(net.layers[1].kernel.numpy().std(), 0.1 / np.sqrt(200), rtol=0.02)

    def test_hidden_biases_start_apart_if_the_inputs_are_told(self):
        layers = _networks.dense([400, 3], "float32", (1,), num_inputs=4)
        keras.Sequential([keras.Input([4]), *layers])
        hidden, last = (layer.bias.numpy() for layer in layers)
        assert np.abs(hidden).max() <= 0.5
        np.testing.assert_allclose(hidden.std(), 0.5 / np.sqrt(3), rtol=0.1)
        np.testing.assert_array_equal(last, np.zeros(3))


class TestWidths:
    def test_a_list_is_a_tuple_and_a_model_none(self):
        assert _networks.widths("hidden", [3, 4]) == (3, 4)
        assert _networks.widths("hidden", []) == ()
        assert _networks.widths("encoder", keras.layers.Dense(2)) is None

    @pytest.mark.parametrize("wrong", [5, "64", None, 2.0])
    def test_others_are_refused(self, wrong):
        with pytest.raises(TypeError, match="hidden: expected"):
            _networks.widths("hidden", wrong)

    @pytest.mark.parametrize("wrong", [0, -1, 2.5, True])
    def test_a_width_is_a_positive_integer(self, wrong):
        with pytest.raises(ValueError, match=r"hidden\[1\]: expected an integer"):
            _networks.widths("hidden", [3, wrong])


class TestRequireOutputs:
    def test_a_net_that_fits_is_built(self):
        net = keras.Sequential([keras.layers.Dense(3)])
        _networks.require_outputs("net", net, (2,), (3,), "three numbers")
        assert net.built

    def test_outputs_that_do_not_fit(self):
        with pytest.raises(ValueError, match=r"net: expected outputs of shape \[batch, 4\], four numbers; got shape"):
            _networks.require_outputs("net", keras.layers.Dense(3), (2,), (4,), "four numbers")

    def test_inputs_that_do_not_fit(self):
        net = keras.Sequential([keras.Input([7]), keras.layers.Dense(3)])
        with pytest.raises(ValueError, match=r"net: expected a net that takes shape \[batch, 2\]; got"):
            _networks.require_outputs("net", net, (2,), (3,), "three numbers")


def test_the_widest_output_of_nested_nets():
    inner = keras.Sequential([keras.Input([2]), keras.layers.Dense(9), keras.layers.Dense(3)])
    net = keras.Sequential([keras.Input([2]), keras.layers.Dense(2), inner])
    assert _networks.widest_output(net) == 9
