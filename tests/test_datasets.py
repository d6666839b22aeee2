"""The data are there without a network, and are what they say."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from calibration import agree, assert_mean, quantile
from scipy import stats
from sklearn.datasets import load_digits, load_wine

from companion import datasets


def test_diabetes_is_standardised_and_selected_by_name():
    data = datasets.diabetes()
    assert data.x.shape == (442, 10)
    np.testing.assert_allclose([data.x.mean(axis=0), data.x.std(axis=0)], [np.zeros(10), np.ones(10)], atol=1e-12)
    np.testing.assert_allclose([data.y.mean(), data.y.std()], [0.0, 1.0], atol=1e-12)
    chosen = datasets.diabetes(["s5", "bmi"])
    np.testing.assert_array_equal(chosen.x, data.x[:, [8, 2]])
    assert chosen.feature_names == ("s5", "bmi")


def test_an_unknown_feature_is_named():
    with pytest.raises(ValueError, match=r"features: expected names among age, sex, .*; got shoe_size"):
        datasets.diabetes(["bmi", "shoe_size"])


def test_breast_cancer_is_standardised_and_one_is_benign():
    data = datasets.breast_cancer()
    assert data.x.shape == (569, 30)
    assert data.x.dtype == data.y.dtype == np.float64
    np.testing.assert_allclose([data.x.mean(axis=0), data.x.std(axis=0)], [np.zeros(30), np.ones(30)], atol=1e-12)
    assert dict(zip(*np.unique(data.y, return_counts=True), strict=True)) == {0.0: 212, 1.0: 357}
    radius = data.x[:, data.feature_names.index("mean radius")]
    assert radius[data.y == 1].max() < radius[data.y == 0].max()
    assert radius[data.y == 1].mean() < 0 < radius[data.y == 0].mean()  # malignant tumours are larger


def test_wine_is_standardised_by_its_training_part_alone():
    data, raw = datasets.wine(), load_wine()
    assert data.x_train.shape == (142, 13)
    assert data.x_test.shape == (36, 13)
    assert data.x_train.dtype == data.x_test.dtype == np.float64
    moments = [data.x_train.mean(axis=0), data.x_train.std(axis=0)]
    np.testing.assert_allclose(moments, [np.zeros(13), np.ones(13)], atol=1e-12)
    assert np.abs(data.x_test.mean(axis=0)).max() > 0.01  # the test part is not
    assert data.feature_names == tuple(raw.feature_names)
    back = np.concatenate([data.x_train, data.x_test]) * data.scale + data.loc
    order, given = np.lexsort(back.T.round(6)), np.lexsort(raw.data.T.round(6))
    np.testing.assert_allclose(back[order], raw.data[given], rtol=1e-12)  # each wine once
    growers = [(np.abs(row - raw.data).sum(axis=1)).argmin() for row in data.x_test * data.scale + data.loc]
    assert np.bincount(raw.target[growers]).min() > 5  # all three growers, who come in blocks
    other = datasets.wine(test_share=0.5, seed=3)
    assert other.x_train.shape == other.x_test.shape == (89, 13)
    assert not np.array_equal(other.x_train, datasets.wine(test_share=0.5, seed=4).x_train)


def test_log_det_takes_a_density_of_wines_to_raw_units():
    """A Gaussian of any shape, by SciPy in both units."""
    data = datasets.wine()
    rng = np.random.default_rng(0)
    loc, root = rng.normal(size=13), rng.normal(size=[13, 13]) + 3 * np.eye(13)
    cov = root @ root.T
    standardised = stats.multivariate_normal.logpdf(data.x_test, loc, cov)
    raw = data.x_test * data.scale + data.loc
    there = stats.multivariate_normal(loc * data.scale + data.loc, cov * np.outer(data.scale, data.scale))
    np.testing.assert_allclose(standardised + data.log_det, there.logpdf(raw), rtol=1e-9)


def test_split_keeps_every_row_once_in_order():
    x = np.arange(200.0).reshape(100, 2)
    train, test = datasets.split(x, test_share=0.254)
    assert (len(train), len(test)) == (75, 25)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test]), axis=0), x)
    for part in (train, test):
        assert (np.diff(part[:, 0]) > 0).all()
    np.testing.assert_array_equal(datasets.split(x, 0.254)[1], test)
    assert not np.array_equal(datasets.split(x, 0.254, seed=1)[1], test)
    images = np.zeros([10, 8, 8, 1], np.uint8)
    assert [(part.shape, part.dtype) for part in datasets.split(images)] == [((8, 8, 8, 1), "u1"), ((2, 8, 8, 1), "u1")]


def test_split_takes_each_row_as_often_as_the_others():
    chosen = np.zeros([400, 20])
    for seed in range(400):
        chosen[seed, datasets.split(np.arange(20), 0.25, seed)[1]] = 1
    assert_mean(chosen, np.full(20, 0.25))
    assert not agree(chosen, np.arange(20) < 5)


def test_bad_splits_are_named():
    for wrong in (0.0, -0.1, float("nan"), "half", True):
        with pytest.raises(ValueError, match="test_share: expected a positive number; got"):
            datasets.wine(wrong)
    for wrong in (1.0, 1.5, 0.001):
        with pytest.raises(ValueError, match=r"test_share: expected a share .* both parts some of 178 rows; got"):
            datasets.wine(wrong)
    with pytest.raises(ValueError, match="both parts some of 1 rows"):
        datasets.split(np.zeros([1, 2]))
    with pytest.raises(TypeError, match="x: expected an array with rows; got 3"):
        datasets.split(3)
    with pytest.raises(TypeError, match="seed: expected"):
        datasets.wine(seed=0.5)


def test_digits_are_each_once_with_their_label_and_shuffled():
    images, raw = datasets.digits(binarize=None), load_digits()
    assert [a.shape for a in images] == [(1500, 8, 8, 1), (1500,), (297, 8, 8, 1), (297,)]
    assert [a.dtype for a in images] == [np.float32, np.int64] * 2
    x = np.concatenate([images.x_train, images.x_test]).reshape(1797, 64)
    got = np.column_stack([16 * x, np.concatenate([images.y_train, images.y_test])])
    given = np.column_stack([raw.data, raw.target])
    assert not np.array_equal(got, given)
    np.testing.assert_array_equal(got[np.lexsort(got.T)], given[np.lexsort(given.T)])
    assert np.bincount(images.y_test).min() > 15  # not the last ones, where classes come in blocks
    np.testing.assert_array_equal(images.y_test[:10], [0, 4, 4, 8, 4, 9, 2, 6, 8, 4])  # the split of all time


def test_binarize_says_what_becomes_of_intensities():
    plain = datasets.digits(binarize=None)
    threshold = datasets.digits()
    for name in ("x_train", "x_test"):
        np.testing.assert_array_equal(getattr(threshold, name), getattr(plain, name) >= 0.5)
        assert getattr(threshold, name).dtype == np.float32
    dynamic = datasets.digits(binarize="dynamic")
    np.testing.assert_array_equal(dynamic.x_train, plain.x_train)
    assert set(np.unique(dynamic.x_test)) == {0.0, 1.0}
    assert (dynamic.x_test[plain.x_test == 1] == 1).all()
    assert (dynamic.x_test[plain.x_test == 0] == 0).all()
    np.testing.assert_array_equal(dynamic.x_test, datasets.digits(binarize="dynamic", seed=0).x_test)
    assert not np.array_equal(dynamic.x_test, datasets.digits(binarize="dynamic", seed=1).x_test)
    for images in (threshold, dynamic):
        np.testing.assert_array_equal(images.y_train, plain.y_train)
        np.testing.assert_array_equal(images.y_test, plain.y_test)


def test_test_images_are_drawn_with_their_intensities():
    """Among the pixels of one intensity, k / 16, the share of ones."""
    levels = np.rint(16 * datasets.digits(binarize=None).x_test).astype(int)
    drawn = datasets.digits(binarize="dynamic").x_test
    for k in range(1, 16):
        assert_mean(drawn[levels == k], np.array(k / 16), shared_among=15)
    assert not agree(drawn[levels == 4], 0.0)  # a threshold
    assert not agree(drawn[levels == 4], (4 / 16) ** 2)


def test_images_are_printed_in_short():
    assert repr(datasets.digits()) == (
        "Images(x_train: float32 of shape [1500, 8, 8, 1], y_train: int64 of shape [1500], "
        "x_test: float32 of shape [297, 8, 8, 1], y_test: int64 of shape [297])"
    )


INTENSITIES = np.random.default_rng(0).uniform(size=[7, 3, 2, 1]).astype(np.float32)


def epochs(dataset, n):
    """The examples of n epochs, shape [n, num_examples, ...]."""
    return np.stack([np.concatenate([batch.numpy() for batch in dataset]) for _ in range(n)])


def numbered(n):
    """Intensities 0 and 1 that spell each example's number, so that the order can be read from a batch."""
    return ((np.arange(n)[:, None] >> np.arange(10)) & 1).astype(np.float32)


