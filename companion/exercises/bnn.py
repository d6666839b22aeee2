r"""Checks of the exercises of the chapter "Bayesian neural networks".

Contract: each check takes a student's answer, prints "Correct. ..." or raises `WrongAnswer` with what was expected,
what came and the likely reason. The targets are closed forms or sums over given noise. No check draws random numbers
that an answer could depend on.
"""

import itertools

import numpy as np
import tensorflow as tf

from companion import datasets
from companion.exercises.checks import WrongAnswer, as_numbers, call, correct, expect_close

__all__ = [
    "check_decompose",
    "check_flipout_outputs",
    "check_kl_weights",
    "check_local_outputs",
    "check_mended_loss",
    "check_most_overconfident",
    "check_turned_digits",
]

_KL_WEIGHTS = {  # for N = 1500, M = 100: the weight, and what mistaken readings give
    "mean + KL / 1500": (1.0, {}),
    "sum + KL": (15.0, {1.0: "the KL is charged in every one of the 15 batches of an epoch, not once"}),
    "mean + KL": (1500.0, {15.0: "the loss of a batch is a mean here, not a sum"}),
    "sum + KL / 15": (1.0, {100.0: "the loss of a batch is a sum here, not a mean"}),
    "mean + KL / 15": (100.0, {1.0: "dividing by the number of batches is right beside a sum, not beside a mean"}),
    "sum + KL / 1500": (0.01, {1.0: "dividing by N is right beside a mean, not beside a sum"}),
    "mean + KL / 1500, KL / 1500 again": (2.0, {1.0: "the layer and the loss both charge it"}),
}
_FEWEST_RIGHT = 0.95  # of check_turned_digits, on the digits as they are
_ANGLE, _LEAST_SCORE = 40.0, -4.0  # the angle in degrees, and the log score there in nats


def check_kl_weights(kl_weights):
    r"""The weight :math:`\beta` of the KL that seven losses imply, for 1500 examples in batches of 100.

    Args:
        kl_weights: a mapping of the seven losses, as the exercise names them, to numbers.

    Raises:
        WrongAnswer: for the first weight that is wrong, with the likely mistake.

    Example:
        >>> check_kl_weights({"mean + KL / 1500": 1500.0})
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: kl_weights: expected the keys ...
    """
    if not isinstance(kl_weights, dict) or set(kl_weights) != set(_KL_WEIGHTS):
        got = sorted(map(str, kl_weights)) if isinstance(kl_weights, dict) else kl_weights
        raise WrongAnswer(f"kl_weights: expected the keys {sorted(_KL_WEIGHTS)}, got {got!r}. Hint: copy their names")
    for label, (right, mistakes) in _KL_WEIGHTS.items():
        inverse = [(1.0 / right, "this is 1 / beta: how often each example is counted")]
        reasons = [*mistakes.items(), *(inverse if right != 1.0 else [])]
        hint = "with the loss c * (sum of the batch) + d * KL, beta = d N / (c M)"
        _expect(f"the weight for '{label}'", kl_weights[label], right, reasons, hint)
    correct("Only a loss with weight 1 is minus an ELBO.")


def check_local_outputs(local_outputs):
    r"""Local reparameterization of a dense layer, by hand.

    Args:
        local_outputs: a function from (h, loc, scale, eps), NumPy arrays of shapes [num_examples, num_inputs],
            [num_inputs, num_outputs], the same, and [num_examples, num_outputs] (standard normal noise), to the
            pre-activations [num_examples, num_outputs].

    Raises:
        WrongAnswer: with the likely mistake: the standard deviations summed, a root forgotten, no square.

    Example:
        >>> check_local_outputs(lambda h, loc, scale, eps: h @ loc)
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the pre-activations: ... Hint: there is no noise in it
    """
    rng = np.random.default_rng(0)
    h, loc, eps = rng.normal(size=(5, 4)), rng.normal(size=(4, 3)), rng.normal(size=(5, 3))
    scale = np.exp(rng.normal(size=(4, 3)))
    given = (h.copy(), loc.copy(), scale.copy(), eps.copy())
    mean, variance = h @ loc, h**2 @ scale**2
    _expect(
        "the pre-activations",
        call("local_outputs", local_outputs, *given),
        mean + np.sqrt(variance) * eps,
        [
            (mean, "there is no noise in it"),
            (mean + (h @ scale) * eps, "variances add, not standard deviations: h^2 times scale^2, then the root"),
            (
                mean + (np.abs(h) @ scale) * eps,
                "variances add, not standard deviations: h^2 times scale^2, then the root",
            ),
            (mean + np.abs(h @ scale) * eps, "square h and scale before the matrix product: sum_j h_j^2 scale_j^2"),
            (mean + np.sqrt(np.where(h @ scale**2 < 0.0, np.nan, h @ scale**2)) * eps, "the inputs are squared too"),
            (np.sqrt(variance) * eps, "the mean, h loc, is missing"),
            (mean + variance * eps, "h^2 scale^2 is the variance; multiply eps by its root"),
            (mean + np.sqrt(np.abs(h) @ scale**2) * eps, "the inputs are squared too"),
            (mean + np.sqrt(h**2 @ scale) * eps, "scale is a standard deviation; square it"),
            (mean + np.sqrt(variance) * eps[:1], "every example has noise of its own"),
        ],
        "h loc + sqrt(h^2 scale^2) eps, with matrix products",
    )
    correct("Two matrix products, and not one weight was drawn.")


