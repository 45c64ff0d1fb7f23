"""A scaling law fitted to finished runs: `loss = E + A / N**alpha + B / D**beta`, N parameters
(all of them, embeddings too) and D tokens trained on.

Source: Hoffmann et al., arXiv:2203.15556, §3.3 and appendix D.2: the Huber loss (delta = 1e-3) of
the error in log loss, minimised from a grid of starts. Here by iteratively reweighted least squares
with Levenberg's damping, all starts and all resamples at once; logarithms of E, A and B keep them
positive. The intervals are percentiles over resampled runs; that they were far too narrow in the
original is Besiroglu et al., arXiv:2404.10102.

Shape suffixes: P problems · R runs · K parameters (log E, log A, alpha, log B, beta).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from core.events import ScalingFit, SweepRow

Floats = NDArray[np.float64]

DELTA = 1e-3
LEAST_RUNS = 6
"""One more than the law has parameters."""
RESAMPLES = 200
ITERATIONS = 300
MORE_ITERATIONS = 100
LEAST_SPAN = 4.0
"""Below this factor between the largest and the smallest, an exponent means little."""
STARTS = [np.log([0.1, 0.5, 1.0, 2.0]), np.log([1.0, 30.0, 1000.0]), np.array([0.2, 0.5, 0.9])]
BOUNDS = np.array([[-12.0, 4.0], [-12.0, 40.0], [0.01, 3.0], [-12.0, 40.0], [0.01, 3.0]])


def fit_rows(rows: Sequence[SweepRow]) -> ScalingFit:
    """The law of the finished runs.

    Raises:
        ConfigError: there are too few.
    """
    done = [r for r in rows if r.state == "finished" and r.val_loss and r.tokens and r.params]
    if len(done) < LEAST_RUNS:
        raise ConfigError(
            f"A scaling law has 5 numbers, and {len(done)} finished runs cannot tell them.",
            hint=f"Finish {LEAST_RUNS} or more that differ in parameters and in tokens.",
        )
    n, d, loss = (
        np.array([getattr(row, name) for row in done], np.float64)
        for name in ("params", "tokens", "val_loss")
    )
    return fit_law(n, d, loss)


def fit_law(n_R: Floats, d_R: Floats, loss_R: Floats, *, seed: int = 0) -> ScalingFit:
    """The law of these runs. A term whose quantity is the same in all of them is left out.

    Args:
        n_R: parameters, float64 of shape (runs,); `d_R` tokens, `loss_R` nats per token.
    """
    runs = len(loss_R)
    logs = np.log(n_R), np.log(d_R), np.log(loss_R)
    free_K = np.array([True, *[np.ptp(logs[0]) > 0] * 2, *[np.ptp(logs[1]) > 0] * 2])
    starts = np.array([[e, a, x, a, y] for e, a, x, y in _starts()])
    found, cost = _minimise(_held(starts, free_K), np.ones((len(starts), runs)), logs, free_K)
    best = found[int(np.argmin(cost))]
    picks = np.random.default_rng(seed).integers(0, runs, (RESAMPLES, runs))
    weights = np.stack([np.bincount(pick, minlength=runs) for pick in picks]).astype(np.float64)
    # From the best fit and from others of the best starts, for a resample may prefer another.
    near = found[np.argsort(cost)[:4]]
    many = np.repeat(near, RESAMPLES, axis=0)
    again, costs = _minimise(many, np.tile(weights, (len(near), 1)), logs, free_K, MORE_ITERATIONS)
    costs = costs.reshape(len(near), RESAMPLES)
    drawn = again.reshape(len(near), RESAMPLES, -1)[costs.argmin(0), np.arange(RESAMPLES)]
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    edges = [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
    errors = np.exp(_predicted(best[None], logs)[0][0]) / loss_R - 1
    spans = float(np.exp(np.ptp(logs[0]))), float(np.exp(np.ptp(logs[1])))
    e, a, b = (float(np.exp(best[k])) for k in (0, 1, 3))
    return ScalingFit(
        e=e,
        a=a if free_K[1] else 0.0,
        alpha=float(best[2]) if free_K[1] else 0.0,
        b=b if free_K[3] else 0.0,
        beta=float(best[4]) if free_K[3] else 0.0,
        e_ci95=(float(np.exp(edges[0][0])), float(np.exp(edges[0][1]))),
        alpha_ci95=edges[2] if free_K[1] else (0.0, 0.0),
        beta_ci95=edges[4] if free_K[3] else (0.0, 0.0),
        runs=runs,
        largest_error=float(np.abs(errors).max()),
        params_span=spans[0],
        tokens_span=spans[1],
        warnings=_warnings(n_R, d_R, spans),
    )


def _starts() -> list[tuple[float, float, float, float]]:
    e, a, x = STARTS
    return [
        (float(p), float(q), float(r), float(s)) for p, q, r, s in itertools.product(e, a, x, x)
    ]


def _held(theta_PK: Floats, free_K: NDArray[np.bool_]) -> Floats:
    """A term that is left out is as good as 0."""
    out = np.array([0.0, -60.0, 0.0, -60.0, 0.0])
    return np.where(free_K, theta_PK, out)


def _predicted(theta_PK: Floats, logs: tuple[Floats, Floats, Floats]) -> tuple[Floats, Floats]:
    """Log loss (P, R), and its derivatives (P, R, K)."""
    log_n, log_d, _ = logs
    e, a, alpha, b, beta = (theta_PK[:, k, None] for k in range(5))
    parts = np.stack([e + 0 * log_n, a - alpha * log_n, b - beta * log_d])
    top = parts.max(axis=0)
    shares = np.exp(parts - top)
    total = shares.sum(axis=0)
    s_e, s_n, s_d = shares / total
    slopes = np.stack([s_e, s_n, -s_n * log_n, s_d, -s_d * log_d], axis=-1)
    return top + np.log(total), slopes


def _huber(errors: Floats) -> Floats:
    size = np.abs(errors)
    return np.where(size <= DELTA, errors**2 / 2, DELTA * (size - DELTA / 2))


def _minimise(
    theta_PK: Floats,
    weight_PR: Floats,
    logs: tuple[Floats, Floats, Floats],
    free_K: NDArray[np.bool_],
    iterations: int = ITERATIONS,
) -> tuple[Floats, Floats]:
    """Every problem from its start; parameters (P, K) and costs (P,)."""
    damping = np.full(len(theta_PK), 1e-2)
    eye = np.eye(5)

    def costs(theta: Floats) -> Floats:
        total: Floats = (weight_PR * _huber(_predicted(theta, logs)[0] - logs[2])).sum(axis=1)
        return total

    cost = costs(theta_PK)
    for _ in range(iterations):
        predicted, slopes = _predicted(theta_PK, logs)
        errors = predicted - logs[2]
        robust = weight_PR / np.maximum(np.abs(errors) / DELTA, 1.0)
        slopes = slopes * free_K
        normal = np.einsum("prk,pr,prl->pkl", slopes, robust, slopes)
        gradient = np.einsum("prk,pr,pr->pk", slopes, robust, errors)
        scale = np.einsum("pkk->pk", normal) + 1e-9
        system = normal + (damping[:, None] * scale)[:, :, None] * eye
        step = np.linalg.solve(system, gradient[..., None])[..., 0]
        tried = _held(np.clip(theta_PK - step, BOUNDS[:, 0], BOUNDS[:, 1]), free_K)
        new = costs(tried)
        is_better = new < cost
        theta_PK = np.where(is_better[:, None], tried, theta_PK)
        cost = np.where(is_better, new, cost)
        damping = np.clip(np.where(is_better, damping / 3, damping * 4), 1e-9, 1e6)
    return theta_PK, cost


def _warnings(n_R: Floats, d_R: Floats, spans: tuple[float, float]) -> tuple[str, ...]:
    found = []
    for what, letter, values, span in (
        ("parameters", "alpha", n_R, spans[0]),
        ("tokens", "beta", d_R, spans[1]),
    ):
        different = len(np.unique(values))
        if different == 1:
            found.append(f"All runs have the same {what}: {letter} cannot be told.")
        elif different < 3 or span < LEAST_SPAN:
            found.append(
                f"The runs span {span:.1f} times in {what}, with {different} different values:"
                f" {letter} means little below {LEAST_SPAN:g} times or 3 values."
            )
    if len(n_R) < 2 * LEAST_RUNS:
        found.append(f"{len(n_R)} runs are few for 5 numbers: the intervals are too narrow.")
    return tuple(found)
