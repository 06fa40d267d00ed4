"""Contrastive divergence."""

from __future__ import annotations

import numpy as np

from refscore.conformance.mistakes._registry import mistake


def _draw(rng, means):
    return (rng.random(means.shape) < means).astype(np.float64)


def _sweeps(self, y, W, b, c, k, rng):
    """(x_k, the hidden units that x_k came from)."""
    z = None
    for _ in range(k):
        z = _draw(rng, self.rbm_hidden_mean(y, W, b, c))
        y = _draw(rng, self.rbm_visible_mean(z, W, b, c))
    return y, z


@mistake("rbm_cd_gradient", wrong="descent direction", right="ascent of the log-likelihood", seen="sign of a loss")
def cd_descent(self, x, W, b, c, k, seed):
    return [-g for g in self.rbm_cd_gradient(x, W, b, c, k, seed)]


@mistake("rbm_cd_gradient", wrong="p(h_t|v_{t-1}) in the negative phase", right="p(h_t|v_t)", seen="rbms#31")
def cd_hidden_before_visible(self, x, W, b, c, k, seed):
    rng = np.random.default_rng(seed)
    y, mean = x, None
    for _ in range(k):
        mean = self.rbm_hidden_mean(y, W, b, c)
        y = _draw(rng, self.rbm_visible_mean(_draw(rng, mean), W, b, c))
    h = self.rbm_hidden_mean(x, W, b, c)
    return [(x.T @ h - y.T @ mean) / len(x), (x - y).mean(axis=0), (h - mean).mean(axis=0)]


@mistake("rbm_cd_gradient", wrong="a sample of z in the positive phase", right="E[z|x_0]", seen="rbms#31: h sample for mean")
def cd_positive_sample(self, x, W, b, c, k, seed):
    rng = np.random.default_rng(seed)
    y, _ = _sweeps(self, x, W, b, c, k, rng)
    h, g = _draw(rng, self.rbm_hidden_mean(x, W, b, c)), self.rbm_hidden_mean(y, W, b, c)
    return [(x.T @ h - y.T @ g) / len(x), (x - y).mean(axis=0), (h - g).mean(axis=0)]


@mistake("rbm_cd_gradient", wrong="a sample of z in the negative phase", right="E[z|x_k]", seen="rbms#31: h sample for mean")
def cd_negative_sample(self, x, W, b, c, k, seed):
    rng = np.random.default_rng(seed)
    y, _ = _sweeps(self, x, W, b, c, k, rng)
    h, g = self.rbm_hidden_mean(x, W, b, c), _draw(rng, self.rbm_hidden_mean(y, W, b, c))
    return [(x.T @ h - y.T @ g) / len(x), (x - y).mean(axis=0), (h - g).mean(axis=0)]


@mistake("rbm_cd_gradient", wrong="means for x_k in the end", right="sampled x_k",
         seen="Hinton's guide, sec. 3.2, taken over in part")
def cd_visible_means(self, x, W, b, c, k, seed):
    rng = np.random.default_rng(seed)
    y, _ = _sweeps(self, x, W, b, c, k - 1, rng)
    y = self.rbm_visible_mean(_draw(rng, self.rbm_hidden_mean(y, W, b, c)), W, b, c)
    return self.cd_statistics(x, y, W, b, c)


@mistake("rbm_cd_gradient", wrong="mean field: means passed on in every sweep", right="samples", seen="nothing drawn at all")
def cd_mean_field(self, x, W, b, c, k, seed):
    y = x
    for _ in range(k):
        y = self.rbm_visible_mean(self.rbm_hidden_mean(y, W, b, c), W, b, c)
    return self.cd_statistics(x, y, W, b, c)


@mistake("rbm_cd_gradient", wrong="k + 1 sweeps", right="k", seen="off by one")
def cd_one_sweep_more(self, x, W, b, c, k, seed):
    return self.rbm_cd_gradient(x, W, b, c, k + 1, seed)


@mistake("rbm_cd_gradient", wrong="one sweep, whatever k", right="k sweeps", seen="k ignored")
def cd_one_sweep(self, x, W, b, c, k, seed):
    return self.rbm_cd_gradient(x, W, b, c, 1, seed)


@mistake("rbm_cd_gradient", wrong="at most 5 sweeps", right="k sweeps", seen="a bound on the work")
def cd_five_sweeps(self, x, W, b, c, k, seed):
    return self.rbm_cd_gradient(x, W, b, c, min(k, 5), seed)


