"""The policy against torch.distributions, and its bundle on disk."""

from __future__ import annotations

import dataclasses
import math
import pickle
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from torch.distributions import Bernoulli, Independent, Normal

from irl_ros.errors import InputError
from irl_ros.resources import config_file
from irl_ros.rl.policy import RELEASE_GAIN, Policy, PolicySettings, load_policy
from irl_ros.settings import build
from irl_ros.sim import State, Throws, World, load_world


@pytest.fixture
def states(thrown: Throws) -> State:
    return thrown.states.map(lambda x: x.flatten(0, 1))


def truth(policy: Policy, observation: torch.Tensor) -> tuple[Independent, Bernoulli]:
    """π(· | s) put together from torch's own distributions."""
    out = policy.net(observation)
    std = policy.log_std.clamp(*policy.settings.log_std_bounds).exp().expand_as(out[..., :-1])
    return Independent(Normal(out[..., :-1], std), 1), Bernoulli(logits=RELEASE_GAIN * out[..., -1])


def test_log_prob_and_entropy_are_those_of_torch(policy: Policy, states: State) -> None:
    observation = policy.observation(states)
    action = policy.sample(observation)
    joints, release = truth(policy, observation)
    expected = joints.log_prob(action[:, :-1]) + release.log_prob((action[:, -1] > 0).float()) * states.held
    entropy = joints.entropy() + release.entropy() * states.held
    assert 0 < states.held.float().mean() < 1  # both branches
    torch.testing.assert_close(policy.log_prob(observation, action), expected)
    both = policy.log_prob_entropy(observation, action)
    torch.testing.assert_close(both[0], expected)
    torch.testing.assert_close(both[1], entropy)


def test_release_counts_only_while_the_ball_is_held(policy: Policy, states: State) -> None:
    observation = policy.observation(states)
    opened = policy.sample(observation)
    closed = opened.clone()
    opened[:, -1], closed[:, -1] = 1.0, -1.0
    difference = policy.log_prob(observation, opened) - policy.log_prob(observation, closed)
    assert (difference[~states.held] == 0).all()
    # log p − log(1 − p) is the logit
    torch.testing.assert_close(difference[states.held], truth(policy, observation)[1].logits[states.held])


def test_samples_are_drawn_from_what_log_prob_says(policy: Policy, states: State) -> None:
    observation = policy.observation(states[5]).expand(40_000, -1)
    with torch.no_grad():
        action = policy.sample(observation)
        joints, release = truth(policy, observation[0])
    assert set(action[:, -1].tolist()) <= {-1.0, 1.0}
    error = joints.stddev / math.sqrt(len(action))
    assert ((action[:, :-1].mean(0) - joints.mean).abs() < 5 * error).all()
    torch.testing.assert_close(action[:, :-1].std(0), joints.stddev, rtol=0.02, atol=0)
    assert float((action[:, -1] > 0).float().mean()) == pytest.approx(float(release.probs), abs=0.01)


def test_a_released_ball_and_extreme_logits_stay_finite(policy: Policy, states: State) -> None:
    with torch.no_grad():
        policy.net[-1].bias[-1] = 1e4
    observation = policy.observation(states)
    action = policy.sample(observation)
    action[:, -1] = -1.0  # the least likely choice
    log_prob, entropy = policy.log_prob_entropy(observation, action)
    assert torch.isfinite(log_prob).all() and torch.isfinite(entropy).all()


def test_log_std_is_kept_within_its_bounds(policy: Policy, states: State) -> None:
    for value, bound in ((-9.0, policy.settings.log_std_bounds[0]), (5.0, policy.settings.log_std_bounds[1])):
        with torch.no_grad():
            policy.log_std.fill_(value)
        assert (policy.bounded_log_std == bound).all()
        assert (policy.distribution(policy.observation(states))[1] == bound).all()


def test_act_is_the_mode(policy: Policy, states: State) -> None:
    observation = policy.observation(states)
    with torch.no_grad():
        policy.net[-1].bias[-1] = 0.0  # half of the states are to release
    action = policy.act(states)
    joints, release = truth(policy, observation)
    assert action.shape == (len(states.phase), policy.world.action_dim)
    torch.testing.assert_close(action[:, :-1], joints.mean.clamp(-1, 1))
    assert (joints.mean.abs() > 1).any()  # the clip is exercised
    assert torch.equal(action[:, -1] > 0, release.probs > 0.5)
    assert 0 < (action[:, -1] > 0).float().mean() < 1
    assert torch.equal(action[:, -1].abs(), torch.ones(len(action)))


