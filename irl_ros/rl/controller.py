"""A time-varying linear-Gaussian controller with a release time, as an Agent."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from irl_ros.rl.control_view import ControlView
from irl_ros.rl.linear_gaussian import LinearGaussian
from irl_ros.rl.task import Trajectories


class Controller(nn.Module):
    """q(u_t | x_t) = N(K_t x_t + k_t, C_t), and q(r): when the hand opens, drawn before anything is seen.

    The paper's controllers have no discrete choice. A release time is one choice out of T + 1 (the last:
    never), so its distribution is a categorical one. Acting, it is met as a hazard, q(r = t | r ≥ t); the
    product of hazards over a trajectory is q(r) again, so log-probabilities of steps add up to that of τ.

    Args:
        view: what the controller works on.
        motion: [T].
        release: q(r), [T + 1]; without a release in the view all on "never".
    """

    gain: Tensor
    bias: Tensor
    covariance: Tensor
    release: Tensor

    def __init__(self, view: ControlView, motion: LinearGaussian, release: Tensor) -> None:
        super().__init__()
        self.view = view
        self.register_buffer("gain", motion.gain)
        self.register_buffer("bias", motion.bias)
        self.register_buffer("covariance", motion.covariance)
        self.register_buffer("release", release)

    def replaced(self, motion: LinearGaussian, release: Tensor | None = None) -> Controller:
        """A new controller of the same view, and with the same release times unless others are given."""
        return Controller(self.view, motion, self.release if release is None else release)

    @property
    def motion(self) -> LinearGaussian:
        """[T]."""
        return LinearGaussian(self.gain, self.bias, self.covariance)

    @property
    def hazard(self) -> Tensor:
        """q(r = t | r ≥ t), [T]."""
        left = self.release.flip(0).cumsum(0).flip(0)
        return (self.release / left.clamp_min(1e-300))[:-1].clamp(0.0, 1.0)

    def _now(self, observation: Tensor) -> LinearGaussian:
        return self.motion[self.view.step(observation)]

    def sample(self, observation: Tensor) -> Tensor:
        """An action [..., A]; a release entry is −1 or +1."""
        u = self._now(observation).sample(self.view.x(observation))
        if self.view.release:
            opens = torch.rand_like(u[..., 0]) < self.hazard[self.view.step(observation)]
            u = torch.cat((u, torch.where(opens, 1.0, -1.0)[..., None].to(u)), -1)
        return u.to(observation.dtype)

    def mode(self, observation: Tensor) -> Tensor:
        """Mean motion; the hand opens at the likeliest time."""
        u = self._now(observation).mean(self.view.x(observation))
        if self.view.release:
            opens = self.view.step(observation) >= self.release.argmax()
            u = torch.cat((u, torch.where(opens, 1.0, -1.0)[..., None].to(u)), -1)
        return u.clamp(-1.0, 1.0).to(observation.dtype)

    def log_prob(self, observation: Tensor, action: Tensor) -> Tensor:
        """log q(a | s), [...]; a release counts while the ball is held."""
        motion = self._now(observation).log_prob(self.view.x(observation), self.view.u(action))
        return (motion + self._log_release(observation, action)).to(observation.dtype)

    def log_prob_of(self, trajectories: Trajectories) -> Tensor:
        """log q(a_t | s_t) of whole trajectories, float64 [N, T]: `log_prob`, but quick."""
        observation, action = trajectories.observations[:, :-1], trajectories.actions
        motion = self.motion.log_prob(self.view.x(observation), self.view.u(action))
        return motion + self._log_release(observation, action)

    def _log_release(self, observation: Tensor, action: Tensor) -> Tensor:
        if not self.view.release:
            return torch.zeros_like(observation[..., 0]).double()
        hazard = self.hazard[self.view.step(observation)]
        chance = torch.where(self.view.released(action), hazard, 1 - hazard).clamp_min(1e-300)
        return torch.where(self.view.held(observation), chance.log(), torch.zeros_like(chance))


def passive_controller(view: ControlView) -> Controller:
    """p₀: motion that wants nothing, and a release at any time."""
    motion = view.passive.map(lambda x: x.expand(view.horizon, *x.shape).clone())
    release = torch.zeros(view.horizon + 1, dtype=torch.float64, device=motion.bias.device)
    release[-1] = 1.0
    return Controller(view, motion, torch.full_like(release, 1 / len(release)) if view.release else release)
