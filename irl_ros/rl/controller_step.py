"""The policy step of guided cost learning: a KL-bounded maximum-entropy update of a Controller.

Finn, Levine & Abbeel 2016, Algorithm 1 line 6, by the method of Levine & Abbeel 2014: fit linear-Gaussian
dynamics to the rollouts, expand the cost to second order, solve by LQR under a bound on KL(q ‖ q_old).

What differs:

* The cost is not expanded at the mean trajectory but regressed on the samples. For Gaussian x the
  regression's slope and curvature are E[∇c] and E[∇²c] (Stein's lemma): the derivatives of E[c] that a step
  on a distribution needs. A cost with a kink at the target, as one of distances has, has no others.
* The release. With it the controller's work is over: what is left to pay, W_t(x), is regressed on the samples
  that let go about then. Given the motion, its time is a choice among T + 1 that the same bound and
  multiplier hold, and whose best distribution is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from irl_ros.rl.control_view import ControlView
from irl_ros.rl.controller import Controller, passive_controller
from irl_ros.rl.linear_gaussian import Gaussian, LinearGaussian, fit
from irl_ros.rl.lqr import Quadratic, System, augmented, backward, divergence, forward, surprise, within
from irl_ros.rl.task import Trajectories
from irl_ros.settings import at_least


@dataclass(frozen=True)
class ControllerSettings:
    epsilon: float = 10.0
    """ε, most nats the first step may move the distribution of whole trajectories."""
    window: int = 2
    """Steps before and after one whose samples are its fits' prior."""
    strength: float = 20.0
    """Samples that the prior counts for."""
    ridge: float = 1e-3
    """Variance added to every entry of x where the first controller is regressed on it."""
    floor: float = 1e-4
    """Variance added to the motion of the controller that is fitted to demonstrations."""
    release_spread: float = 1.0
    """Standard deviation, steps, of the smoothing of demonstrated release times."""
    release_floor: float = 0.02
    """Share of a uniform distribution in it."""
    sweeps: int = 2
    """Rounds of motion and release time, each given the other."""

    def __post_init__(self) -> None:
        at_least(self, 0, "window", "ridge")
        at_least(self, 1, "sweeps")
        for name in ("epsilon", "strength", "floor", "release_spread", "release_floor"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: must be above 0, found {getattr(self, name)}")
        if self.release_floor > 1:
            raise ValueError(f"release_floor: a share is at most 1, found {self.release_floor}")


@dataclass(frozen=True)
class Update:
    """What a step found: motion [T], q(r) [T + 1], the multiplier η and KL(q ‖ q_old)."""

    motion: LinearGaussian
    release: Tensor
    eta: float
    divergence: float


def fit_controller(view: ControlView, demonstrations: Trajectories, s: ControllerSettings) -> Controller:
    """The controller most likely to have made the demonstrations: their density, and where samplers start.

    Steps after the release count as well, though a density counts none of them: where nearly everybody has
    let go there is little else to say how an arm moves.
    """
    x, u = view.x(demonstrations.observations[:, :-1]), view.u(demonstrations.actions)
    motion = fit(x, u, s.window, s.strength, s.ridge, s.floor)
    return Controller(view, motion, _release_times(view, demonstrations, s))


def _release_times(view: ControlView, demonstrations: Trajectories, s: ControllerSettings) -> Tensor:
    """Histogram of demonstrated release steps, smoothed, [T + 1]; the last entry: never."""
    held = view.held(demonstrations.observations)
    steps = torch.arange(view.horizon + 1, device=held.device)
    released = held.sum(1) - 1  # the last step with the ball in hand
    kernel = torch.exp(-0.5 * ((steps - released[:, None]) / s.release_spread).double().square())
    never = released >= view.horizon
    kernel = torch.where(never[:, None], (steps == view.horizon).double(), kernel * (steps < view.horizon))
    smooth = (kernel / kernel.sum(1, keepdim=True)).mean(0)
    return (1 - s.release_floor) * smooth + s.release_floor / len(steps) if view.release else smooth


def step(
    controller: Controller, trajectories: Trajectories, cost: Tensor, s: ControllerSettings, epsilon: float
) -> Update:
    """min_q E_q[c − log p₀] − H(q) subject to KL(q ‖ q_old) ≤ ε.

    Args:
        controller: q_old.
        trajectories: N of its own.
        cost: c of each step's state, effort left out, [N, T].
        s: see ControllerSettings.
        epsilon: ε.

    Raises:
        ValueError: no step keeps the bound.
    """
    view, old = controller.view, controller.motion
    dynamics, start = fit_dynamics(view, trajectories, s)
    going, gone = expand(view, trajectories, cost.double(), s)
    going = going + surprise(passive_controller(view).motion)

    def system(release: Tensor) -> System:
        return System(dynamics, start, 1 - Controller(view, old, release).hazard)

    chooses = int((controller.release > 0).sum()) > 1

    def attempt(eta: float) -> Update:
        release, aim = controller.release, augmented(going, old, eta)
        for _ in range(s.sweeps if chooses else 1):
            hazard = 1 - system(release).go_on
            motion, _ = backward(system(release), aim + gone * (hazard / (1 + eta)))
            if chooses:
                hand = forward(system(release), motion)[0]
                release = best_release(hand, aim, gone * (1 / (1 + eta)), motion, controller.release, eta)
        moved = divergence(system(release), motion, old)
        moved = moved + torch.xlogy(release, release / controller.release.clamp_min(1e-300)).sum()
        return Update(motion, release, eta, float(moved))

    return within(epsilon, attempt)


def best_release(
    hand: Gaussian, aim: Quadratic, gone: Quadratic, motion: LinearGaussian, old: Tensor, eta: float
) -> Tensor:
    """q(r) ∝ q_old(r)^(η / (1 + η)) exp(−A_r), [T + 1], exact given the motion.

    A_r is what releasing at r costs: the augmented cost, less the entropy of motion, of holding until then,
    and what is left to pay.

    Args:
        hand: of (x_t, u_t) while the ball is held, [T].
        aim, gone: of holding a step, and of having let go in it, both over 1 + η, [T].
        motion: [T].
        old: q_old(r), [T + 1].
        eta: η.
    """
    held = (aim.expect(hand) - motion.entropy).cumsum(0)
    price = torch.cat((held + gone.expect(hand), held[-1:]))
    possible = torch.where(old > 0, 0.0, -torch.inf)
    return torch.softmax(old.clamp_min(1e-300).log() * (eta / (1 + eta)) - price + possible, 0)


def fit_dynamics(
    view: ControlView, trajectories: Trajectories, s: ControllerSettings
) -> tuple[LinearGaussian, Gaussian]:
    """p(x_{t+1} | x_t, u_t, still held at t + 1), [T], and the Gaussian of x_0.

    A step in which the ball is let go tells nothing of this: how far it will miss does not change any more.
    """
    x, u = view.x(trajectories.observations), view.u(trajectories.actions)
    z, held = torch.cat((x[:, :-1], u), -1), view.held(trajectories.observations[:, 1:]).double()
    dynamics = fit(z, x[:, 1:], s.window, s.strength, 1e-6, 1e-6, held)
    centred = x[:, 0] - x[:, 0].mean(0)
    eye = 1e-6 * torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    return dynamics, Gaussian(x[:, 0].mean(0), centred.mT @ centred / len(x) + eye)


def expand(
    view: ControlView, trajectories: Trajectories, cost: Tensor, s: ControllerSettings
) -> tuple[Quadratic, Quadratic]:
    """Quadratics in z = (x, u), [T]: cost of a step with the ball in hand; W_t, what is left without it."""
    observation = trajectories.observations[:, :-1]
    y, held = view.x(observation)[..., view.cost], view.held(observation)
    going = regress(y, cost, held.double(), s)
    left = torch.arange(cost.shape[1], 0, -1, device=cost.device) - 1.0  # steps after this one
    after = cost.flip(1).cumsum(1).flip(1) - cost
    # a step's share: the whole shrinks from a release time to the next, which must not look like a slope
    share = after / left.clamp_min(1.0)
    lets_go = held & view.released(trajectories.actions) if view.release else torch.zeros_like(held)
    gone = regress(y, share, lets_go.double(), s) * left
    place = torch.zeros(len(view.cost), sum(view.size), dtype=y.dtype, device=y.device)
    place[torch.arange(len(view.cost)), list(view.cost)] = 1.0
    return tuple(  # type: ignore[return-value]
        Quadratic(place.mT @ q.hessian @ place, q.gradient @ place, q.constant) for q in (going, gone)
    )


def regress(y: Tensor, value: Tensor, weight: Tensor, s: ControllerSettings) -> Quadratic:
    """The quadratics nearest to value [N, T] in y [N, T, k], by time, [T], curving upwards only.

    Neighbouring steps count as a prior; a step with nothing near it takes what there is anywhere.
    """
    found = []
    for t in range(y.shape[1]):
        near = slice(max(0, t - s.window), t + s.window + 1)
        if weight[:, near].sum() < 2 * y.shape[-1] + 2:
            near = slice(None)
        w = s.strength / weight[:, near].sum().clamp_min(1.0) * weight
        w[:, t] += weight[:, t]
        chosen = w[:, near].flatten()
        some = chosen > 0
        found.append(_nearest(y[:, near].flatten(0, 1)[some], value[:, near].flatten()[some], chosen[some]))
    return Quadratic.stack(found)


def _nearest(y: Tensor, value: Tensor, weight: Tensor) -> Quadratic:
    """Weighted least squares of a quadratic, [K, k] → one; its downward curvature is cut off."""
    k = y.shape[-1]
    if not len(y):
        return Quadratic(y.new_zeros(k, k), y.new_zeros(k), y.new_zeros(()))
    share = weight / weight.sum().clamp_min(1e-9)
    mean = share @ y
    scale = (share @ (y - mean).square()).sqrt().clamp_min(1e-6)
    z, upper = (y - mean) / scale, torch.triu_indices(k, k, device=y.device)
    phi = torch.cat((torch.ones_like(z[:, :1]), z, z[:, upper[0]] * z[:, upper[1]]), -1)
    square = (share[:, None] * phi).mT @ phi + 1e-6 * torch.eye(phi.shape[-1], dtype=y.dtype, device=y.device)
    theta = torch.linalg.solve(square, phi.mT @ (share * value))
    half = torch.zeros(k, k, dtype=y.dtype, device=y.device)
    half[upper[0], upper[1]] = theta[1 + k :]
    values, vectors = torch.linalg.eigh(half + half.mT)
    hessian = (vectors * values.clamp_min(0.0)) @ vectors.mT
    # the slope at the mean is kept when curvature is cut; then back to y's own scale and origin
    hessian, slope = hessian / (scale[:, None] * scale), theta[1 : 1 + k] / scale
    constant = (
        share @ value
        - slope @ (share @ y - mean)
        - 0.5 * (hessian * ((share[:, None] * (y - mean)).mT @ (y - mean))).sum()
    )
    return Quadratic(hessian, slope - hessian @ mean, constant - slope @ mean + 0.5 * mean @ hessian @ mean)
