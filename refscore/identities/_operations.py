"""The operations of the package as plain functions, in one frozen namespace.

Identities never call the package directly: they call ``ops.score(density, x)``. So any single operation can be
exchanged (``ops.replace(score=wrong_score)``) and one sees whether the identities notice: that is what the catalogue
of mistakes is for. `REFERENCE` is the package itself. Rooms are imported when an operation is called.

A function that an identity hands on as a callable (the score of a sampler, say) goes through ``ops`` too; what the
package calls internally does not, and is itself an operation where that matters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

# --- densities ---


def logpdf(density, x):
    """Log-density at x, shape (n,)."""
    return density.logpdf(x)


def score(density, x):
    """grad log p at x, shape (n, d)."""
    return density.score(x)


def score_jacobian(density, x):
    """Jacobian of the score (the Hessian of log p), shape (n, d, d)."""
    return density.score_jacobian(x)


def score_divergence(density, x):
    """Divergence of the score (the Laplacian of log p), shape (n,)."""
    return density.score_divergence(x)


def corrupted(density, alpha, sigma):
    """The law of alpha x0 + sigma z, x0 from ``density``, z standard normal."""
    return density.corrupted(alpha, sigma)


# --- Tweedie ---


def posterior_mean(xt, score, alpha, sigma):
    """E[x0 | xt] from the marginal score, shape (n, d)."""
    from refscore import processes

    return processes.posterior_mean(xt, score, alpha, sigma)


def posterior_covariance(score_jacobian, alpha, sigma):
    """Cov[x0 | xt] from the Jacobian of the marginal score, shape (n, d, d)."""
    from refscore import processes

    return processes.posterior_covariance(score_jacobian, alpha, sigma)


# --- processes ---


def alpha(process, t):
    """Signal scale at time t."""
    return process.alpha(t)


def sigma(process, t):
    """Standard deviation of the noise at time t."""
    return process.sigma(t)


def drift(process, x, t):
    """Drift f(x, t) of the forward SDE."""
    return process.drift(x, t)


def diffusion(process, t):
    """Diffusion g(t) of the forward SDE."""
    return process.diffusion(t)


def corrupt(process, x0, t, noise):
    """alpha(t) x0 + sigma(t) noise."""
    return process.corrupt(x0, t, noise)


def conditional_score(process, xt, x0, t):
    """grad over xt of log p(xt | x0)."""
    return process.conditional_score(xt, x0, t)


def marginal(process, density, t):
    """The law of x_t when x_0 follows ``density``."""
    return process.marginal(density, t)


def convert(process, value, xt, t, source, target):
    """One parametrisation ('score', 'eps', 'x0', 'v') from another."""
    return process.convert(value, xt, t, source, target)


def transition(process, s, t):
    """(alpha, variance) of x_t given x_s."""
    return process.transition(s, t)


def exponential_step(process, t, s):
    """(a, b, v) of the reverse SDE from t down to s with the score frozen at time t."""
    return process.exponential_step(t, s)


def reverse_drift(process, score, x, t):
    """Drift of the reverse SDE per unit of decreasing time."""
    from refscore import samplers

    return samplers.reverse_drift(process, score, x, t)


# --- networks ---


def forward(model, x, *t):
    """The model's output at x (and t), shape (n, d)."""
    return model(x, *t)


def jvp(model, x, v, *t):
    """(Ds) v rowwise, forward mode."""
    return model.jvp(x, v, *t)


def vjp(model, x, u, *t):
    """(Ds)' u rowwise, reverse mode."""
    return model.vjp(x, u, *t)


def jacobian(model, x, *t):
    """Ds, shape (n, d_out, d_in)."""
    return model.jacobian(x, *t)


def divergence(model, x, *t):
    """tr Ds rowwise, shape (n,)."""
    return model.divergence(x, *t)


def hutchinson(model, x, v, *t):
    """v'(Ds)v rowwise, shape (n,)."""
    from refscore import networks

    return networks.hutchinson(model, x, v, *t)


def hutchinson_variance(A, law):
    """Variance of v'Av for probes v of the given law."""
    from refscore import networks

    return networks.hutchinson_variance(A, law)


def probes(law, n, d, rng):
    """n random directions of the given law with E vv' = I, shape (n, d)."""
    from refscore import networks

    return networks.probes(law, n, d, rng)


