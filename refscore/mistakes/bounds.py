"""Mistakes in the theorem of Chen et al. and what it is made of: Girsanov, Pinsker, the decay, the hypotheses, the lemmas."""

from __future__ import annotations

import math

import numpy as np

from refscore import bounds
from refscore.distances import fisher, fisher_information, kl
from refscore.mistakes._registry import mistake


def _scaled(path, factor: float):
    return bounds.PathKL(*(factor * part for part in path))


@mistake("path_kl", wrong="1/2 E int |s - grad log q|^2 for g = sqrt 2", right="E int |s - grad log q|^2",
         seen="Girsanov's 1/2 kept, the 2 of the drift's 2 s over g^2 = 2 forgotten")
def path_kl_half(process, density, score, times, **options):
    return _scaled(bounds.path_kl(process, density, score, times, **options), 0.5)


@mistake("path_kl", wrong="int g^2 |.|^2", right="int g^2/2 |.|^2", seen="Girsanov without its 1/2")
def path_kl_twice(process, density, score, times, **options):
    return _scaled(bounds.path_kl(process, density, score, times, **options), 2.0)


@mistake("path_kl", wrong="int g/2 |.|^2", right="int g^2/2 |.|^2", seen="diffusion taken for its square, common")
def path_kl_g_for_g2(process, density, score, times, **options):
    return _scaled(bounds.path_kl(process, density, score, times, **options), 1 / float(process.diffusion(times[0])))


@mistake("path_kl", wrong="factor 1 for every g", right="g^2/2, which is 1 for g = sqrt 2 only",
         seen="lecture e, 'Girsanov's theorem', taken over to other processes")
def path_kl_of_standard_noise(process, density, score, times, **options):
    path = bounds.path_kl(process, density, score, times, **options)
    return _scaled(path, 2 / float(process.diffusion((times[0] + times[-1]) / 2)) ** 2)


@mistake("path_kl", wrong="N - 1 steps", right="N steps", seen="range(N - 1), common")
def path_kl_one_step_short(process, density, score, times, **options):
    return bounds.path_kl(process, density, score, times[:-1], **options)


@mistake("path_kl", wrong="score frozen at the end of a step", right="at its start",
         seen="the index of the forward process, common")
def path_kl_score_at_the_end(process, density, score, times, **options):
    times = np.asarray(times)

    def later(x, t):
        return score(x, float(times[min(np.searchsorted(-times, -t) + 1, len(times) - 2)]))

    return bounds.path_kl(process, density, later, times, **options)


@mistake("path_kl", wrong="the score error at the grid times alone", right="and the change of the true score inside a step",
         seen="the training loss read as the divergence of the paths")
def path_kl_without_discretisation(process, density, score, times, **options):
    path = bounds.path_kl(process, density, score, times, **options)
    return path._replace(value=path.score, discretisation=0.0, cross=0.0)


@mistake("path_kl", wrong="score error plus discretisation error", right="and twice their inner product",
         seen="|a + b|^2 taken for |a|^2 + |b|^2")
def path_kl_without_cross(process, density, score, times, **options):
    path = bounds.path_kl(process, density, score, times, **options)
    return path._replace(value=path.score + path.discretisation, cross=0.0)


@mistake("path_kl", wrong="mean over time", right="integral over time", seen="[a, sec. 3], erratum X2: a factor T")
def path_kl_over_T(process, density, score, times, **options):
    return _scaled(bounds.path_kl(process, density, score, times, **options), 1 / float(times[0] - times[-1]))


@mistake("displacement", wrong="d V", right="(1 - A)^2 E|X_s|^2 + d V", seen="the drift's part left out, of second order in r")
def displacement_of_the_noise_only(process, density, s, t):
    return density.dim * float(process.transition(s, t)[1])


@mistake("displacement", wrong="(1 - A)^2 E|X_s|^2", right="plus d V", seen="differences of means, the noise forgotten")
def displacement_without_noise(process, density, s, t):
    return bounds.displacement(process, density, s, t) - density.dim * float(process.transition(s, t)[1])


@mistake("displacement", wrong="(1 - A)^2 tr Cov X_s + d V", right="(1 - A)^2 E|X_s|^2 + d V", seen="centred data assumed")
def displacement_forgets_the_mean(process, density, s, t):
    mean = process.marginal(density, s).mean
    return bounds.displacement(process, density, s, t) - float((1 - process.transition(s, t)[0]) ** 2 * mean @ mean)