def numbers(x):
    return x @ (1 << np.arange(10))


def test_batches_have_a_known_length_and_the_last_is_what_is_left():
    batches = datasets.dynamically_binarized(INTENSITIES, 3)
    assert len(batches) == int(batches.cardinality()) == 3
    assert batches.element_spec == tf.TensorSpec([None, 3, 2, 1], tf.float32)
    assert [batch.shape.as_list() for batch in batches] == [[3, 3, 2, 1], [3, 3, 2, 1], [1, 3, 2, 1]]
    assert len(datasets.dynamically_binarized(INTENSITIES, 7)) == 1
    assert [len(batch) for batch in datasets.dynamically_binarized(INTENSITIES.astype(float), 100)] == [7]


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_epoch_is_another_and_every_run_the_same(shuffle):
    first = epochs(datasets.dynamically_binarized(INTENSITIES, 3, seed=5, shuffle=shuffle), 3)
    tf.random.set_seed(1)
    again = epochs(datasets.dynamically_binarized(INTENSITIES, 3, seed=5, shuffle=shuffle), 3)
    np.testing.assert_array_equal(first, again)
    assert set(np.unique(first)) == {0.0, 1.0}
    for i, j in ((0, 1), (1, 2), (0, 2)):
        assert not np.array_equal(first[i], first[j])
    other = epochs(datasets.dynamically_binarized(INTENSITIES, 3, seed=6, shuffle=shuffle), 3)
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[1], other[0])  # seeds do not walk along one line of epochs


