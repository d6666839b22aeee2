"""Checks of the exercises of the chapter "When the trick fails".

Contract: `companion.exercises.checks` states it. Each function takes a student's answer, prints "Correct" or raises
`WrongAnswer`, and recognises the wrong answers that are common.
"""

import numpy as np
import tensorflow as tf
from scipy import stats
from tensorflow_probability import distributions as tfd

from companion import gaussian, seeds
from companion.exercises.checks import WrongAnswer, as_numbers, call, correct, expect_close, expect_unbiased
from companion.reparameterizations import standard_normal

__all__ = [
    "check_barrier_gradient",
    "check_diagnoses",
    "check_gamma_samples",
    "check_probit_smoothing",
    "check_tamed",
    "check_valid_estimators",
    "patients",
]

_NUM_SAMPLES = 20_000
_BOTH = frozenset({"pathwise", "score_function"})
_PATH, _SCORE, _NEITHER = frozenset({"pathwise"}), frozenset({"score_function"}), frozenset()

_VALID = {
    "relu_normal": (
        _BOTH,
        "a kink is no jump: ReLU is the integral of its slope; the normal density is smooth in theta",
    ),
    "step_normal": (_SCORE, "paths cross the jump of f; the score function does not differentiate f"),
    "identity_uniform": (_PATH, "the density jumps at z = theta, where f is not 0; the path theta eps is smooth"),
    "step_uniform": (_NEITHER, "look at both: does f jump where paths cross? does q jump where f is not 0?"),
    "parabola_uniform": (_BOTH, "what is f at the end that moves? the boundary term is f(b) q(b) b'"),
    "square_bernoulli": (_SCORE, "z is discrete: its paths jump; its probabilities are smooth in theta"),
    "abs_laplace": (_BOTH, "f and q have kinks, at single points; neither jumps"),
    "exp_square_normal": (_BOTH, "the question is about the mean; what is infinite is the variance"),
    "cantor_normal": (_SCORE, "C is continuous but not the integral of its derivative"),
}


def check_valid_estimators(answers):
    """Checks which of pathwise and score function have the right mean, on nine problems.

    Args:
        answers: a mapping of the nine names of the exercise to a set of names of estimators.

    Raises:
        WrongAnswer: at the first name that is missing, unknown or wrong.
    """
    _expect_names("answers", answers, _VALID)
    for name, (right, hint) in _VALID.items():
        got = answers[name]
        if got is None or (isinstance(got, dict) and not got):
            raise WrongAnswer(
                f"answers[{name!r}]: expected a set of names of estimators, got {got!r}. "
                "Hint: the empty set is set(); {} is a dict"
            )
        if not isinstance(got, set | frozenset | list | tuple) or not all(isinstance(word, str) for word in got):
            raise WrongAnswer(f"answers[{name!r}]: expected a set of names of estimators, got {got!r}")
        if unknown := sorted(set(got) - _BOTH):
            raise WrongAnswer(f"answers[{name!r}]: expected 'pathwise' and 'score_function', got {unknown[0]!r}")
        if set(got) != right:
            raise WrongAnswer(f"answers[{name!r}]: {_in_words(got)} is not right. Hint: {hint}")
    correct(
        "For the path: is f(z(theta)) the integral of its slope? For the score: does q jump where f is not 0? "
        "An infinite variance does not move the mean."
    )


def _in_words(names):
    return " and ".join(sorted(names)) or "neither"


def _expect_names(what, answers, known):
    if not isinstance(answers, dict):
        raise WrongAnswer(f"{what}: expected a dict of names, got {type(answers).__name__}")
    if unknown := sorted(set(map(str, answers)) - set(known)):
        raise WrongAnswer(f"{what}: expected the names {', '.join(known)}; got {unknown[0]!r}")
    if missing := [name for name in known if name not in answers]:
        raise WrongAnswer(f"{what}: {missing[0]!r} is missing")


def check_barrier_gradient(barrier_gradient):
    """Checks gradients of an up-and-out call: the pathwise part plus the boundary term.

    Args:
        barrier_gradient: a function of eps (shape [num_samples]), mu, sigma, strike and barrier (numbers) that returns
            the two estimates for mu and sigma, each of shape [num_samples].

    Raises:
        WrongAnswer: if one of the means is wrong.
    """
    for case in ((1.0, 0.8, 0.9, 2.0), (0.3, 0.5, 1.2, 3.0)):
        _expect_barrier_gradient(barrier_gradient, *case)
    correct("What the path loses at the barrier is jump times density times speed.")