@mistake("displacement", wrong="d sqrt(V)", right="d V", seen="stochrare#26: std = variance")
def displacement_std(process, density, s, t):
    V = float(process.transition(s, t)[1])
    return bounds.displacement(process, density, s, t) + density.dim * (math.sqrt(V) - V)


@mistake("score_motion", wrong="I_s - I_t", right="I_s + (1 - 2A) I_t", seen="S_t taken for a martingale, which e^{-t} S_t is")
def score_motion_difference_of_informations(process, density, s, t):
    value, error = bounds.score_motion(process, density, s, t)
    A = float(process.transition(s, t)[0])
    return value - 2 * (1 - A) * _information(process, density, t), error


@mistake("score_motion", wrong="I_s + I_t", right="I_s + (1 - 2A) I_t", seen="scores at two times taken for uncorrelated")
def score_motion_independent(process, density, s, t):
    value, error = bounds.score_motion(process, density, s, t)
    return value + 2 * float(process.transition(s, t)[0]) * _information(process, density, t), error


@mistake("score_motion", wrong="(1 - 2/A) I_t", right="(1 - 2A) I_t", seen="S_t = A E[S_s | X_t], alpha on the wrong side")
def score_motion_factor_inverted(process, density, s, t):
    value, error = bounds.score_motion(process, density, s, t)
    A = float(process.transition(s, t)[0])
    return value + 2 * (A - 1 / A) * _information(process, density, t), error


def _information(process, density, t) -> float:
    return fisher_information(process.marginal(density, t))[0]


@mistake("score_change", wrong="w = e^r - 1", right="w = e^{2r} - 1", seen="standard deviation for variance of the noise between")
def score_change_r_for_2r(lipschitz, dim, r):
    return bounds.score_change(lipschitz, dim, r / 2)


@mistake("score_change", wrong="sqrt(1/kappa)", right="sqrt(d/kappa)", seen="the dimension of a Gaussian's second moment forgotten")
def score_change_without_dimension(lipschitz, dim, r):
    return bounds.score_change(lipschitz, 1, r)


@mistake("score_change", wrong="kappa = 1/w", right="kappa = 1/w - L", seen="posterior taken for the noise's own Gaussian")
def score_change_kappa_inverted(lipschitz, dim, r):
    w, grown, moved = math.expm1(2 * r), math.exp(r), math.expm1(r)
    return grown * lipschitz * math.sqrt(dim * w), moved + grown * lipschitz * w, grown * moved * lipschitz * (1 + lipschitz * w)


@mistake("second_moment_along", wrong="m_2", right="m_2^2", seen="[e] writes m^2 and m_2^2 for the same: 'm_2 for m_2^2'")
def moment_of_m2_not_squared(second_moment, dim, t):
    return bounds.second_moment_along(math.sqrt(second_moment), dim, t)


@mistake("second_moment_along", wrong="e^{-t} (m_2^2 - d)", right="e^{-2t} (m_2^2 - d)", seen="mean's rate for the variance's")
def moment_decays_with_e_t(second_moment, dim, t):
    return bounds.second_moment_along(second_moment, dim, np.asarray(t) / 2)


@mistake("second_moment_along", wrong="e^{-2t} m_2^2", right="plus d (1 - e^{-2t})", seen="the noise forgotten")
def moment_without_noise(second_moment, dim, t):
    return math.exp(-2 * t) * second_moment**2


@mistake("score_errors", wrong="1/2 E|.|^2", right="E|.|^2", seen="the loss of the package, with its 1/2, taken for eps^2")
def score_errors_half(density, score, times, **options):
    values, errors = bounds.score_errors(density, score, times, **options)
    return values / 2, errors


@mistake("score_errors", wrong="eps", right="eps^2", seen="A3 bounds the square")
def score_errors_root(density, score, times, **options):
    values, errors = bounds.score_errors(density, score, times, **options)
    return np.sqrt(values), errors


@mistake("score_errors", wrong="expectation under the data", right="under q_t", seen="evaluated on clean points, common")
def score_errors_at_the_data(density, score, times, **options):
    found = []
    for t in times:
        law = bounds.STANDARD.marginal(density, t)
        found.append(density.expectation(lambda x, law=law, t=t: ((score(x, t) - law.score(x)) ** 2).sum(axis=1), **options))
    return tuple(np.array(found).T)


@mistake("kl", wrong="KL(q||p)", right="KL(p||q)",
         seen="arguments in the other order; scipy.stats.entropy and torch's kl_div differ")
def kl_to_gamma_reversed(p, q, **options):
    return kl(q, p, **options)