def test_an_epoch_has_every_example_once_in_an_order_of_its_own():
    """The correlation of two independent orders has variance 1 / (n - 1)."""
    orders = numbers(epochs(datasets.dynamically_binarized(numbered(1000), 64), 3))
    np.testing.assert_array_equal(np.sort(orders), np.broadcast_to(np.arange(1000), [3, 1000]))
    tolerance = quantile(6) / np.sqrt(999)
    assert (np.abs(np.corrcoef([np.arange(1000), *orders])[np.triu_indices(4, 1)]) < tolerance).all()
    nearly = tf.data.Dataset.range(1000).shuffle(500).batch(1000).get_single_element()  # a buffer that is too small
    assert np.corrcoef(np.arange(1000), nearly)[0, 1] > tolerance
    in_order = numbers(epochs(datasets.dynamically_binarized(numbered(1000), 64, shuffle=False), 2))
    np.testing.assert_array_equal(in_order, np.broadcast_to(np.arange(1000), [2, 1000]))


def test_pixels_are_one_with_the_probability_of_their_intensity_and_independent():
    """Six examples again and again, two batches of three; two epochs."""
    p = np.random.default_rng(2).uniform(0.2, 0.8, size=[6, 4])
    x = epochs(datasets.dynamically_binarized(np.tile(p, [3000, 1]), 3, shuffle=False), 2)
    p, x = p.reshape(24), x.reshape(2, 3000, 24)
    assert_mean(x[0], p, shared_among=4)
    assert_mean(x[1], p, shared_among=4)
    assert not agree(x[0], p**2)
    both = np.triu_indices(24, 1)
    pairs = np.einsum("ni,nj->nij", x[0], x[0])[:, *both]  # in an example, in a batch, across batches
    assert_mean(pairs, np.outer(p, p)[both], shared_among=4)
    assert_mean(x[0] * x[1], p**2, shared_among=4)
    assert not agree(x[0] * x[0], p**2)