def check_flipout_outputs(flipout_outputs):
    r"""Flipout of a dense layer, by hand, without a weight matrix for each example.

    Args:
        flipout_outputs: a function from (h, loc, scale, eps, signs_in, signs_out), NumPy arrays of shapes
            [num_examples, num_inputs], [num_inputs, num_outputs] three times, [num_examples, num_inputs] and
            [num_examples, num_outputs], to the pre-activations [num_examples, num_outputs].

    Raises:
        WrongAnswer: with the likely mistake: signs that also turn the mean, one of the two signs forgotten.

    Example:
        >>> check_flipout_outputs(lambda h, loc, scale, eps, signs_in, signs_out: h @ (loc + scale * eps))
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the pre-activations: ... Hint: this is one shared draw; ...
    """
    rng = np.random.default_rng(1)
    h, loc, eps = rng.normal(size=(5, 4)), rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    scale = np.exp(rng.normal(size=(4, 3)))
    signs_in, signs_out = rng.choice([-1.0, 1.0], size=(5, 4)), rng.choice([-1.0, 1.0], size=(5, 3))
    signs_in[0], signs_out[0] = [1.0, -1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]  # not all equal
    given = [a.copy() for a in (h, loc, scale, eps, signs_in, signs_out)]
    noise = scale * eps
    _expect(
        "the pre-activations",
        call("flipout_outputs", flipout_outputs, *given),
        h @ loc + ((h * signs_in) @ noise) * signs_out,
        [
            (h @ (loc + noise), "this is one shared draw; the signs make it another for every example"),
            (((h * signs_in) @ (loc + noise)) * signs_out, "the signs turn the perturbation, not the mean"),
            (h @ loc + (h * signs_in) @ noise, "the signs of the outputs are missing"),
            (h @ loc + (h @ noise) * signs_out, "the signs of the inputs are missing"),
            (h @ loc + ((h * signs_in) @ eps) * signs_out, "the perturbation is scale * eps"),
            (
                h @ loc + ((h * signs_in) @ (scale**2 * eps)) * signs_out,
                "scale is a standard deviation, not a variance",
            ),
            (((h * signs_in) @ noise) * signs_out, "the mean, h loc, is missing"),
            (
                (h * signs_in) @ loc + ((h * signs_in) @ noise) * signs_out,
                "the signs turn the perturbation, not the mean",
            ),
            ((h @ loc + (h * signs_in) @ noise) * signs_out, "the signs turn the perturbation, not the mean"),
            (h @ loc + ((h * signs_in[:1]) @ noise) * signs_out[:1], "every example has signs of its own"),
        ],
        "h loc + ((h * signs_in) (scale * eps)) * signs_out",
    )
    correct("One draw, two matrix products, and another sign pattern for every example.")