def _expect_barrier_gradient(barrier_gradient, mu, sigma, strike, barrier):
    eps = _normals(1)
    got = call("barrier_gradient", barrier_gradient, eps, mu, sigma, strike, barrier)
    pair = _pair("barrier_gradient(...)", got, "(estimates for mu, estimates for sigma)")

    def payoff(z):
        inside = tf.exp(z) < barrier
        return tf.where(inside, tf.nn.relu(tf.exp(z) - strike), tf.zeros_like(z))

    exact = gaussian.gradient(payoff, mu, sigma)
    where = (np.log(barrier) - mu) / sigma
    speeds = {"loc": 1.0, "scale": where}
    flux = -(barrier - strike) * stats.norm.pdf(where) / sigma
    for (name, truth), samples, symbol in zip(exact.items(), pair, ("mu", "sigma"), strict=True):
        what = f"the estimates for {symbol}"
        samples = _per_sample(what, samples, eps.shape)
        term = flux * speeds[name]
        z = mu + sigma * eps
        beyond = np.where(z > np.log(barrier), np.exp(z), 0.0) * (1.0 if name == "loc" else eps)
        mistakes = {
            "the boundary term is missing": -term,
            "the boundary term has the wrong sign: f falls at the barrier": -2.0 * term,
            "the jump is that of f, B - K, not B": term * strike / (barrier - strike),
            "the slope is 0 beyond the barrier": beyond.mean(),
        }
        if name == "loc":
            at_barrier = _flux_at(barrier, mu, sigma, strike)
            mistakes |= {
                "the density of z has a factor 1 / sigma": (sigma - 1.0) * term,
                "the density belongs at log(barrier), for z is a logarithm": at_barrier - term,
                "the density is that of z, not that of exp(z)": (1.0 / barrier - 1.0) * term,
            }
        else:
            mistakes |= {
                "samples at c move with the speed (c - mu) / sigma when sigma moves": flux - term,
                "the speed at c is (c - mu) / sigma, not c - mu": (sigma - 1.0) * term,
            }
        _name_a_biased_mean(what, samples, truth, mistakes)
        expect_unbiased(what, samples, truth, "jump times density at log B times speed (1, or (log B - mu) / sigma)")


def _flux_at(barrier, mu, sigma, strike):
    """The flux of a mistaken student, who took the density at the barrier itself."""
    return -(barrier - strike) * stats.norm.pdf((barrier - mu) / sigma) / sigma


def _name_a_biased_mean(what, samples, truth, mistakes):
    """Raises with the mistake whose bias the samples have: within 3 standard errors of it, 10 away from the truth."""
    error = samples.std(ddof=1) / np.sqrt(len(samples)) + 1e-9
    bias = samples.mean() - truth
    if abs(bias) < 10 * error:
        return
    closest = min(mistakes, key=lambda mistake: abs(bias - mistakes[mistake]))
    if abs(bias - mistakes[closest]) < 3 * error:
        raise WrongAnswer(f"{what}: the mean is off by {bias:.3g}. Hint: {closest}")


def check_probit_smoothing(probit_smoothing):
    """Checks the gradient in mu of E Phi((z - c) / temperature), z ~ N(mu, sigma^2), and its bias for the step.

    Args:
        probit_smoothing: a function of mu, sigma, c and temperature that returns the pair (gradient, bias).

    Raises:
        WrongAnswer: if one of the two is wrong.
    """
    for mu, sigma, c, temperature in ((0.5, 1.0, 1.0, 0.3), (-0.4, 0.7, 0.2, 1.5)):
        got = call("probit_smoothing", probit_smoothing, mu, sigma, c, temperature)
        gradient, bias = _pair("probit_smoothing(...)", got, "(gradient, bias)")
        step = stats.norm.pdf(c, mu, sigma)
        right = stats.norm.pdf(c, mu, np.hypot(sigma, temperature))
        _name_a_number(
            "the gradient",
            gradient,
            {
                "this is the gradient of the step itself": step,
                "variances add, not standard deviations": stats.norm.pdf(c, mu, sigma + temperature),
                "the factor 1 / sqrt(sigma^2 + temperature^2) is missing": right * np.hypot(sigma, temperature),
                "this is the expectation, not its derivative": stats.norm.cdf((mu - c) / np.hypot(sigma, temperature)),
                "a variance stands where a standard deviation should": stats.norm.pdf(c, mu, sigma**2 + temperature**2),
            },
            right,
        )
        expect_close("the gradient", gradient, right, "z + temperature N is normal; which variance has it?", rtol=1e-6)
        curvature = stats.norm.pdf(c, mu, sigma) * (((c - mu) / sigma) ** 2 - 1.0) / sigma**2
        _name_a_number(
            "the bias",
            bias,
            {
                "the sign: bias is the estimate's mean minus the truth": step - right,
                "this is the first term of an expansion in the temperature; the exact bias is asked for": temperature**2
                / 2
                * curvature,
                "this is the relative bias": (right - step) / step,
            },
            right - step,
        )
        expect_close(
            "the bias", bias, right - step, "the gradient of the smoothed problem minus that of the step", 1e-6
        )
    correct("To smooth a step with Phi is to add normal noise to z, and variances add.")