def parameter_gradient(model, x, u, *t):
    """Gradient [W1*, b1*, ...] of the sum over rows of u.s, by backpropagation."""
    return model.gradient(x, u, *t)


def jvp_gradient(model, x, v, u, w, *t):
    """Gradient [W1*, b1*, ...] of the sum over rows of u.s + w.(Ds v)."""
    return model.jvp_gradient(x, v, u, w, *t)


def divergence_gradient(model, x, c, *t):
    """Gradient [W1*, b1*, ...] of the sum over rows of c tr Ds."""
    return model.divergence_gradient(x, c, *t)


def activate(activation, z):
    """phi(z), entry by entry."""
    return activation(z)


def slope(activation, z):
    """phi'(z), entry by entry."""
    return activation.slope(z)


def curvature(activation, z):
    """phi''(z), entry by entry."""
    return activation.curvature(z)


# --- objectives ---


def esm(model, x, true_score, **options):
    """Explicit score matching: 1/2 E||s - s_p||^2."""
    from refscore import objectives

    return objectives.esm(model, x, true_score, **options)


def ism(model, x, **options):
    """Implicit score matching: E[1/2||s||^2 + tr Ds]."""
    from refscore import objectives

    return objectives.ism(model, x, **options)


def dsm(model, x0, sigma, noise, **options):
    """Denoising score matching at x0 + sigma noise: 1/2 E||s(x~) + noise/sigma||^2."""
    from refscore import objectives

    return objectives.dsm(model, x0, sigma, noise, **options)


def dsm_process(model, process, x0, t, noise, weight, **options):
    """Denoising score matching along a process, row i at its own time t_i."""
    from refscore import objectives

    return objectives.dsm_process(model, process, x0, t, noise, weight, **options)


# --- samplers, laws, distances ---


def reverse_sde(process, score, times, scheme):
    """The discretised reverse SDE as a chain of Gaussian kernels."""
    from refscore import samplers

    return samplers.reverse_sde(process, score, times, scheme)


def law(chain, initial, **options):
    """The law of the chain's last state."""
    from refscore import laws

    return laws.law(chain, initial, **options)


def total_variation(p, q, **options):
    """(value, error) of the total variation distance."""
    from refscore import distances

    return distances.total_variation(p, q, **options)


@dataclass(frozen=True)
class Operations:
    """The operations that identities call, each a plain function whose first argument is the object it works on."""

    logpdf: Callable = logpdf
    score: Callable = score
    score_jacobian: Callable = score_jacobian
    score_divergence: Callable = score_divergence
    corrupted: Callable = corrupted
    posterior_mean: Callable = posterior_mean
    posterior_covariance: Callable = posterior_covariance
    alpha: Callable = alpha
    sigma: Callable = sigma
    drift: Callable = drift
    diffusion: Callable = diffusion
    corrupt: Callable = corrupt
    conditional_score: Callable = conditional_score
    marginal: Callable = marginal
    convert: Callable = convert
    transition: Callable = transition
    exponential_step: Callable = exponential_step
    reverse_drift: Callable = reverse_drift
    forward: Callable = forward
    jvp: Callable = jvp
    vjp: Callable = vjp
    jacobian: Callable = jacobian
    divergence: Callable = divergence
    hutchinson: Callable = hutchinson
    hutchinson_variance: Callable = hutchinson_variance
    probes: Callable = probes
    parameter_gradient: Callable = parameter_gradient
    jvp_gradient: Callable = jvp_gradient
    divergence_gradient: Callable = divergence_gradient
    activate: Callable = activate
    slope: Callable = slope
    curvature: Callable = curvature
    esm: Callable = esm
    ism: Callable = ism
    dsm: Callable = dsm
    dsm_process: Callable = dsm_process
    reverse_sde: Callable = reverse_sde
    law: Callable = law
    total_variation: Callable = total_variation

    def replace(self, **functions: Callable) -> Operations:
        """These operations with some of them exchanged, ``ops.replace(score=wrong_score)``."""
        for name, function in functions.items():
            if name not in NAMES:
                raise ValueError(f"there is no operation {name!r}: choose one of {', '.join(NAMES)}")
            if not callable(function):
                raise TypeError(f"operation {name!r} is {function!r}: pass a function with the operation's signature")
        return dataclasses.replace(self, **functions)


NAMES = tuple(field.name for field in dataclasses.fields(Operations))
REFERENCE = Operations()
"""The package itself."""