@mistake("kl", wrong="bits", right="nats", seen="log2, common in compression code")
def kl_in_bits(p, q, **options):
    value, error = kl(p, q, **options)
    return value / math.log(2), error


@mistake("fisher", wrong="half the relative Fisher information", right="E|.|^2, when it is asked for without the half",
         seen="score matching's 1/2 carried into analysis")
def fisher_not_halved(p, q, *, half=True, **options):
    return fisher(p, q, half=True, **options)


@mistake("marginal", wrong="x_0 + sigma_t z", right="alpha_t x_0 + sigma_t z", seen="VE's kernel used for VP, common")
def marginal_without_decay(process, density, t):
    return density.corrupted(1.0, float(process.sigma(t)))


def _terms(terms, **factors):
    return terms._replace(**{name: factor * getattr(terms, name) for name, factor in factors.items()})


@mistake("chen2023", wrong="e^{-2T} sqrt(KL/2)", right="e^{-T} sqrt(KL/2)", seen="the rate of KL taken for that of its root")
def bound_decays_with_e_2T(*, T, **given):
    return _terms(bounds.chen2023(T=T, **given), initialisation=math.exp(-T))


@mistake("chen2023", wrong="sqrt(KL) e^{-T}", right="sqrt(KL/2) e^{-T}", seen="Pinsker without its half")
def bound_pinsker_without_half(**given):
    return _terms(bounds.chen2023(**given), initialisation=math.sqrt(2))


@mistake("chen2023", wrong="KL/2 e^{-T}", right="sqrt(KL/2) e^{-T}", seen="Pinsker without its root")
def bound_kl_without_root(*, kl, **given):
    return _terms(bounds.chen2023(kl=kl, **given), initialisation=math.sqrt(kl / 2))


@mistake("chen2023", wrong="L m_2^2 h", right="L m_2 h", seen="[e] writes m_2^2, m^2 and m_2 in consecutive lines")
def bound_m2_squared(*, second_moment, **given):
    return bounds.chen2023(second_moment=second_moment**2, **given)


@mistake("chen2023", wrong="sqrt(d h) + m_2 h", right="L sqrt(d h) + L m_2 h", seen="the Lipschitz constant dropped")
def bound_without_L(*, lipschitz, **given):
    return _terms(bounds.chen2023(lipschitz=lipschitz, **given), discretisation=1 / lipschitz)


@mistake("chen2023", wrong="L^2", right="L", seen="the squared error's L^2 kept under no root")
def bound_L_squared(*, lipschitz, **given):
    return _terms(bounds.chen2023(lipschitz=lipschitz, **given), discretisation=lipschitz)


@mistake("chen2023", wrong="L d^{1/2} h", right="L (d h)^{1/2}", seen="the observed order taken for that of the bound")
def bound_h_without_root(*, T, steps, **given):
    return _terms(bounds.chen2023(T=T, steps=steps, **given), discretisation=math.sqrt(T / steps))


@mistake("chen2023", wrong="L d h^{1/2}", right="L (d h)^{1/2}", seen="E|z| = d for E|z|^2 = d")
def bound_dimension_without_root(*, dim, **given):
    return bounds.chen2023(dim=dim * dim, **given)


@mistake("chen2023", wrong="L h^{1/2}", right="L (d h)^{1/2}", seen="derived in one dimension")
def bound_without_dimension(*, dim, **given):
    return bounds.chen2023(dim=1, **given)


@mistake("chen2023", wrong="T", right="sqrt(T)", seen="the root taken of the integrand, not of the integral")
def bound_T_without_root(*, T, **given):
    return _terms(bounds.chen2023(T=T, **given), discretisation=math.sqrt(T), score=math.sqrt(T))


@mistake("chen2023", wrong="eps^2 sqrt(T/2)", right="eps sqrt(T/2)", seen="the loss taken for its root")
def bound_eps_squared(*, score_error, **given):
    return bounds.chen2023(score_error=score_error**2, **given)


@mistake("chen2023", wrong="no factor T", right="sqrt(T)", seen="mean over time for the integral, erratum X2")
def bound_mean_over_time(*, T, **given):
    return _terms(bounds.chen2023(T=T, **given), discretisation=1 / math.sqrt(T), score=1 / math.sqrt(T))


@mistake("martingale_bound", wrong="e^{-2T} sqrt(KL/2)", right="e^{-T} sqrt(KL/2)",
         seen="the rate of KL taken for that of its root")
def martingale_decays_with_e_2T(*, T, **given):
    return _terms(bounds.martingale_bound(T=T, **given), initialisation=math.exp(-T))