def check_mended_loss(mended_loss):
    r"""Minus the ELBO per example of a Bayesian regression network, from one minibatch and one draw.

    Args:
        mended_loss: a function from (predict, x, y, loc, scale, eps, noise_scale, num_examples): `predict(x, w)`
            gives the means [batch] for inputs [batch, num_inputs] and weights [num_weights]; targets [batch]; loc,
            scale and standard normal noise [num_weights]; the noise's standard deviation; and the number of training
            examples, of which the batch holds some. The prior is standard normal. To a number, in nats.

    Raises:
        WrongAnswer: with the bug that is still in it.

    Example:
        >>> check_mended_loss(lambda predict, x, y, loc, scale, eps, noise_scale, num_examples: 0.0)
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the loss: expected ..., got 0. ...
    """
    rng = np.random.default_rng(2)
    x, y, loc, eps = rng.normal(size=(6, 3)), rng.normal(size=6), rng.normal(size=4), rng.normal(size=4)
    scale, noise_scale, num_examples = np.exp(0.5 * rng.normal(size=4)), 0.3, 50

    def predict(x, w):
        return np.tanh(x @ np.asarray(w)[:3]) * np.asarray(w)[3]

    def loss(*bugs):
        w = loc + (scale**2 if "variance" in bugs else scale) * (0.0 if "mean" in bugs else eps)
        squares = (y - predict(x, w)) ** 2
        fits = squares / (1.0 if "half" in bugs else 2.0) / noise_scale**2
        fits += 0.0 if "constant" in bugs else np.log(noise_scale) + np.log(2.0 * np.pi) / 2.0
        fits = squares if "squares" in bugs else fits
        fits = fits - np.log(2.0 * np.pi) / 2.0 if "two pi" in bugs else fits
        parts = (loc**2 + scale**2 - 1.0 - 2.0 * np.log(scale)) / 2.0
        kl = parts.mean() if "weights" in bugs else parts.sum()
        if "sampled" in bugs:
            kl = np.sum((w**2 - eps**2) / 2.0 - np.log(scale))
        shares = {"batch": len(x), "undivided": 1, "twice": num_examples**2, "batches": num_examples / len(x)}
        share = next((share for bug, share in shares.items() if bug in bugs), num_examples)
        return (fits.sum() if "sum" in bugs else fits.mean()) + kl / share

    reasons = {
        "variance": "scale is a standard deviation: w = loc + scale eps",
        "mean": "the weights must be drawn; this is the loss at their mean",
        "squares": "the mean squared error is no log-likelihood: it needs noise_scale, and its constants",
        "constant": "the normaliser is missing: log(noise_scale) + log(2 pi) / 2 for every example",
        "two pi": "log(2 pi) / 2 is missing",
        "half": "-log p has half the square of (y - f) / noise_scale",
        "weights": "the KL is a sum over the weights, not a mean",
        "batch": "divide the KL by num_examples, not by the size of the batch",
        "batches": "beside a mean the KL is divided by num_examples, not by the number of batches",
        "undivided": "the KL is not divided: beside a mean over examples it is divided by num_examples",
        "twice": "the KL is divided twice",
        "sum": "average over the batch beside KL / num_examples",
    }
    exclusive = [{"variance", "mean"}, {"squares", "constant", "two pi", "half"}, {"constant", "two pi"}]
    exclusive += [{"batch", "batches", "undivided", "twice"}]
    mistakes = [
        (loss(*bugs), "; ".join(reasons[bug] for bug in bugs))
        for count in (1, 2, 3, 4)
        for bugs in itertools.combinations(reasons, count)
        if all(len(group.intersection(bugs)) < 2 for group in exclusive)
    ]
    mistakes.append((loss("sampled"), "unbiased too, but sampled: use the KL in closed form, as the given code does"))
    mistakes.append((-loss(), "this is the ELBO; its negative is the loss"))
    given = (predict, x.copy(), y.copy(), loc.copy(), scale.copy(), eps.copy(), noise_scale, num_examples)
    hint = "mean of -log p(y | x, w) over the batch, with constants, plus KL / num_examples"
    _expect("the loss", call("mended_loss", mended_loss, *given), loss(), mistakes, hint)
    correct("An unbiased estimate of minus the ELBO per example, in nats.")


