"""The stochastic throwing policy: Gaussian joint velocities and a Bernoulli release."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from irl_ros.errors import InputError
from irl_ros.networks import load_weights, mlp, save_weights, weights_sha256
from irl_ros.rl.observation import HELD, Observation
from irl_ros.robots import Robot
from irl_ros.settings import as_dict, build, load_yaml, save_yaml
from irl_ros.sim.pilot import Pilot
from irl_ros.sim.state import State
from irl_ros.sim.world import World, load_world

UNTRAINED_LOG_STD = -0.5
"""Initial log standard deviation of a policy that nobody has shown anything."""
LOG_TAU = 1.8378770664093453  # log 2π
RELEASE_GAIN = 4.0
"""Factor on the release logit: a chance has to become a decision in a few dozen policy steps, or the mode of
the policy, which is what a robot executes, keeps the ball while its samples let go."""


@dataclass(frozen=True)
class PolicySettings:
    hidden: tuple[int, ...] = (64, 64)
    """Units of each hidden layer."""
    log_std: float = -1.0
    """Initial log standard deviation of the joint velocities (share of the limit)."""
    log_std_bounds: tuple[float, float] = (-3.0, 0.0)
    """Kept within: near-deterministic demonstrations would drive it without bound."""
    release_rate: float = 0.03
    """Initial chance of letting go in a control step."""

    def __post_init__(self) -> None:
        for i, units in enumerate(self.hidden):
            if units < 1:
                raise ValueError(f"hidden[{i}]: must be at least 1, found {units}")
        if not self.log_std_bounds[0] <= self.log_std_bounds[1]:
            raise ValueError(f"log_std_bounds: lower end is above upper end, found {self.log_std_bounds}")
        if not 0 < self.release_rate < 1:
            raise ValueError(f"release_rate: must be between 0 and 1, found {self.release_rate}")


class Policy(nn.Module):
    """π_θ(a | s) = N(v; m_θ(s), σ_θ²) · Bernoulli(release; p_θ(s)).

    Joint velocities are sampled unbounded and clipped by the world, and log π is taken of the sample before
    clipping. The release counts in log π only while the ball is held (the observation says so): afterwards it
    changes nothing. An `Agent`.

    Args:
        world: robot and task the policy is for.
        settings: network and exploration.
    """

    def __init__(self, world: World, settings: PolicySettings | None = None) -> None:
        super().__init__()
        self.world, self.settings = world, settings or PolicySettings()
        self.observation = Observation(world)
        self.net = mlp([self.observation.size, *self.settings.hidden, world.action_dim], last_gain=0.01)
        self.log_std = nn.Parameter(torch.full((world.robot.n,), self.settings.log_std))
        odds = torch.logit(torch.tensor(self.settings.release_rate))
        last: nn.Linear = self.net[-1]  # type: ignore[assignment]
        nn.init.constant_(last.bias[-1:], float(odds) / RELEASE_GAIN)

    def distribution(self, observation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and log standard deviation of the joint velocities [..., n] and release logit [...]."""
        out = self.net(observation)
        log_std = self.bounded_log_std.expand_as(out[..., :-1])
        logit = RELEASE_GAIN * out[..., -1]
        return out[..., :-1], log_std, logit

    @property
    def bounded_log_std(self) -> Tensor:
        """log σ_θ of the joint velocities, inside its bounds, [n]."""
        return self.log_std.clamp(*self.settings.log_std_bounds)

    @torch.no_grad()
    def keep_within_bounds(self) -> None:
        """For after a gradient step: log σ_θ outside its bounds would get no gradient that brings it back."""
        self.log_std.clamp_(*self.settings.log_std_bounds)

    def sample(self, observation: Tensor) -> Tensor:
        """An action [..., n + 1]; the release entry is −1 or +1."""
        mean, log_std, logit = self.distribution(observation)
        noise = torch.randn_like(mean)
        chance = torch.rand_like(logit)
        release = torch.where(chance < torch.sigmoid(logit), 1.0, -1.0)
        return torch.cat((mean + log_std.exp() * noise, release[..., None]), -1)

    def mode(self, observation: Tensor) -> Tensor:
        """The likeliest action, [..., n + 1] in [-1, 1]: mean velocities, release when likelier than not."""
        mean, _, logit = self.distribution(observation)
        release = torch.where(logit > 0, 1.0, -1.0)
        return torch.cat((mean.clamp(-1.0, 1.0), release[..., None]), -1)

    def jitter(self, action: Tensor) -> Tensor:
        """The action [..., n + 1] with the policy's noise on its joint velocities."""
        velocities = action[..., :-1]
        noise = self.bounded_log_std.detach().exp() * torch.randn_like(velocities)
        return torch.cat((velocities + noise, action[..., -1:]), -1)

    @torch.no_grad()
    def pilot(self, observation: Observation) -> Pilot:
        """This policy for code that flies it: shown what `observation` shows, with its weights of now."""
        layers = [layer for layer in self.net if isinstance(layer, nn.Linear)]
        return Pilot(
            mean=observation.mean,
            scale=observation.scale,
            velocity=observation.velocity,
            deviation=self.bounded_log_std.detach().exp(),
            gain=RELEASE_GAIN,
            flight=observation.flight,
            weights=[layer.weight.detach() for layer in layers],
            biases=[layer.bias.detach() for layer in layers],
        )

    def log_prob_of(self, distance: Tensor, logit: Tensor, released: Tensor, held: Tensor) -> Tensor:
        """log π(a | s), [...], of an action drawn with noise z: of Σz², release logit and what was drawn."""
        gaussian = -0.5 * distance - (self.bounded_log_std.detach() + 0.5 * LOG_TAU).sum()
        return gaussian + self._log_chance(logit, released, held)

    def untrained(self) -> Policy:
        """Another of the same size that sees the same, scaled the same, and has learned nothing."""
        settings = replace(self.settings, log_std=UNTRAINED_LOG_STD)
        other = Policy(self.world, settings).to(self.log_std.device)
        other.observation.load_state_dict(self.observation.state_dict())
        return other

    def value_network(self) -> nn.Module:
        """An untrained value function of the policy's size, [..., D] → [..., 1]."""
        sizes = [self.observation.size, *self.settings.hidden, 1]
        return mlp(sizes, last_gain=0.1).to(self.log_std.device)

    def log_prob(self, observation: Tensor, action: Tensor) -> Tensor:
        """log π(a | s), [...], for actions [..., n + 1] as sampled (not clipped)."""
        mean, log_std, logit = self.distribution(observation)
        return self._log_prob(mean, log_std, logit, action, observation[..., HELD] > 0)

    def log_prob_entropy(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """log π(a | s) and the entropy of π(· | s), each [...]."""
        mean, log_std, logit = self.distribution(observation)
        held = observation[..., HELD] > 0
        return self._log_prob(mean, log_std, logit, action, held), self._entropy(log_std, logit, held)

    def expectation(self, observation: Tensor, of: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """E_π[of(a)], exact over the release, one sample of the velocities; and the entropy. Each [...]."""
        mean, log_std, logit = self.distribution(observation)
        held = observation[..., HELD] > 0
        velocities = mean + log_std.exp() * torch.randn_like(mean)
        # a release that changes nothing must not be learned from what a network thinks it changes
        p = torch.sigmoid(torch.where(held, logit, logit.detach()))
        sign = torch.ones_like(logit)[..., None]
        kept, released = of(torch.stack([torch.cat((velocities, x), -1) for x in (-sign, sign)]))
        return (1 - p) * kept + p * released, self._entropy(log_std, logit, held)

    @staticmethod
    def _entropy(log_std: Tensor, logit: Tensor, held: Tensor) -> Tensor:
        gaussian = (log_std + 0.5 * (1 + LOG_TAU)).sum(-1)
        bernoulli = functional.softplus(logit) - torch.sigmoid(logit) * logit
        return gaussian + torch.where(held, bernoulli, torch.zeros_like(bernoulli))

    @staticmethod
    def _log_prob(mean: Tensor, log_std: Tensor, logit: Tensor, action: Tensor, held: Tensor) -> Tensor:
        z = (action[..., :-1] - mean) * torch.exp(-log_std)
        gaussian = (-0.5 * z * z - log_std - 0.5 * LOG_TAU).sum(-1)
        return gaussian + Policy._log_chance(logit, action[..., -1] > 0, held)

    @staticmethod
    def _log_chance(logit: Tensor, released: Tensor, held: Tensor) -> Tensor:
        bernoulli = -functional.softplus(torch.where(released, -logit, logit))
        return torch.where(held, bernoulli, torch.zeros_like(bernoulli))

    @torch.no_grad()
    def act(self, state: State) -> Tensor:
        """The mode of π(· | s), [N, n + 1]."""
        return self.mode(self.observation(state))

    @property
    def sha256(self) -> str:
        """Hash of the weights."""
        return weights_sha256(self)

    @property
    def robot_sha256(self) -> str:
        """Hash of the robot it is for."""
        return self.world.robot.sha256

    @property
    def world_settings(self) -> dict[str, Any]:
        """The keys of the world it was trained in."""
        return as_dict(self.world.settings)

    def check_robot(self, robot: Robot) -> None:
        """Refuse a robot the policy was not trained on.

        Raises:
            InputError: another robot, or the same name with other joints or limits.
        """
        if robot.sha256 != self.robot_sha256:
            own = self.world.robot
            what = f"robot '{robot.name}' ({robot.n} joints)"
            if robot.name == own.name:
                what += " with other limits or another URDF"
            problem = f"was trained on robot '{own.name}' ({own.n} joints), not on {what}"
            raise InputError("policy", problem, "use that robot, or learn or transfer a policy for this one")

    def save(self, run: Path) -> None:
        """Write policy.safetensors and policy.yaml into a RUN directory."""
        save_weights(self, run / "policy.safetensors")
        description = {
            "kind": "gaussian-bernoulli",
            "settings": as_dict(self.settings),
            "world": {"name": self.world.name, **self.world_settings},
            "robot": {"name": self.world.robot.name, "joints": list(self.world.robot.joints)},
            "robot_sha256": self.robot_sha256,
            "sha256": self.sha256,
        }
        save_yaml(run / "policy.yaml", description)  # last: where it is, the bundle is whole


def load_policy(run: str | Path, device: torch.device | str = "cpu") -> Policy:
    """The policy of a RUN directory, ready to act.

    Raises:
        InputError: no such bundle, a damaged file, or the robot has changed since training.
    """
    run = Path(run)
    if not run.is_dir():
        raise InputError(run, "no such run directory", "give the --out of `irl-ros learn` or `transfer`")
    path = run / "policy.yaml"
    if not path.is_file():
        raise InputError(
            run, "holds no policy.yaml", "has learning finished? `irl-ros learn … --resume` goes on"
        )
    description = load_yaml(path)
    try:
        keys = dict(description["world"])
        name = keys.pop("name")
        world = load_world(keys)
        settings = build(PolicySettings, description["settings"], path, "settings.")
    except KeyError as error:
        raise InputError(
            path, f"lacks the key {error}", "write the bundle again with `irl-ros learn`"
        ) from None
    except (TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(path, "is damaged", "write the bundle again with `irl-ros learn`") from None
    policy = Policy(replace(world, name=name), settings)
    load_weights(policy, run / "policy.safetensors", description.get("sha256"))
    if description.get("robot_sha256") != policy.robot_sha256:
        problem = (
            f"was trained on another '{world.robot.name}' than config/robots has now (limits, joints or URDF)"
        )
        raise InputError(path, problem, "restore that robot's YAML or learn again")
    return policy.to(device).eval()