class Recorder(keras.Model):
    """Learns nothing and keeps what it is given."""

    def __init__(self, num_batches):
        super().__init__()
        self.seen = tf.Variable(tf.zeros([num_batches]), trainable=False)
        self.step = tf.Variable(0, trainable=False)

    def train_step(self, x):
        self.seen.scatter_nd_update([[self.step]], [tf.reduce_sum(x * tf.range(1.0, 7.0))])
        self.step.assign_add(1)
        return {"loss": tf.reduce_sum(x)}


@pytest.mark.parametrize("steps_per_execution", [1, 2])
def test_fit_sees_the_epochs_of_the_dataset(steps_per_execution, capsys):
    flat = INTENSITIES.reshape(7, 6)
    model = Recorder(9)
    model.compile(steps_per_execution=steps_per_execution)
    model.fit(datasets.dynamically_binarized(flat, 3), epochs=3, shuffle=False, verbose=2)
    assert "3/3 - " in capsys.readouterr().out
    batches = datasets.dynamically_binarized(flat, 3)
    expected = [np.sum(batch.numpy() * np.arange(1, 7)) for _ in range(3) for batch in batches]
    np.testing.assert_allclose(model.seen, expected)
    assert len(set(expected)) > 3


def test_bad_intensities_are_named():
    for wrong, got in (([[0.5, 1.5]], "0.5 to 1.5"), ([[-0.25, 1.0]], "-0.25 to 1.0")):
        with pytest.raises(ValueError, match=rf"intensities: expected numbers in \[0, 1\]; got from {got}"):
            datasets.dynamically_binarized(wrong, 1)
    with pytest.raises(ValueError, match="intensities: expected finite"):
        datasets.dynamically_binarized([[np.nan]], 1)
    with pytest.raises(TypeError, match="intensities: expected float32 or float64; got uint8"):
        datasets.dynamically_binarized(np.zeros([2, 3], np.uint8), 1)
    for empty in (np.zeros([0, 3]), np.float64(0.5)):
        with pytest.raises(ValueError, match="intensities: expected at least one example"):
            datasets.dynamically_binarized(empty, 1)
    with pytest.raises(ValueError, match="batch_size: expected an integer of at least 1; got 0"):
        datasets.dynamically_binarized(INTENSITIES, 0)
    with pytest.raises(TypeError, match="seed: expected"):
        datasets.dynamically_binarized(INTENSITIES, 1, seed=0.5)
    with pytest.raises(RuntimeError, match="dynamically_binarized: expected eager execution"):
        tf.function(lambda: datasets.dynamically_binarized(INTENSITIES, 1))()