def check_decompose(decompose):
    """The total, aleatoric and epistemic entropy of a mixture of classifiers.

    Args:
        decompose: a function from probabilities, a NumPy array of shape [num_samples, num_inputs, num_classes], in
            which some are zero, to the triple (total, aleatoric, epistemic), each of shape [num_inputs], in nats.

    Raises:
        WrongAnswer: with the likely mistake: bits, the wrong axis, mean and entropy exchanged, 0 log 0.

    Example:
        >>> check_decompose(lambda probabilities: (0.0, 0.0, 0.0))
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the total entropy: ...
    """
    rng = np.random.default_rng(3)
    probabilities = rng.dirichlet([0.5, 1.0, 1.5], size=(6, 4))
    probabilities[:, 0] = [0.2, 0.3, 0.5]  # all agree
    probabilities[:3, 1], probabilities[3:, 1] = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]  # at odds, and sure

    def entropy(p):
        with np.errstate(all="ignore"):
            return -np.sum(np.where(p > 0.0, p * np.log(p), 0.0), axis=-1)

    total, aleatoric = entropy(probabilities.mean(axis=0)), entropy(probabilities).mean(axis=0)
    answer = call("decompose", decompose, probabilities.copy())
    try:
        got = tuple(answer)
    except TypeError as error:
        raise WrongAnswer(f"decompose: expected a triple, got {answer!r}. Hint: return three things") from error
    if len(got) != 3:
        raise WrongAnswer(f"decompose: expected a triple, got {len(got)} things. Hint: (total, aleatoric, epistemic)")
    rights = {"total": total, "aleatoric": aleatoric, "epistemic": total - aleatoric}
    for value, (part, right) in zip(got, rights.items(), strict=True):
        numbers = as_numbers(f"the {part} entropy", _plain(value), "one number for each input")
        if np.isnan(numbers).any():
            raise WrongAnswer(
                f"the {part} entropy: expected finite numbers, got NaN. Hint: 0 log 0 is 0; use np.where or xlogy"
            )
        reasons = [
            (right / np.log(2.0), "these are bits; use the natural logarithm"),
            (-right, "the sign is wrong: " + ("total - aleatoric" if part == "epistemic" else "-sum p log p")),
            (right / probabilities.shape[-1], "sum over the classes, do not average"),
            *(
                (other, f"this is the {name} one; return (total, aleatoric, epistemic)")
                for name, other in rights.items()
            ),
            (entropy(probabilities).sum(axis=0), "average over the draws, do not sum"),
            (entropy(probabilities)[0], "this is the first draw alone"),
        ]
        hint = "total: entropy of the mean; aleatoric: mean of the entropies; epistemic: their difference"
        _expect(f"the {part} entropy", value, right, reasons, hint)
    correct("The first input is noisy, the second is one that the networks contradict each other about.")


def check_most_overconfident(most_overconfident):
    r"""Where the best mean-field posterior of a linear regression is the most overconfident, and how much.

    Args:
        most_overconfident: a function from (x, noise_scale), inputs [num_examples, num_weights] and a number, for the
            prior N(0, I), to the pair (ratio, direction): the least ratio of mean field's epistemic variance to the
            exact one over all inputs, and an input at which it is attained, shape [num_weights], of any length but 0.

    Raises:
        WrongAnswer: with the likely mistake: marginal variances, the largest ratio, a direction that is not scaled
            back.

    Example:
        >>> check_most_overconfident(lambda x, noise_scale: (1.0, np.ones(x.shape[1])))
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the ratio ...
    """
    rng = np.random.default_rng(4)
    for num_weights, noise_scale in [(3, 0.5), (5, 1.5)]:
        mixing = np.eye(num_weights) + rng.normal(size=(num_weights, num_weights))
        x = rng.normal(size=(30, num_weights)) @ mixing * np.linspace(1.0, 3.0, num_weights)
        precision = np.eye(num_weights) + x.T @ x / noise_scale**2
        covariance, conditional = np.linalg.inv(precision), 1.0 / np.diag(precision)
        root = np.sqrt(conditional)
        eigenvalues, vectors = np.linalg.eigh(root[:, None] * precision * root)
        where = f"for {num_weights} weights and noise_scale={noise_scale}"
        answer = call("most_overconfident", most_overconfident, x.copy(), noise_scale)
        try:
            got_ratio, got_direction = answer
        except (TypeError, ValueError) as error:
            raise WrongAnswer(
                f"most_overconfident: expected a pair, got {answer!r}. Hint: return two things"
            ) from error
        unscaled = np.linalg.eigvalsh(precision)
        no_prior = x.T @ x / noise_scale**2
        reasons = [
            (eigenvalues[-1], "this is the largest ratio, where mean field is the least sure"),
            ((conditional / np.diag(covariance)).min(), "this is the least ratio of the weights' own variances"),
            (1.0 / eigenvalues[0], "this is its inverse"),
            (np.sqrt(eigenvalues[0]), "this is the ratio of the standard deviations; variances are wanted"),
            (
                np.linalg.eigvalsh(_unit_diagonal(np.eye(num_weights) + x.T @ x / noise_scale))[0],
                "X'X / s^2: square noise_scale",
            ),
            (unscaled[0], "scale the precision to ones on its diagonal first"),
            (np.linalg.eigvalsh(np.corrcoef(x.T))[0], "the prior belongs to the precision, and nothing is centred"),
            (np.linalg.eigvalsh(_unit_diagonal(no_prior))[0], "the prior's precision I is missing"),
        ]
        hint = "the least eigenvalue of D^(1/2) P D^(1/2) with P = I + X'X / s^2 and D = diag(1 / P_jj)"
        _expect(f"the ratio {where}", got_ratio, eigenvalues[0], reasons, hint)
        direction = as_numbers(f"the direction {where}", _plain(got_direction), "an input of shape [num_weights]")
        if direction.shape != (num_weights,) or not np.isfinite(direction).all() or not direction.any():
            expected = f"expected shape [{num_weights}], finite and not zero, got {direction}"
            raise WrongAnswer(f"the direction {where}: {expected}. Hint: an input x")
        ratio = direction @ (conditional * direction) / (direction @ covariance @ direction)
        if not np.isclose(ratio, eigenvalues[0], rtol=1e-4):
            unit = direction / np.linalg.norm(direction)
            hint = "check x'Dx / x'P^-1 x"
            if np.isclose(abs(unit @ vectors[:, 0]), 1.0, rtol=1e-4):
                hint = "this is the eigenvector u; the input is x = D^(-1/2) u"
            elif np.isclose(abs(unit @ (root * vectors[:, 0])), np.linalg.norm(root * vectors[:, 0]), rtol=1e-4):
                hint = "this is D^(1/2) u; the input is x = D^(-1/2) u"
            raise WrongAnswer(
                f"the direction {where}: expected the ratio {eigenvalues[0]:.4g}, got {ratio:.4g}. Hint: {hint}"
            )
    correct("The data say least about this direction, and mean field does not know it.")


