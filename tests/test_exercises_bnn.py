"""The checks of the chapter "Bayesian neural networks" accept right answers and name wrong ones."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from companion import datasets
from companion.exercises import bnn as check
from companion.exercises.checks import WrongAnswer

KL_WEIGHTS = {
    "mean + KL / 1500": 1,
    "sum + KL": 15,
    "mean + KL": 1500,
    "sum + KL / 15": 1,
    "mean + KL / 15": 100,
    "sum + KL / 1500": 1 / 100,
    "mean + KL / 1500, KL / 1500 again": 2,
}


class TestKlWeights:
    def test_right(self, capsys):
        check.check_kl_weights(KL_WEIGHTS)
        check.check_kl_weights({label: tf.constant(float(w)) for label, w in KL_WEIGHTS.items()})
        assert capsys.readouterr().out.count("Correct") == 2

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"sum + KL": 1}, "every one of the 15 batches"),
            ({"mean + KL": 15}, "is a mean here"),
            ({"mean + KL": 1 / 1500}, "1 / beta"),
            ({"sum + KL / 15": 100}, "is a sum here"),
            ({"mean + KL / 15": 1}, "beside a sum, not beside a mean"),
            ({"sum + KL / 1500": 1}, "beside a mean, not beside a sum"),
            ({"mean + KL / 1500, KL / 1500 again": 1}, "both charge it"),
            ({"mean + KL / 1500": 1500}, "beta = d N"),
            ({"mean + KL": "1500"}, "numbers, not text"),
            ({"mean + KL": None}, "does your function return|expected a number"),
            ({"mean": 1}, "expected the keys"),
        ],
    )
    def test_wrong(self, change, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_kl_weights(KL_WEIGHTS | change)

    def test_not_a_mapping(self):
        with pytest.raises(WrongAnswer, match="expected the keys"):
            check.check_kl_weights(3.0)


def local_outputs(h, loc, scale, eps):
    return h @ loc + np.sqrt(h**2 @ scale**2) * eps


class TestLocalOutputs:
    def test_right(self, capsys):
        check.check_local_outputs(local_outputs)
        check.check_local_outputs(lambda *given: tf.constant(local_outputs(*given)))
        assert capsys.readouterr().out.count("Correct") == 2

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (lambda h, loc, scale, eps: h @ loc, "no noise"),
            (lambda h, loc, scale, eps: h @ loc + (h @ scale) * eps, "variances add"),
            (lambda h, loc, scale, eps: h @ loc + (np.abs(h) @ scale) * eps, "variances add"),
            (lambda h, loc, scale, eps: h @ loc + (h**2 @ scale**2) * eps, "its root"),
            (lambda h, loc, scale, eps: h @ loc + np.sqrt(h**2 @ scale) * eps, "standard deviation; square it"),
            (lambda h, loc, scale, eps: h @ loc + np.sqrt(np.abs(h) @ scale**2) * eps, "inputs are squared"),
            (lambda h, loc, scale, eps: h @ loc + np.sqrt(h @ scale**2) * eps, "inputs are squared"),
            (lambda h, loc, scale, eps: h @ loc + np.sqrt((h @ scale) ** 2) * eps, "before the matrix product"),
            (lambda h, loc, scale, eps: local_outputs(h, 0 * loc, scale, eps), "mean, h loc, is missing"),
            (lambda h, loc, scale, eps: local_outputs(h, loc, scale, eps[:1]), "noise of its own"),
            (lambda h, loc, scale, eps: local_outputs(h, loc, scale, eps)[0], "expected shape"),
            (lambda h, loc: h @ loc, "the call failed"),
            (None, "expected a function"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message), np.errstate(invalid="ignore"):
            check.check_local_outputs(wrong)


def flipout_outputs(h, loc, scale, eps, signs_in, signs_out):
    return h @ loc + ((h * signs_in) @ (scale * eps)) * signs_out


class TestFlipoutOutputs:
    def test_right(self, capsys):
        check.check_flipout_outputs(flipout_outputs)

        def with_kernels(h, loc, scale, eps, signs_in, signs_out):
            kernels = loc + scale * eps * signs_in[:, :, None] * signs_out[:, None]
            return np.einsum("ni,nij->nj", h, kernels)

        check.check_flipout_outputs(with_kernels)  # wasteful, and right
        assert capsys.readouterr().out.count("Correct") == 2

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (lambda h, loc, s, e, i, o: h @ (loc + s * e), "one shared draw"),
            (lambda h, loc, s, e, i, o: ((h * i) @ (loc + s * e)) * o, "not the mean"),
            (lambda h, loc, s, e, i, o: h @ loc + (h * i) @ (s * e), "signs of the outputs"),
            (lambda h, loc, s, e, i, o: h @ loc + (h @ (s * e)) * o, "signs of the inputs"),
            (lambda h, loc, s, e, i, o: h @ loc + ((h * i) @ e) * o, "scale . eps"),
            (lambda h, loc, s, e, i, o: flipout_outputs(h, loc, s**2, e, i, o), "not a variance"),
            (lambda h, loc, s, e, i, o: flipout_outputs(h, 0 * loc, s, e, i, o), "mean, h loc, is missing"),
            (lambda h, loc, s, e, i, o: flipout_outputs(h, 0 * loc, s, e, i, o) + (h * i) @ loc, "not the mean"),
            (lambda h, loc, s, e, i, o: flipout_outputs(h, 0 * loc, s, e, i, o) + (h @ loc) * o, "not the mean"),
            (lambda h, loc, s, e, i, o: flipout_outputs(h, loc, s, e, i[:1], o[:1]), "signs of its own"),
            (lambda h, loc, s, e, i, o: None, "does your function return|expected a number"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_flipout_outputs(wrong)


def repaired(*bugs):
    """The loss of the exercise with some of its bugs left in."""

    def loss(predict, x, y, loc, scale, eps, noise_scale, num_examples):
        w = loc + (scale**2 if "variance" in bugs else scale) * (0 if "mean" in bugs else eps)
        squares = (y - predict(x, w)) ** 2
        fits = squares / (2 * noise_scale**2) + np.log(noise_scale * np.sqrt(2 * np.pi))
        fits = squares if "squares" in bugs else fits
        fits = squares / (2 * noise_scale**2) if "constant" in bugs else fits
        fits = fits + squares / (2 * noise_scale**2) if "half" in bugs else fits
        fits = fits - np.log(2 * np.pi) / 2 if "two pi" in bugs else fits
        parts = (loc**2 + scale**2 - 1 - 2 * np.log(scale)) / 2
        kl = parts.mean() if "weights" in bugs else parts.sum()
        if "sampled" in bugs:
            kl = np.sum(stats.norm.logpdf(w, loc, scale) - stats.norm.logpdf(w))
        shares = {"batch": len(x), "undivided": 1, "twice": num_examples**2, "batches": num_examples / len(x)}
        share = next((shares[bug] for bug in bugs if bug in shares), num_examples)
        return (fits.sum() if "sum" in bugs else fits.mean()) + kl / share

    return loss


class TestRepairedLoss:
    def test_right(self, capsys):
        check.check_mended_loss(repaired())
        check.check_mended_loss(lambda *given: tf.constant(repaired()(*given)))
        assert capsys.readouterr().out.count("Correct") == 2

    @pytest.mark.parametrize(
        ("bugs", "message"),
        [
            (["variance"], "scale is a standard deviation"),
            (["squares"], "no log-likelihood"),
            (["constant"], "normaliser"),
            (["weights"], "sum over the weights"),
            (["batch"], "not by the size of the batch"),
            (["undivided"], "not divided"),
            (["sum"], "average over the batch"),
            (["half"], "half the square"),
            (["two pi"], "log.2 pi. / 2 is missing"),
            (["twice"], "divided twice"),
            (["batches"], "not by the number of batches"),
            (["sampled"], "unbiased too, but sampled"),
            (["constant", "weights", "batch"], "normaliser.*sum over the weights.*size of the batch"),
            (
                ["variance", "constant", "weights", "batch"],
                "standard deviation.*normaliser.*weights.*size of the batch",
            ),
            (["mean"], "must be drawn"),
            (["variance", "batch"], "standard deviation.*size of the batch|size of the batch.*standard deviation"),
            (["squares", "weights", "batch"], "no log-likelihood.*sum over the weights.*batch"),
            (["variance", "squares", "weights", "batch"], "standard deviation.*no log-likelihood.*weights.*batch"),
        ],
    )
    def test_wrong(self, bugs, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_mended_loss(repaired(*bugs))

    def test_sign(self):
        with pytest.raises(WrongAnswer, match="its negative is the loss"):
            check.check_mended_loss(lambda *given: -repaired()(*given))

    def test_shape(self):
        with pytest.raises(WrongAnswer, match="expected shape"):
            check.check_mended_loss(lambda predict, x, *_: np.zeros(len(x)))


def decompose(probabilities):
    total = special.entr(probabilities.mean(axis=0)).sum(axis=-1)
    aleatoric = special.entr(probabilities).sum(axis=-1).mean(axis=0)
    return total, aleatoric, total - aleatoric


class TestDecompose:
    def test_right(self, capsys):
        check.check_decompose(decompose)
        check.check_decompose(lambda p: [tf.constant(part) for part in decompose(p)])
        assert capsys.readouterr().out.count("Correct") == 2

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (lambda p: [part / np.log(2) for part in decompose(p)], "these are bits"),
            (lambda p: [-part for part in decompose(p)], "sign is wrong"),
            (lambda p: (*decompose(p)[:2], -decompose(p)[2]), "sign is wrong: total - aleatoric"),
            (lambda p: [part / 3 for part in decompose(p)], "sum over the classes"),
            (lambda p: decompose(p)[::-1], "this is the epistemic one"),
            (lambda p: (decompose(p)[0], decompose(p)[1] * len(p), decompose(p)[2]), "average over the draws"),
            (lambda p: (decompose(p)[0], decompose(p[:1])[1], decompose(p)[2]), "first draw alone"),
            (lambda p: (-(p.mean(0) * np.log(p.mean(0))).sum(-1), -(p * np.log(p)).sum(-1).mean(0), 0), "0 log 0"),
            (lambda p: decompose(p)[:2], "expected a triple"),
            (lambda p: 1.0, "expected a triple"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message), np.errstate(all="ignore"):
            check.check_decompose(wrong)


def most_overconfident(x, noise_scale):
    precision = np.eye(x.shape[1]) + x.T @ x / noise_scale**2
    root = np.sqrt(np.diag(precision))
    ratios, vectors = np.linalg.eigh(precision / np.outer(root, root))
    return ratios, vectors, root, precision


class TestMostOverconfident:
    def test_right(self, capsys):
        def right(x, noise_scale):
            ratios, vectors, root, _ = most_overconfident(x, noise_scale)
            return ratios[0], -3 * root * vectors[:, 0]

        check.check_most_overconfident(right)
        assert "Correct" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (lambda ratios, vectors, root, P: (ratios[-1], root * vectors[:, -1]), "largest ratio"),
            (lambda ratios, vectors, root, P: (1 / ratios[0], root * vectors[:, 0]), "its inverse"),
            (
                lambda ratios, vectors, root, P: (np.min(1 / np.diag(P) / np.diag(np.linalg.inv(P))), root),
                "weights' own variances",
            ),
            (lambda ratios, vectors, root, P: (np.linalg.eigvalsh(P)[0], root), "ones on its diagonal"),
            (lambda ratios, vectors, root, P: (ratios[0], vectors[:, 0]), "this is the eigenvector u"),
            (lambda ratios, vectors, root, P: (ratios[0], vectors[:, 0] / root), r"this is D\^\(1/2\) u"),
            (lambda ratios, vectors, root, P: (np.sqrt(ratios[0]), root * vectors[:, 0]), "ratio of the standard dev"),
            (lambda ratios, vectors, root, P: (ratios[0], root * vectors[:, 1]), "check x'Dx"),
            (lambda ratios, vectors, root, P: (ratios[0], 0 * root), "not zero"),
            (lambda ratios, vectors, root, P: ratios[0], "expected a pair"),
        ],
    )
    def test_wrong(self, wrong, message):
        with pytest.raises(WrongAnswer, match=message):
            check.check_most_overconfident(lambda *given: wrong(*most_overconfident(*given)))

    def test_noise_scale_not_squared(self):
        def wrong(x, noise_scale):
            ratios, vectors, root, _ = most_overconfident(x, np.sqrt(noise_scale))
            return ratios[0], root * vectors[:, 0]

        with pytest.raises(WrongAnswer, match="square noise_scale"):
            check.check_most_overconfident(wrong)


class TestTurnedDigits:
    data = datasets.digits(binarize=None)

    def answer(self, sure_as_they_are, sure_turned):
        """Right probabilities for the test digits, some for others."""
        truth = np.eye(10)[self.data.y_test]

        def probabilities_of(x):
            sure = sure_as_they_are if np.array_equal(x, self.data.x_test) else sure_turned
            return sure * truth + (1 - sure) / 10

        return probabilities_of

    def test_right(self, capsys):
        check.check_turned_digits(self.answer(0.9, 0.5))
        check.check_turned_digits(lambda x: tf.constant(self.answer(0.9, 0.5)(x)))
        assert capsys.readouterr().out.count("Correct") == 2

    def always_zero_when_turned(self, x):
        return self.answer(0.99, 0.0)(x) if np.array_equal(x, self.data.x_test) else np.eye(10)[[0] * len(x)]

    def test_wrong(self):
        wrong = {
            "accuracy": lambda x: np.full([len(x), 10], 0.1),
            "log score": self.always_zero_when_turned,
            "expected shape": lambda x: np.zeros([30, len(x), 10]),
            "sum to 1": lambda x: np.zeros([len(x), 10]),
            "call failed": lambda: 0,
        }
        for message, answer in wrong.items():
            with pytest.raises(WrongAnswer, match=message):
                check.check_turned_digits(answer)
