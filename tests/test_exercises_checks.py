"""The statistics of the checks: right answers pass at the stated rate, wrong ones fail."""

import numpy as np
import pytest
import tensorflow as tf

from companion.exercises.checks import FALSE_ALARM, WrongAnswer, correct, expect_close, expect_unbiased

HINT = "look again"


def test_correct_prints_one_line(capsys):
    correct("The mean is loc.")
    assert capsys.readouterr().out == "Correct. The mean is loc.\n"


@pytest.mark.parametrize("answer", [2.0, [1.0, 2.0], [[1.0], 2.0], {}, np.nan, np.inf])
def test_wrong_values_shapes_and_kinds_get_the_hint(answer):
    with pytest.raises(WrongAnswer, match=r"the mean: expected .* got .*Hint: look again"):
        expect_close("the mean", answer, 3.0, HINT)
    expect_close("the mean", 3.0 + 1e-7, 3.0, HINT)


@pytest.mark.parametrize("answer", ["3.0", b"3.0", np.str_("3.0"), tf.constant("3.0")])
def test_text_is_no_number(answer):
    """Even where NumPy would read it as one."""
    message = r"the mean: expected a number .* got .*3\.0.*Hint: numbers, not text"
    with pytest.raises(WrongAnswer, match=message):
        expect_close("the mean", answer, 3.0, HINT)
    for row in ([answer, answer], [answer, 3.0], np.array([answer, 3.0], dtype=object)):
        with pytest.raises(WrongAnswer, match=r"Hint"):
            expect_close("the mean", row, [3.0, 3.0], HINT)
    with pytest.raises(WrongAnswer, match=message):
        expect_unbiased("the mean", answer, 3.0, HINT)


@pytest.mark.parametrize("answer", [None, (None, None), (3.0, None), [[None, 3.0]]])
def test_none_is_asked_for_the_return(answer):
    with pytest.raises(WrongAnswer, match=r"the mean: got .*None.*\. Hint: does your function return\?"):
        expect_close("the mean", answer, 3.0, HINT)
    with pytest.raises(WrongAnswer, match=r"the mean: got .*None.*\. Hint: does your function return\?"):
        expect_unbiased("the mean", answer, 3.0, HINT)


@pytest.mark.parametrize("answer", [3, np.float32(3), tf.constant(3.0), tf.Variable(3.0), np.array(3.0, dtype=object)])
def test_numbers_of_every_kind_pass(answer):
    expect_close("the mean", answer, 3.0, HINT)
    expect_close("the mean", [answer, answer], [3.0, 3.0], HINT)


def test_the_false_alarm_rate_holds_with_few_samples():
    """Student's quantile, not the normal one: at twenty samples the stated rate times ten thousand is not exceeded."""
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(20_000, 20))
    alarms = 0
    for row in samples:
        try:
            expect_unbiased("x", row, 0.0, HINT)
        except WrongAnswer:
            alarms += 1
    assert alarms <= 4, f"{alarms} alarms where {len(samples) * FALSE_ALARM} are expected"


def test_a_biased_answer_fails():
    rng = np.random.default_rng(1)
    samples = rng.normal(size=(10_000, 2))
    expect_unbiased("x", samples, [0.0, 0.0], HINT)
    with pytest.raises(WrongAnswer, match=r"standard errors away\. Hint: look again"):
        expect_unbiased("x", samples + np.array([0.0, 0.1]), [0.0, 0.0], HINT)


@pytest.mark.parametrize("samples", [np.zeros(1), np.zeros((10, 3)), 3.0, np.full(10, np.nan)])
def test_samples_that_are_no_samples(samples):
    with pytest.raises(WrongAnswer):
        expect_unbiased("x", samples, 0.0, HINT)


def test_a_constant_that_is_wrong_fails_and_one_that_is_right_passes():
    expect_unbiased("x", np.full(10, 0.5), 0.5, HINT)
    with pytest.raises(WrongAnswer):
        expect_unbiased("x", np.zeros(10), 0.5, HINT)