@mistake("rbm_cd_gradient", wrong="all chains start at the first row", right="each at its own", seen="x[0] for x, common")
def cd_starts_at_the_first_row(self, x, W, b, c, k, seed):
    rng, y = np.random.default_rng(seed), np.repeat(x[:1], len(x), axis=0)
    for _ in range(k):
        z = (rng.random((len(x), len(c))) < self.rbm_hidden_mean(y, W, b, c)).astype(np.float64)
        y = (rng.random(x.shape) < self.rbm_visible_mean(z, W, b, c)).astype(np.float64)
    return self.cd_statistics(x, y, W, b, c)


@mistake("rbm_cd_gradient", wrong="mean of x times mean of h", right="mean of x h'", seen="the batch averaged too early")
def cd_of_batch_means(self, x, W, b, c, k, seed):
    dW, db, dc = self.rbm_cd_gradient(x, W, b, c, k, seed)
    h = self.rbm_hidden_mean(x, W, b, c)
    return [dW - x.T @ h / len(x) + np.outer(x.mean(axis=0), h.mean(axis=0)), db, dc]


@mistake("rbm_cd_gradient", wrong="chains from random states", right="from the data", seen="the start of another sampler")
def cd_random_start(self, x, W, b, c, k, seed):
    rng = np.random.default_rng(seed)
    y, _ = _sweeps(self, _draw(rng, np.full(x.shape, 0.5)), W, b, c, k, rng)
    return self.cd_statistics(x, y, W, b, c)


@mistake("rbm_cd_gradient", wrong="sum over the batch", right="mean", seen="the mean of the log-likelihood forgotten")
def cd_sum_over_batch(self, x, W, b, c, k, seed):
    return [g * len(x) for g in self.rbm_cd_gradient(x, W, b, c, k, seed)]


@mistake("rbm_cd_gradient", wrong="without the negative phase", right="positive - negative", seen="Z forgotten")
def cd_positive_alone(self, x, W, b, c, k, seed):
    h = self.rbm_hidden_mean(x, W, b, c)
    return [x.T @ h / len(x), x.mean(axis=0), h.mean(axis=0)]


@mistake("rbm_cd_gradient", wrong="sweeps without the visible bias", right="E[x|z] = sigmoid(b + Wz)",
         seen="bias forgotten in one place")
def cd_sweeps_without_bias(self, x, W, b, c, k, seed):
    y, _ = _sweeps(self, x, W, 0 * b, c, k, np.random.default_rng(seed))
    return self.cd_statistics(x, y, W, b, c)


@mistake("rbm_cd_gradient", wrong="one draw shared by all rows", right="each row its own",
         seen="a random vector broadcast over the batch")
def cd_shared_draws(self, x, W, b, c, k, seed):
    rng = np.random.default_rng(seed)
    y = x
    for _ in range(k):
        z = (rng.random(len(c)) < self.rbm_hidden_mean(y, W, b, c)).astype(float)
        y = (rng.random(len(b)) < self.rbm_visible_mean(z, W, b, c)).astype(float)
    return self.cd_statistics(x, y, W, b, c)


@mistake("rbm_cd_gradient", wrong="E[z|x_k] for dW, a sample for dc", right="E[z|x_k] for both", seen="neighbour of rbms#31")
def cd_bias_from_sample(self, x, W, b, c, k, seed):
    rng = np.random.default_rng(seed)
    y, z = _sweeps(self, x, W, b, c, k, rng)
    dW, db, _ = self.cd_statistics(x, y, W, b, c)
    return [dW, db, (self.rbm_hidden_mean(x, W, b, c) - z).mean(axis=0)]


@mistake("rbm_cd_gradient", wrong="sweeps without the hidden bias", right="E[z|x] = sigmoid(c + x'W)",
         seen="bias forgotten in one place")
def cd_sweeps_without_hidden_bias(self, x, W, b, c, k, seed):
    y, _ = _sweeps(self, x, W, b, 0 * c, k, np.random.default_rng(seed))
    return self.cd_statistics(x, y, W, b, c)


@mistake("rbm_cd_gradient", wrong="the same stream of numbers for both layers", right="independent draws",
         seen="a generator made of the seed for each layer")
def cd_one_stream_for_both_layers(self, x, W, b, c, k, seed):
    hidden, visible = np.random.default_rng(seed), np.random.default_rng(seed)
    y = x
    for _ in range(k):
        y = _draw(visible, self.rbm_visible_mean(_draw(hidden, self.rbm_hidden_mean(y, W, b, c)), W, b, c))
    return self.cd_statistics(x, y, W, b, c)


@mistake("rbm_cd_gradient", wrong="dW over n - 1", right="dW over n", seen="the divisor of a covariance")
def cd_rows_less_one(self, x, W, b, c, k, seed):
    dW, db, dc = self.rbm_cd_gradient(x, W, b, c, k, seed)
    return [dW * len(x) / max(1, len(x) - 1), db, dc]
