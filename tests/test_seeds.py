"""One seed, one stream: in every mode of execution, for every kind of seed."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from calibration import assert_law
from hypothesis import given, settings
from hypothesis import strategies as st
from modes import MODES
from scipy import stats

from companion import seeds

WORDS = st.integers(-(2**31), 2**31 - 1)


@given(words=st.tuples(WORDS, WORDS), dtype=st.sampled_from([tf.float32, tf.float64]))
@settings(max_examples=25, deadline=None)
def test_the_same_bits_in_every_mode(words, dtype):
    """To the last bit, whatever the sign of the seed's words: TensorFlow's float samplers do not do this."""
    seed = tf.constant(words, tf.int32)
    draws = [run(lambda: seeds.uniform([257], seed, dtype)).numpy().tobytes() for run in MODES.values()]
    assert len(set(draws)) == 1


def test_words_are_those_of_tensorflow():
    """Its own stateless integers for the same seed: no generator of ours."""
    for seed in ([0, 5], [7, 2**31 - 1]):
        words = tf.random.stateless_uniform([9], seed, minval=None, maxval=None, dtype=tf.uint32)
        np.testing.assert_array_equal(seeds.uniform([9], seed), ((words.numpy() >> 9) + 0.5) * 2.0**-23)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_normal_is_normal_in_every_mode(dtype):
    draws = [run(lambda: seeds.normal([50_000], 5, dtype)).numpy() for run in MODES.values()]
    for draw in draws:
        np.testing.assert_allclose(draw, draws[0], rtol=1e-5, atol=1e-6)
    assert_law(draws[0], stats.norm.cdf, shared_among=2)
    with pytest.raises(AssertionError):
        assert_law(draws[0] * 1.05, stats.norm.cdf)


@given(words=st.tuples(WORDS, WORDS), size=st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_the_same_signs_in_every_mode(words, size):
    seed = tf.constant(words, tf.int32)
    draws = [run(lambda: seeds.signs([3, size], seed)).numpy() for run in MODES.values()]
    assert all(draw.shape == (3, size) and set(np.unique(draw)) <= {-1.0, 1.0} for draw in draws)
    np.testing.assert_array_equal(draws, [draws[0]] * 3)


def test_signs_are_even_and_unrelated():
    """As often 1 as -1, and the four that come from one word, their neighbours and those of another seed unrelated."""
    streams = seeds.signs([40_000], 3).numpy().reshape(-1, 4).T
    streams = np.concatenate(
        [streams[:, 1:], streams[:, :-1], seeds.signs([40_000], 4).numpy().reshape(-1, 4).T[:, 1:]]
    )
    limit = stats.norm.isf(1e-4 / 2 / (12 + 66)) / np.sqrt(9_999)
    assert np.abs(streams.mean(axis=1)).max() < limit
    assert np.abs(np.corrcoef(streams)[np.triu_indices(12, 1)]).max() < limit


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_uniform_is_uniform_and_open(dtype):
    u = seeds.uniform([200_000], 5, dtype)
    assert_law(u, stats.uniform.cdf, shared_among=2)
    with pytest.raises(AssertionError):
        assert_law(u**1.02, stats.uniform.cdf)
    extremes = tf.constant([0.0, 2.0 ** (23 if dtype == tf.float32 else 52) - 1.0], dtype)
    lowest, highest = ((extremes + 0.5) * 2.0 ** (-23 if dtype == tf.float32 else -52)).numpy()
    assert lowest > 0.0
    assert highest < 1.0
    assert lowest == 1.0 - highest


def test_neighbouring_seeds_and_split_seeds_are_unrelated():
    streams = [seeds.uniform([10_000], s).numpy() for s in (0, 1, 2, *seeds.split(0, 3))]
    correlations = np.corrcoef(streams)[np.triu_indices(len(streams), 1)]
    assert np.abs(correlations).max() < stats.norm.isf(1e-4 / 2 / len(correlations)) / np.sqrt(10_000)


def test_integers_of_any_size():
    values = {tuple(seeds.as_seed(s).numpy()) for s in (0, 1, -1, 2**31, 2**32, 2**40 + 1, np.int64(7))}
    assert len(values) == 7


def test_a_pair_is_a_seed_of_two_words():
    for pair in ((0, 7), [0, 7], np.array([0, 7])):
        np.testing.assert_array_equal(seeds.as_seed(pair), seeds.as_seed(7))


def test_keras_seed_generator_advances_and_repeats():
    first, again = keras.random.SeedGenerator(3), keras.random.SeedGenerator(3)
    a, b = seeds.uniform([4], first), seeds.uniform([4], first)
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal(a, seeds.uniform([4], again))


def test_none_is_fresh_even_inside_a_compiled_function():
    draw = tf.function(lambda: seeds.uniform([4], None), jit_compile=True)
    assert not np.array_equal(draw(), draw())


@pytest.mark.parametrize("seed", ["seven", 1.5, True, [1, 2, 3], tf.constant([1.0, 2.0]), tf.constant([1, 2, 3])])
def test_other_seeds_are_refused(seed):
    with pytest.raises(TypeError, match="seed: expected an integer, an integer tensor"):
        seeds.as_seed(seed)


def test_any_seed_follows_keras():
    keras.utils.set_random_seed(1)
    first = [seeds.any_seed() for _ in range(3)]
    keras.utils.set_random_seed(1)
    assert [seeds.any_seed() for _ in range(3)] == first
    assert len(set(first)) == 3


def test_other_widths_are_refused():
    with pytest.raises(TypeError, match="dtype: expected float32 or float64; got float16"):
        seeds.uniform([2], 0, tf.float16)


def test_folded_seeds_are_unrelated_and_the_same_in_every_mode():
    streams = [
        seeds.uniform([10_000], s).numpy() for s in (7, *(seeds.fold(7, n) for n in (0, 1, 2)), seeds.fold(8, 0))
    ]
    correlations = np.corrcoef(streams)[np.triu_indices(len(streams), 1)]
    assert np.abs(correlations).max() < stats.norm.isf(1e-4 / 2 / len(correlations)) / np.sqrt(10_000)
    for seed in (7, (-3, -(2**31)), 2**40):
        folds = [run(lambda seed=seed: seeds.fold(seed, tf.constant(5, tf.int64))).numpy() for run in MODES.values()]
        np.testing.assert_array_equal(folds, [seeds.fold(seed, 5).numpy()] * 3)


ROWS = {"dtype": st.sampled_from([tf.float32, tf.float64]), "num_columns": st.integers(1, 9)}


@given(first=st.integers(0, 2**31 - 20), cut=st.integers(0, 12), **ROWS)
@settings(max_examples=25, deadline=None)
def test_a_row_is_the_same_whichever_rows_come_with_it(first, cut, num_columns, dtype):
    whole = seeds.uniform_rows(first, [12, num_columns], 3, dtype).numpy()
    parts = (
        seeds.uniform_rows(first, [cut, num_columns], 3, dtype),
        seeds.uniform_rows(tf.constant(first + cut), [12 - cut, num_columns], 3, dtype),
    )
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert len(np.unique(whole)) == whole.size or dtype == tf.float32  # 2^23 values: rarely, two agree


@given(words=st.tuples(WORDS, WORDS), **ROWS)
@settings(max_examples=10, deadline=None)
def test_the_same_rows_in_every_mode(words, num_columns, dtype):
    seed, first = tf.constant(words, tf.int32), tf.constant(5)
    draws = [run(lambda: seeds.uniform_rows(first, [7, num_columns], seed, dtype)).numpy() for run in MODES.values()]
    assert len({draw.tobytes() for draw in draws}) == 1


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
@pytest.mark.parametrize("num_columns", [1, 3, 4])
def test_rows_are_uniform_and_unrelated(num_columns, dtype):
    table = seeds.uniform_rows(0, [20_000, num_columns], 5, dtype).numpy()
    assert table.shape == (20_000, num_columns)
    assert_law(table.ravel(), stats.uniform.cdf, shared_among=6)
    other = seeds.uniform_rows(0, [20_000, num_columns], 6, dtype).numpy()
    streams = np.concatenate([table[1:].T, table[:-1].T, other[1:].T])  # columns, their neighbours below, another seed
    correlations = np.corrcoef(streams)[np.triu_indices(len(streams), 1)]
    assert np.abs(correlations).max() < stats.norm.isf(1e-4 / 6 / 2 / len(correlations)) / np.sqrt(19_999)


def test_rows_of_other_widths_of_numbers_are_refused():
    with pytest.raises(TypeError, match="dtype: expected float32 or float64; got float16"):
        seeds.uniform_rows(0, [2, 2], 0, tf.float16)