def arrays(**changed):
    """Five images of Keras' form, or all but that."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, size=[5, 28, 28]).astype(np.uint8)
    x[0, 0, :3] = 0, 127, 128
    y = np.array([5, 0, 4, 1, 9], np.uint8)
    return {"x_train": x[:3], "y_train": y[:3], "x_test": x[3:], "y_test": y[3:], **changed}


def test_mnist_comes_from_a_file(tmp_path):
    file = tmp_path / "mnist.npz"
    np.savez(file, **arrays())
    plain = datasets.mnist(binarize=None, file=file)
    assert [a.shape for a in plain] == [(3, 28, 28, 1), (3,), (2, 28, 28, 1), (2,)]
    assert [a.dtype for a in plain] == [np.float32, np.int64] * 2
    np.testing.assert_allclose(plain.x_train[..., 0] * 255, arrays()["x_train"], rtol=1e-6)
    np.testing.assert_allclose(plain.x_test[..., 0] * 255, arrays()["x_test"], rtol=1e-6)
    np.testing.assert_array_equal(plain.y_train, [5, 0, 4])
    np.testing.assert_array_equal(plain.y_test, [1, 9])
    assert 0 <= plain.x_train.min() < plain.x_train.max() <= 1
    threshold = datasets.mnist(file=str(file))
    np.testing.assert_array_equal(threshold.x_train[..., 0], arrays()["x_train"] >= 128)
    np.testing.assert_array_equal(threshold.x_test[..., 0], arrays()["x_test"] >= 128)
    dynamic = [datasets.mnist("dynamic", seed, file) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(dynamic[0].x_train, plain.x_train)
    np.testing.assert_array_equal(dynamic[0].x_test, dynamic[1].x_test)
    assert set(np.unique(dynamic[0].x_test)) == {0.0, 1.0}
    assert not np.array_equal(dynamic[0].x_test, dynamic[2].x_test)


def test_mnist_is_fetched_by_keras(monkeypatch, tmp_path):
    given = arrays()
    pairs = (given["x_train"], given["y_train"]), (given["x_test"], given["y_test"])
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: pairs)
    np.savez(tmp_path / "mnist.npz", **given)
    for fetched, stored in zip(datasets.mnist(), datasets.mnist(file=tmp_path / "mnist.npz"), strict=True):
        np.testing.assert_array_equal(fetched, stored)


def test_without_a_network_the_error_says_what_to_do(monkeypatch):
    cause = Exception("URL fetch failure on an address: None -- no route")

    def load_data():
        raise cause

    monkeypatch.setattr(keras.datasets.mnist, "load_data", load_data)
    expected = (
        "mnist: expected a network to fetch MNIST with, or file= with the path .* got Exception: URL fetch failure"
    )
    with pytest.raises(OSError, match=expected) as caught:
        datasets.mnist()
    assert caught.value.__cause__ is cause


def test_a_file_of_another_form_is_refused(tmp_path):
    def save(**content):
        np.savez(tmp_path / "wrong.npz", **content)
        return tmp_path / "wrong.npz"

    without = {name: a for name, a in arrays().items() if name != "y_test"}
    wrong_files = {
        r"file: expected an .npz file with the arrays x_train, .*wrong.npz.*y_test": without,
        r"file: expected an .npz file .*allow_pickle": arrays(x_test=np.array([None])),
        r"x_train: expected uint8 images .* got float32 of shape \[3, 28, 28\]": arrays(
            x_train=np.zeros([3, 28, 28], np.float32)
        ),
        r"x_test: expected uint8 images .* got uint8 of shape \[2, 784\]": arrays(x_test=np.zeros([2, 784], np.uint8)),
        r"x_test: expected uint8 images .* all of one size; got uint8 of shape \[2, 8, 8\]": arrays(
            x_test=np.zeros([2, 8, 8], np.uint8)
        ),
        r"x_train: expected uint8 images .* got uint8 of shape \[0, 28, 28\]": arrays(
            x_train=np.zeros([0, 28, 28], np.uint8)
        ),
        r"y_train: expected integers of shape \[3\]; got uint8 of shape \[4\]": arrays(y_train=np.zeros(4, np.uint8)),
        r"y_test: expected integers of shape \[2\]; got float64 of shape \[2\]": arrays(y_test=np.zeros(2)),
    }
    for expected, content in wrong_files.items():
        with pytest.raises(ValueError, match=expected):
            datasets.mnist(file=save(**content))
    for name, content in (("text.npz", b"no archive"), ("empty.npz", b""), ("cut.npz", b"PK\x03\x04")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"file: expected an .npz file with the arrays .*{name}"):
            datasets.mnist(file=tmp_path / name)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"file: expected an \.npz file"):
        datasets.mnist(file=tmp_path / "one.npy")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz"):
        datasets.mnist(file=tmp_path / "nowhere.npz")


@pytest.mark.parametrize("load", [datasets.digits, datasets.mnist])
def test_an_unknown_binarization_is_named(load):
    with pytest.raises(ValueError, match="binarize: expected 'threshold', 'dynamic' or None; got 'static'"):
        load(binarize="static")