def _name_a_number(what, got, mistakes, right):
    got = as_numbers(what, got, "one number")
    for mistake, wrong in mistakes.items():
        if got.shape == () and np.isclose(got, wrong, rtol=1e-6) and not np.isclose(wrong, right, rtol=1e-6):
            raise WrongAnswer(f"{what}: got {got:.4g}. Hint: {mistake}")


def check_gamma_samples(gamma_samples):
    """Checks an estimator of the second derivative in mu of E max(z - 1, 0), z = mu + sigma eps.

    One of the cases has a small sigma: there the bias of a smoothed second derivative shows.

    Args:
        gamma_samples: a function of eps (shape [num_samples]), mu and sigma (numbers) that returns one estimate a
            noise value, shape [num_samples].

    Raises:
        WrongAnswer: if the mean is wrong, or the estimates are constant.
    """
    eps = _normals(2)
    for mu, sigma in ((0.5, 0.6), (1.4, 1.7), (1.0, 0.05)):
        what = f"the estimates at mu = {mu}, sigma = {sigma}"
        samples = _per_sample(what, call("gamma_samples", gamma_samples, eps, mu, sigma), eps.shape)
        r = (mu - 1.0) / sigma
        gamma, delta = stats.norm.pdf(r) / sigma, stats.norm.cdf(r)
        if not samples.any():
            raise WrongAnswer(
                f"{what}: every one is 0. Hint: f'' is 0 between kinks; the path cannot see the kink twice"
            )
        if np.ptp(samples) == 0.0:
            raise WrongAnswer(f"{what}: they are constant. Hint: an estimator is asked for, made from eps")
        if set(np.unique(samples)) == {0.0, 1.0}:
            raise WrongAnswer(f"{what}: these are first derivatives. Hint: one more derivative, this time by the score")
        mistakes = {
            "a factor 1 / sigma is missing": (sigma - 1.0) * gamma,
            "a factor 1 / sigma too many": (1.0 / sigma - 1.0) * gamma,
            "a factor 1 / sigma^2 is missing": (sigma**2 - 1.0) * gamma,
            "the sign is wrong": -2.0 * gamma,
            "this has the mean of the first derivative": delta - gamma,
            "half of it: that is Price's derivative in sigma^2": -0.5 * gamma,
        }
        _name_a_biased_mean(what, samples, gamma, mistakes)
        expect_unbiased(
            what, samples, gamma, "one derivative along the path, 1[z > 1], the other by the score eps / sigma"
        )
    correct("Unbiased where nested tapes say 0.")


def check_tamed(tamed):
    """Checks an unbiased estimator with finite variance of the gradient in mu of E exp(a z^2), z ~ N(mu, 1).

    Right answers that pass: the pathwise or the score-function gradient with weights, under a normal law that is
    clearly wide enough for a finite variance, with a mean and a scale near the best.

    Args:
        tamed: a function of eps (shape [num_samples]), a and mu (numbers) that returns one estimate a noise value.

    Raises:
        WrongAnswer: if the mean is wrong, or the variance is infinite or enormous.
    """
    eps = _normals(3)
    for a, mu in ((0.3, 0.5), (0.4, -0.3), (0.1, 0.4)):
        what = f"the estimates at a = {a}, mu = {mu}"
        samples = _per_sample(what, call("tamed", tamed, eps, a, mu), eps.shape)
        d = 1.0 - 2.0 * a
        value = np.exp(a * mu**2 / d) / np.sqrt(d)
        truth = 2.0 * a * mu / d * value
        z = mu + eps
        plain, score = 2.0 * a * z * np.exp(a * z**2), np.exp(a * z**2) * eps
        if a >= 0.25 and (np.allclose(samples, plain) or np.allclose(samples, score)):
            raise WrongAnswer(
                f"{what}: this is the plain estimator, whose variance is infinite for a >= 1/4. Hint: a wider law"
            )
        if np.ptp(samples) == 0.0:
            raise WrongAnswer(f"{what}: they are constant. Hint: an estimator is asked for, made from eps")
        unclipped = np.mean(np.isclose(samples, plain))
        if a >= 0.25 and np.abs(samples).max() <= np.abs(plain).max() and unclipped > 0.5:
            raise WrongAnswer(
                f"{what}: these are clipped. Hint: clipping removes what carries the mean; sample it instead"
            )
        _expect_light_tail(what, samples)
        mistakes = {
            "the weight q / r is missing": np.nan,
            "the sign is wrong": -2.0 * truth,
            "the factor 2 a is missing": truth * (1.0 / (2.0 * a) - 1.0),
            "the constant 1 / sqrt(1 - 2a) is missing": truth * (np.sqrt(d) - 1.0),
        }
        _name_a_biased_mean(what, samples, truth, {k: v for k, v in mistakes.items() if np.isfinite(v)})
        expect_unbiased(
            what, samples, truth, "the slope 2 a z exp(a z^2) times q / r at samples z of r; is r normalised?"
        )
    correct("The same mean, and standard errors that can be believed.")


