"""Right answers pass the checks of the chapter "When the trick fails"; wrong ones fail, with a hint."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from companion import diagnostics, gradients
from companion.exercises import WrongAnswer
from companion.exercises import validity as check

# -- which estimators are valid -------------------------------------------------------------------------------------

BOTH, PATH, SCORE = {"pathwise", "score_function"}, {"pathwise"}, {"score_function"}
VALID = {
    "relu_normal": BOTH,
    "step_normal": SCORE,
    "identity_uniform": PATH,
    "step_uniform": set(),
    "parabola_uniform": BOTH,
    "square_bernoulli": SCORE,
    "abs_laplace": BOTH,
    "exp_square_normal": BOTH,
    "cantor_normal": SCORE,
}


@pytest.mark.parametrize("container", [set, list, tuple, frozenset])
def test_valid_estimators_accepts_the_right_sets(container, capsys):
    check.check_valid_estimators({name: container(names) for name, names in VALID.items()})
    said = capsys.readouterr().out
    assert said.startswith("Correct")
    assert "integral of its slope" in said  # no jump, and yet wrong: cantor_normal


@pytest.mark.parametrize("name", VALID)
@pytest.mark.parametrize("wrong", [set(), PATH, SCORE, BOTH], ids=["neither", "path", "score", "both"])
def test_valid_estimators_hints_without_giving_the_answer(name, wrong):
    if wrong == VALID[name]:
        return
    with pytest.raises(WrongAnswer, match=rf"{name}.*is not right. Hint") as caught:
        check.check_valid_estimators({**VALID, name: wrong})
    assert "expected" not in str(caught.value)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (None, "dict"),
        ({**VALID, "cosine": BOTH}, "cosine"),
        ({}, "relu_normal.*missing"),
        ({**VALID, "relu_normal": "pathwise"}, "a set"),
        ({**VALID, "relu_normal": {"reinforce"}}, "reinforce"),
        ({**VALID, "relu_normal": True}, "a set"),
        ({**VALID, "relu_normal": [1, 2]}, "a set"),
        ({**VALID, "relu_normal": np.array([1, 2])}, "a set"),
        ({**VALID, "step_uniform": {}}, r"the empty set is set\(\)"),
        ({**VALID, "step_uniform": None}, r"the empty set is set\(\)"),
    ],
)
def test_valid_estimators_refuses_other_things(answers, words):
    with pytest.raises(WrongAnswer, match=words):
        check.check_valid_estimators(answers)


def test_the_two_surprising_answers_are_those_of_the_formulas():
    """U(0, theta) at 2. step: truth 1/4, path 0, score -1/4. parabola: all three -1/3."""
    theta = 2.0
    z = (np.arange(200_000) + 0.5) / 200_000 * theta
    step, parabola = 1.0 * (z > 1), z * (2 - z)
    assert (-step / theta).mean() == pytest.approx(-0.25, abs=1e-4)  # truth: d/dtheta (1 - 1/theta) = 1/4
    truth = 1 - 2 * theta / 3  # of theta - theta^2 / 3
    assert (-parabola / theta).mean() == pytest.approx(truth, abs=1e-4)
    assert ((2 - 2 * z) * z / theta).mean() == pytest.approx(truth, abs=1e-4)


# -- a barrier option -----------------------------------------------------------------------------------------------


def barrier_gradient(eps, mu, sigma, strike, barrier, term=1.0, jump=None, speed=None, sd=None):
    z = mu + sigma * eps
    slope = np.where((np.exp(z) > strike) & (np.exp(z) < barrier), np.exp(z), 0.0)
    where = (np.log(barrier) - mu) / sigma
    jump = barrier - strike if jump is None else jump(strike, barrier)
    flux = -term * jump * stats.norm.pdf(where) / (sigma if sd is None else sd)
    return slope + flux, slope * eps + flux * (where if speed is None else speed)


def by_score(eps, mu, sigma, strike, barrier):
    z = mu + sigma * eps
    f = np.where(np.exp(z) < barrier, np.maximum(np.exp(z) - strike, 0.0), 0.0)
    return f * eps / sigma, f * (eps**2 - 1) / sigma


def mistaken_flux(eps, mu, sigma, strike, barrier, density, speed=None):
    """The pathwise part plus a boundary term with the density, and perhaps the speed, of a mistaken student."""
    loc, scale = barrier_gradient(eps, mu, sigma, strike, barrier, term=0.0)
    c = np.log(barrier)
    flux = -(barrier - strike) * density(c, barrier, mu, sigma)
    return loc + flux, scale + flux * ((c - mu) / sigma if speed is None else speed(c, mu))


def beyond_the_barrier(eps, mu, sigma, strike, barrier):
    """The slope of the call without a barrier, plus the right boundary term."""
    z = mu + sigma * eps
    beyond = np.where(np.exp(z) >= barrier, np.exp(z), 0.0)
    loc, scale = barrier_gradient(eps, mu, sigma, strike, barrier)
    return loc + beyond, scale + beyond * eps


@pytest.mark.parametrize(
    "answer",
    [
        barrier_gradient,
        by_score,
        lambda *a: list(barrier_gradient(*a)),
        lambda *a: np.stack(barrier_gradient(*a)),
        lambda *a: tf.stack(barrier_gradient(*a)),
    ],
    ids=["path and flux", "score", "list", "array", "tensor"],
)
def test_barrier_accepts_unbiased_estimates(answer, capsys):
    check.check_barrier_gradient(answer)
    assert capsys.readouterr().out.startswith("Correct")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda *a: barrier_gradient(*a, term=0.0), "boundary term is missing"),
        (lambda *a: barrier_gradient(*a, term=-1.0), "wrong sign"),
        (lambda *a: barrier_gradient(*a, jump=lambda k, b: b), "not B"),
        (lambda *a: barrier_gradient(*a, speed=1.0), "speed"),
        (lambda *a: barrier_gradient(*a, sd=1.0), "1 / sigma"),
        (lambda *a: mistaken_flux(*a, lambda c, b, m, s: stats.norm.pdf(b, m, s)), r"belongs at log\(barrier\)"),
        (lambda *a: mistaken_flux(*a, lambda c, b, m, s: stats.norm.pdf(c, m, s) / b), r"that of z, not that of exp"),
        (
            lambda *a: mistaken_flux(*a, lambda c, b, m, s: stats.norm.pdf(c, m, s), lambda c, m: c - m),
            r"\(c - mu\) / sigma, not c - mu",
        ),
        (beyond_the_barrier, "slope is 0 beyond the barrier"),
        (lambda *a: np.stack(barrier_gradient(*a), axis=1), "pair"),
        (lambda *a: tuple(g.mean() for g in barrier_gradient(*a)), "no mean"),
        (lambda *a: barrier_gradient(*a)[0], "pair"),
        (lambda *a: None, "pair"),
        (lambda *a: ("up", "out"), "numbers, not text|number"),
        (lambda *a: (np.full(a[0].shape, np.nan),) * 2, "finite"),
        (lambda eps: eps, "the call failed"),
        (7, "a function"),
    ],
)
def test_barrier_names_the_mistake(answer, words):
    with pytest.raises(WrongAnswer, match=words):
        check.check_barrier_gradient(answer)


# -- smoothing ------------------------------------------------------------------------------------------------------


def probit(mu, sigma, c, t):
    gradient = stats.norm.pdf(c, mu, np.hypot(sigma, t))
    return gradient, gradient - stats.norm.pdf(c, mu, sigma)


@pytest.mark.parametrize("kind", [tuple, list, np.array, tf.constant])
def test_probit_accepts_the_right_pair(kind, capsys):
    check.check_probit_smoothing(lambda *a: kind(probit(*a)))
    assert capsys.readouterr().out.startswith("Correct")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda m, s, c, t: (stats.norm.pdf(c, m, s), 0.0), "of the step itself"),
        (lambda m, s, c, t: (stats.norm.pdf(c, m, s + t), 0.0), "variances add"),
        (lambda m, s, c, t: (stats.norm.pdf((c - m) / np.hypot(s, t)), 0.0), "is missing"),
        (lambda m, s, c, t: (stats.norm.cdf((m - c) / np.hypot(s, t)), 0.0), "expectation, not"),
        (lambda m, s, c, t: (stats.norm.pdf(c, m, s**2 + t**2), 0.0), "a variance stands"),
        (lambda m, s, c, t: (probit(m, s, c, t)[0], -probit(m, s, c, t)[1]), "the sign"),
        (lambda m, s, c, t: (probit(m, s, c, t)[0], probit(m, s, c, t)[1] / stats.norm.pdf(c, m, s)), "relative"),
        (
            lambda m, s, c, t: (
                probit(m, s, c, t)[0],
                t**2 / 2 * stats.norm.pdf(c, m, s) * (((c - m) / s) ** 2 - 1) / s**2,
            ),
            "first term",
        ),
        (lambda m, s, c, t: probit(m, s, c, t)[0], "pair"),
        (lambda m, s, c, t: (None, None), "return"),
        (lambda m, s, c, t: ("a", "b"), "text"),
        (lambda m: m, "the call failed"),
        (None, "a function"),
    ],
)
def test_probit_names_the_mistake(answer, words):
    with pytest.raises(WrongAnswer, match=words):
        check.check_probit_smoothing(answer)


# -- gamma ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        lambda e, m, s: np.where(m + s * e > 1, e / s, 0.0),
        lambda e, m, s: np.maximum(m + s * e - 1, 0) * (e**2 - 1) / s**2,
        lambda e, m, s: np.where(m + s * e > 1, e / s, 0.0) - 0.3 * e / s,  # with a baseline
        lambda e, m, s: tf.cast(tf.where(m + s * e > 1, e / s, 0.0), tf.float32),
    ],
    ids=["path and score", "score twice", "baseline", "float32"],
)
def test_gamma_accepts_unbiased_estimators(answer, capsys):
    check.check_gamma_samples(answer)
    assert capsys.readouterr().out.startswith("Correct")


def second_difference(e, m, s, h=0.1):
    """Of the payoff at common noise: unbiased for a kink that is smoothed over [1 - h, 1 + h]."""
    up, here, down = (np.maximum(m + t + s * e - 1, 0) for t in (h, 0.0, -h))
    return (up - 2 * here + down) / h**2


@pytest.mark.parametrize("width", [0.2, 0.05, 0.025])
def test_gamma_rejects_a_smoothed_kink(width):
    def bell(e, m, s):
        return stats.norm.pdf((m + s * e - 1) / width) / width

    with pytest.raises(WrongAnswer, match=r"sigma = 0\.05.*standard errors"):
        check.check_gamma_samples(bell)


def test_gamma_rejects_a_second_difference():
    with pytest.raises(WrongAnswer, match=r"sigma = 0\.05.*standard errors"):
        check.check_gamma_samples(second_difference)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda e, m, s: np.zeros_like(e), "every one is 0"),
        (lambda e, m, s: np.where(m + s * e > 1, 1.0, 0.0), "first derivatives"),
        (lambda e, m, s: np.where(m + s * e > 1, e, 0.0), "1 / sigma is missing"),
        (lambda e, m, s: np.where(m + s * e > 1, e / s**2, 0.0), "1 / sigma too many"),
        (lambda e, m, s: np.where(m + s * e > 1, -e / s, 0.0), "the sign"),
        (lambda e, m, s: np.maximum(m + s * e - 1, 0) * (e**2 - 1), r"1 / sigma\^2 is missing"),
        (lambda e, m, s: np.maximum(m + s * e - 1, 0) * e / s, "first derivative"),
        (lambda e, m, s: np.where(m + s * e > 1, e / s, 0.0) / 2, "Price"),
        (lambda e, m, s: np.full_like(e, stats.norm.pdf((m - 1) / s) / s), "constant"),
        (lambda e, m, s: np.where(m + s * e > 0, e / s, 0.0), "standard errors|off by"),
        (lambda e, m, s: np.where(m + s * e > 1, e / s, 0.0).mean(), "no mean"),
        (lambda e, m, s: None, "return"),
        (lambda e, m, s: "gamma", "text"),
        (lambda e: e, "the call failed"),
        (3, "a function"),
    ],
)
def test_gamma_names_the_mistake(answer, words):
    with pytest.raises(WrongAnswer, match=words):
        check.check_gamma_samples(answer)


# -- finite variance ------------------------------------------------------------------------------------------------


def tamed(eps, a, mu):
    d = 1 - 2 * a
    return 2 * a * (mu / d + eps / np.sqrt(d)) * np.exp(a * mu**2 / d) / np.sqrt(d)


def plain(eps, a, mu):
    z = mu + eps
    return 2 * a * z * np.exp(a * z**2)


def weighted(eps, a, mu, centre=None, widen=1.0, weigh=True, slope=True):
    d = 1 - 2 * a
    centre, spread = mu / d if centre is None else centre, np.sqrt(widen / d)
    z = centre + spread * eps
    weight = stats.norm.pdf(z, mu, 1) / stats.norm.pdf(z, centre, spread) if weigh else 1.0
    value = np.exp(a * z**2)
    return (2 * a * z * value if slope else value * (z - mu)) * weight


@pytest.mark.parametrize(
    "answer",
    [
        tamed,
        weighted,
        lambda e, a, m: weighted(e, a, m, widen=1.3),
        lambda e, a, m: weighted(e, a, m, slope=False),
        lambda e, a, m: weighted(e, a, m, centre=m, widen=1.2),
        lambda e, a, m: weighted(e, a, m, centre=0.0),
        lambda e, a, m: weighted(e, a, m) if a >= 0.25 else plain(e, a, m),
    ],
    ids=["constant weight", "weighted", "wider", "score", "about mu", "about 0", "plain below a quarter"],
)
def test_tamed_accepts_wide_laws(answer, capsys):
    check.check_tamed(answer)
    assert capsys.readouterr().out.startswith("Correct")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (plain, "plain estimator"),
        (lambda e, a, m: e * np.exp(a * (m + e) ** 2), "plain estimator"),
        (lambda e, a, m: np.clip(2 * a * (m + e) * np.exp(a * (m + e) ** 2), -5, 5), "clipped"),
        (lambda e, a, m: weighted(e, a, m, weigh=False), "sum of squares"),
        (lambda e, a, m: weighted(e, a, m, widen=0.55), "sum of squares|standard errors"),
        (lambda e, a, m: weighted(e, a, m, widen=0.6), "clearly above.*a mean not far from"),
        (lambda e, a, m: -tamed(e, a, m), "the sign"),
        (lambda e, a, m: tamed(e, a, m) / (2 * a), "2 a is missing"),
        (lambda e, a, m: tamed(e, a, m) * np.sqrt(1 - 2 * a), r"1 / sqrt\(1 - 2a\) is missing"),
        (lambda e, a, m: tamed(e, a, m) * 1.3, "standard errors"),
        (lambda e, a, m: np.full_like(e, tamed(e, a, m).mean()), "constant"),
        (lambda e, a, m: tamed(e, a, m).mean(), "no mean"),
        (lambda e, a, m: e * np.inf, "finite"),
        (lambda e, a, m: None, "return"),
        (lambda e: e, "the call failed"),
        ("tamed", "a function"),
    ],
)
def test_tamed_names_the_mistake(answer, words):
    with pytest.raises(WrongAnswer, match=words):
        check.check_tamed(answer)


# -- the ward round -------------------------------------------------------------------------------------------------

DIAGNOSES = {
    "Ada": "jump",
    "Bela": "moving support",
    "Chen": "infinite variance",
    "Dora": "detached",
    "Emil": "healthy",
    "Fatou": "unseen region",
}
KINDS = {"Ada": "discontinuous", "Bela": "moving_support", "Chen": "infinite_variance", "Dora": "disagreement"}


def test_diagnoses_are_accepted(capsys):
    check.check_diagnoses(DIAGNOSES)
    assert capsys.readouterr().out.startswith("Correct")


@pytest.mark.parametrize("name", DIAGNOSES)
def test_each_patient_has_what_the_diagnosis_says(name):
    """By the audit for what it can find, by the exact gradient for the other two."""
    f, make, params = check.patients()[name]
    kinds = diagnostics.audit(f, make, params, seed=3).kinds
    if name in KINDS:
        assert KINDS[name] in kinds
        return
    assert not kinds
    (parameter,) = params
    estimate = gradients.pathwise(f, make, params, 20_000, seed=4)
    distance = abs(estimate.mean[parameter] - gradients.exact(f, make, params)[parameter])
    assert (distance < 5 * estimate.standard_error[parameter]) == (name == "Emil")


@pytest.mark.parametrize("name", DIAGNOSES)
@pytest.mark.parametrize("wrong", ["healthy", "jump", "snapshot", "infinite variance"])
def test_a_wrong_diagnosis_gets_a_hint_and_not_the_answer(name, wrong):
    if wrong == DIAGNOSES[name]:
        return
    with pytest.raises(WrongAnswer, match=rf"{name}.*not '{wrong}'. Hint"):
        check.check_diagnoses({**DIAGNOSES, name: wrong})


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (["jump"], "dict"),
        ({**DIAGNOSES, "Gustav": "healthy"}, "Gustav"),
        ({"Ada": "jump"}, "Bela.*missing"),
        ({**DIAGNOSES, "Ada": "flu"}, "expected one of"),
        ({**DIAGNOSES, "Ada": None}, "expected one of"),
        ({**DIAGNOSES, "Ada": ["jump"]}, "expected one of"),
    ],
)
def test_diagnoses_refuses_other_things(answers, words):
    with pytest.raises(WrongAnswer, match=words):
        check.check_diagnoses(answers)