@mistake("martingale_bound", wrong="1 - e^{-r}", right="1 - e^{-2r}", seen="signal scale for the variance of the noise")
def martingale_noise_r_for_2r(*, lipschitz, dim, T, steps, **given):
    h = T / steps
    square = dim * lipschitz**2 * (h + math.expm1(-h)) + dim * lipschitz * (h + 2 * math.expm1(-h) - math.expm1(-2 * h) / 2)
    terms = bounds.martingale_bound(lipschitz=lipschitz, dim=dim, T=T, steps=steps, **given)
    return terms._replace(discretisation=math.sqrt(steps / 2 * square))


@mistake("martingale_bound", wrong="sqrt(KL)", right="sqrt(KL/2)", seen="Pinsker without its half, for KL of the paths")
def martingale_without_half(**given):
    return _terms(bounds.martingale_bound(**given), discretisation=math.sqrt(2), score=math.sqrt(2))


@mistake("martingale_bound", wrong="d L", right="d L^2 in the first term", seen="|A|_F^2 <= d |A| for d |A|^2")
def martingale_L_for_L_squared(*, lipschitz, **given):
    terms = bounds.martingale_bound(lipschitz=lipschitz, **given)
    return _terms(terms, discretisation=1 / math.sqrt(lipschitz))


@mistake("martingale_bound", wrong="N - 1 steps", right="N steps", seen="range(N - 1), common")
def martingale_one_step_short(*, steps, **given):
    terms = bounds.martingale_bound(steps=steps, **given)
    return _terms(terms, discretisation=math.sqrt((steps - 1) / steps))


@mistake("martingale_bound", wrong="S_t itself a martingale", right="e^{-t} S_t", seen="the term (1 - e^{-r})^2 d L left out")
def martingale_shrinkage_forgotten(*, lipschitz, dim, T, steps, **given):
    h = T / steps
    terms = bounds.martingale_bound(lipschitz=lipschitz, dim=dim, T=T, steps=steps, **given)
    return terms._replace(discretisation=math.sqrt(steps / 2 * dim * lipschitz**2 * (h + math.expm1(-2 * h) / 2)))


@mistake("martingale_bound", wrong="eps^2 sqrt(T/2)", right="eps sqrt(T/2)", seen="the loss taken for its root")
def martingale_score_squared(*, score_error, **given):
    return bounds.martingale_bound(score_error=score_error**2, **given)


@mistake("score_lipschitz", wrong="at t = 0", right="largest over 0 <= t <= T",
         seen="noise taken to smooth always; wide data get steeper")
def lipschitz_at_the_data(density, T):
    return bounds.score_lipschitz(density, 0.0) if len(density.means) == 1 else bounds.score_lipschitz(density, T)


@mistake("score_lipschitz", wrong="at t = T", right="largest over 0 <= t <= T", seen="the law the sampler starts from, common")
def lipschitz_at_the_end(density, T):
    return bounds.score_lipschitz(bounds.STANDARD.marginal(density, T), 1e-9)


@mistake("score_lipschitz", wrong="largest variance", right="largest precision", seen="variance taken for precision")
def lipschitz_of_variances(density, T):
    largest = float(density.spectrum.max())
    return bounds.Lipschitz(largest, largest)


@mistake("score_lipschitz", wrong="1/(smallest variance of a component)", right="and what the distance of components adds",
         seen="log-concavity assumed of a mixture")
def lipschitz_of_components_alone(density, T):
    steepest = float(1 / density.spectrum.min())
    return bounds.Lipschitz(steepest, steepest)


@mistake("score_lipschitz", wrong="trace/d", right="largest eigenvalue", seen="the divergence at hand taken for the norm")
def lipschitz_of_the_average(density, T):
    found = bounds.score_lipschitz(density, T)
    if len(density.means) > 1:
        return found
    average = float((1 / density.spectrum).mean())
    return bounds.Lipschitz(average, average)


@mistake("second_moment", wrong="E|x|^2", right="its root", seen="m_2 for m_2^2, both in [e]")
def second_moment_squared(density):
    return bounds.second_moment(density) ** 2


@mistake("second_moment", wrong="sqrt(tr Cov)", right="sqrt(|mean|^2 + tr Cov)", seen="central moment for the raw one")
def second_moment_centred(density):
    return math.sqrt(float(np.trace(density.cov)))


@mistake("second_moment", wrong="root of the mean square of an entry", right="of the sum over entries",
         seen="np.mean over both axes")
def second_moment_per_dimension(density):
    return bounds.second_moment(density) / math.sqrt(density.dim)