def test_an_untrained_policy_lets_go_at_the_rate_of_its_settings(world: World, states: State) -> None:
    policy = Policy(world, PolicySettings(release_rate=0.2, log_std=-0.7))
    _, log_std, logit = policy.distribution(policy.observation(states))
    torch.testing.assert_close(torch.sigmoid(logit), torch.full_like(logit, 0.2), atol=0.02, rtol=0)
    assert torch.allclose(log_std, torch.tensor(-0.7))


@pytest.mark.parametrize(
    "keys", [{"hidden": [0]}, {"release_rate": 0.0}, {"release_rate": 1.0}, {"log_std_bounds": [0.0, -1.0]}]
)
def test_impossible_settings_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(keys))):
        build(PolicySettings, keys, "policy.yaml")


# --- the bundle ---


def test_a_saved_policy_acts_as_before(policy: Policy, states: State, tmp_path: Path) -> None:
    policy.save(tmp_path)
    loaded = load_policy(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["policy.safetensors", "policy.yaml"]
    assert torch.equal(loaded.act(states), policy.act(states))
    assert loaded.sha256 == policy.sha256
    assert loaded.world.name == policy.world.name
    assert loaded.world.sha256 == policy.world.sha256
    loaded.check_robot(policy.world.robot)


def test_loading_needs_no_pickle(policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a pickle was read or written")

    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(module, name, refuse)
    monkeypatch.setattr(torch, "save", refuse)
    policy.save(tmp_path)
    load_policy(tmp_path)


def test_another_robot_is_refused_in_one_line(policy: Policy, world: World) -> None:
    with pytest.raises(InputError, match=r"robot 'panda' \(7 joints\), not on robot 'iiwa'") as caught:
        policy.check_robot(load_world({"robot": "iiwa"}).robot)
    assert "\n" not in str(caught.value)
    settings = dataclasses.replace(world.robot.settings, velocity=(1.0,) * 7)
    slower = dataclasses.replace(world.robot, settings=settings)
    with pytest.raises(InputError, match="with other limits or another URDF"):
        policy.check_robot(slower)


def test_a_robot_that_has_changed_since_is_refused(tmp_path: Path) -> None:
    robot = tmp_path / "mine.yaml"
    shutil.copy(config_file("robots", "panda"), robot)
    Policy(load_world({"robot": str(robot)})).save(tmp_path)
    load_policy(tmp_path)
    robot.write_text(robot.read_text().replace("velocity: [2.175", "velocity: [1.0"))
    with pytest.raises(InputError, match="trained on another 'mine'"):
        load_policy(tmp_path)


def test_a_missing_bundle_is_one_line(policy: Policy, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such run directory"):
        load_policy(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"holds no policy\.yaml"):
        load_policy(tmp_path)
    policy.save(tmp_path)
    (tmp_path / "policy.safetensors").unlink()
    with pytest.raises(InputError, match="no such file"):
        load_policy(tmp_path)


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 0x10
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]),
        lambda p: p.write_bytes(b""),
        lambda p: p.write_bytes(b"not tensors at all"),
        flip_a_bit,
    ],
    ids=["cut", "empty", "something else", "one bit"],
)
def test_damaged_weights_are_one_line(policy: Policy, tmp_path: Path, damage: object) -> None:
    policy.save(tmp_path)
    damage(tmp_path / "policy.safetensors")
    with pytest.raises(InputError, match=r"policy\.safetensors: is damaged") as caught:
        load_policy(tmp_path)
    assert "\n" not in str(caught.value)


def test_weights_of_another_shape_are_refused(policy: Policy, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    Policy(policy.world, PolicySettings(hidden=(8,))).save(tmp_path / "other")
    policy.save(tmp_path)
    shutil.copy(tmp_path / "other" / "policy.safetensors", tmp_path)
    with pytest.raises(InputError, match="does not fit its description") as caught:
        load_policy(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["world", "settings"])
@pytest.mark.parametrize("value", [None, "text", 3, "remove"])
def test_a_damaged_description_is_one_line(policy: Policy, tmp_path: Path, key: str, value: object) -> None:
    policy.save(tmp_path)
    path = tmp_path / "policy.yaml"
    description = yaml.safe_load(path.read_text())
    if value == "remove":
        del description[key]
    else:
        description[key] = value
    path.write_text(yaml.safe_dump(description))
    with pytest.raises(InputError) as caught:
        load_policy(tmp_path)
    assert "\n" not in str(caught.value) and "policy.yaml" in str(caught.value)