def check_turned_digits(probabilities_of):
    """A classifier of digits that is right on the test digits, and knows less where they are turned.

    Args:
        probabilities_of: a function from images, float32 of shape [num_images, 8, 8, 1], to the probabilities of the
            ten classes, shape [num_images, 10].

    Raises:
        WrongAnswer: with the accuracy or the log score, and what is likely to help.

    Example:
        >>> check_turned_digits(lambda x: np.full([len(x), 10], 0.1))
        Traceback (most recent call last):
        ...
        companion.exercises.checks.WrongAnswer: the accuracy on the test digits: ...
    """
    data = datasets.digits(binarize=None)
    scores = {}
    for what, x in {"as they are": data.x_test, "turned": datasets.rotated(data.x_test, _ANGLE)}.items():
        found = as_numbers(
            "probabilities_of", _plain(call("probabilities_of", probabilities_of, x)), "[num_images, 10]"
        )
        if found.shape != (len(x), 10):
            got = f"expected shape [{len(x)}, 10], got {list(found.shape)}"
            raise WrongAnswer(f"probabilities_of: {got}. Hint: average over the draws")
        if not np.isfinite(found).all() or (found < 0.0).any() or not np.allclose(found.sum(axis=1), 1.0, atol=1e-3):
            hint = "softmax of the logits, averaged over the draws"
            raise WrongAnswer(f"probabilities_of: expected probabilities that sum to 1, got others. Hint: {hint}")
        right = found[np.arange(len(x)), data.y_test]
        scores[what] = np.mean(found.argmax(axis=1) == data.y_test), np.mean(np.log(np.maximum(right, 1e-30)))
    accuracy, score = scores["as they are"][0], scores["turned"][1]
    if not accuracy >= _FEWEST_RIGHT:
        hint = "average over more draws; train longer, or with a larger rate; is the prior wide enough?"
        got = f"expected at least {_FEWEST_RIGHT}, got {accuracy:.3f}"
        raise WrongAnswer(f"the accuracy on the test digits: {got}. Hint: {hint}")
    if not score >= _LEAST_SCORE:
        hint = "average probabilities over many draws; let the scales grow (more epochs, a larger scale to begin with)"
        got = f"expected at least {_LEAST_SCORE:g} nats on average, got {score:.2f}"
        raise WrongAnswer(f"the log score on digits turned by {_ANGLE:g} degrees: {got}. Hint: {hint}")
    correct(
        "It is right on the digits as they are, and less sure of the turned ones. How it does it, no check can see."
    )


def _unit_diagonal(matrix):
    root = 1.0 / np.sqrt(np.diag(matrix))
    return root[:, None] * matrix * root


def _plain(value):
    return value.numpy() if tf.is_tensor(value) else value


def _expect(what, got, right, mistakes, hint):
    """Raises unless an answer is right, with the reason of the first mistake that gives the same."""
    got = as_numbers(what, _plain(got), hint)
    right = np.asarray(right, dtype=float)
    if got.shape == right.shape and not np.allclose(got, right, rtol=1e-4, atol=1e-6):
        for value, reason in mistakes:
            if np.shape(value) == got.shape and np.allclose(got, value, rtol=1e-6, atol=1e-9, equal_nan=True):
                hint = reason
                break
    expect_close(what, got, right, hint)