def _expect_light_tail(what, samples):
    """One sample may not make up more than a twentieth of the sum of squares."""
    squares = samples**2
    share = squares.max() / squares.sum()
    if share > 0.05:
        raise WrongAnswer(
            f"{what}: one of {len(samples)} samples makes up {share:.0%} of the sum of squares: the variance is "
            "infinite or enormous. Hint: the law that you draw from needs a variance clearly above "
            "1 / (2 (1 - 2 a)), and a mean not far from mu / (1 - 2 a)"
        )


_DIAGNOSES = {
    "Ada": ("jump", "follow f along a line: the audit says where it jumps"),
    "Bela": ("moving support", "which samples are possible under the neighbour?"),
    "Chen": ("infinite variance", "look at the largest gradients"),
    "Dora": ("detached", "two estimates of one number differ, and f is smooth: what is cut?"),
    "Emil": ("healthy", "a kink is no illness"),
    "Fatou": ("unseen region", "the audit is silent; compare with gradients.exact"),
}
_WORDS = ("healthy", "jump", "moving support", "infinite variance", "snapshot", "detached", "unseen region")


def patients():
    """The problems of the exercise: a dict of names to (f, make_distribution, params).

    Example:
        >>> list(patients())
        ['Ada', 'Bela', 'Chen', 'Dora', 'Emil', 'Fatou']
    """
    one = np.float64(1.0)

    def normal(loc):
        return tfd.Normal(loc, tf.ones_like(loc))

    return {
        "Ada": (lambda z: tf.where(z > 1.5, 2.0 * z, z), normal, {"loc": one}),
        "Bela": (lambda z: tf.exp(-z), lambda start: tfd.Uniform(start, start + 2.0), {"start": one}),
        "Chen": (lambda z: tf.cosh(z) * tf.exp(0.35 * z**2), normal, {"loc": one}),
        "Dora": (lambda z: z**2 * tf.stop_gradient(tf.sigmoid(z)), normal, {"loc": one}),
        "Emil": (lambda z: tf.abs(z - 0.2) + tf.nn.relu(z), normal, {"loc": one}),
        "Fatou": (lambda z: tf.sin(z) + 1e8 * tf.sigmoid(50.0 * (z - 7.0)), normal, {"loc": one}),
    }


def check_diagnoses(diagnoses):
    """Checks the diagnoses of the six problems of `patients`.

    Args:
        diagnoses: a mapping of the names to one of "healthy", "jump", "moving support", "infinite variance",
            "snapshot", "detached", "unseen region".

    Raises:
        WrongAnswer: at the first name that is missing, unknown or wrong.
    """
    _expect_names("diagnoses", diagnoses, _DIAGNOSES)
    for name, (right, hint) in _DIAGNOSES.items():
        got = diagnoses[name]
        if not isinstance(got, str) or got not in _WORDS:
            raise WrongAnswer(f"diagnoses[{name!r}]: expected one of {', '.join(_WORDS)}; got {got!r}")
        if got != right:
            raise WrongAnswer(f"diagnoses[{name!r}]: not {got!r}. Hint: {hint}")
    correct("Four the audit finds, one is healthy, and one only an exact answer can tell.")


def _normals(seed):
    return standard_normal(dtype=tf.float64).sample(_NUM_SAMPLES, seed=seeds.as_seed(seed)).numpy()


def _pair(what, got, expected):
    """The two parts of a tuple, a list, or an array that was stacked from them."""
    if isinstance(got, np.ndarray | tf.Tensor) and got.shape[:1] == (2,):
        return tuple(got)
    if not isinstance(got, tuple | list) or len(got) != 2:
        raise WrongAnswer(f"{what}: expected a pair {expected}, got {type(got).__name__}. Hint: return both")
    return got


def _per_sample(what, got, shape):
    samples = as_numbers(what, got, "one number for each entry of eps")
    if samples.shape != shape:
        raise WrongAnswer(
            f"{what}: expected one a sample, shape {list(shape)}, got {list(samples.shape)}. Hint: no mean, no sum"
        )
    if not np.isfinite(samples).all():
        raise WrongAnswer(f"{what}: expected finite numbers, got NaN or infinity. Hint: does an exponential overflow?")
    return samples
