"""The learned reward: bounded, and a bundle that any robot's world can load."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from irl_ros.errors import InputError
from irl_ros.rewards.reward import Reward, RewardSettings, load_reward
from irl_ros.sim import Throws, World, load_world


@pytest.fixture(params=["distance", "offset"])
def reward(request: pytest.FixtureRequest, world: World) -> Reward:
    made = Reward(world, RewardSettings(features=request.param, hidden=(16, 8)))
    with torch.no_grad():
        for p in made.parameters():
            p.normal_()
    return made


def test_it_is_bounded_whatever_its_weights(reward: Reward, thrown: Throws) -> None:
    with torch.no_grad():
        for p in reward.parameters():
            p.mul_(100.0)
        values = reward(thrown.states)
    assert values.shape == thrown.states.phase.shape
    assert (values.abs() <= 1).all()
    assert values.abs().max() > 0.9


@pytest.mark.parametrize("structure", ["separate", "joint"])
def test_a_place_is_worth_the_same_in_every_phase_and_lying_a_little_more(
    world: World, structure: str
) -> None:
    """g = tanh(u(place) + w landed), w > 0: between phases, atanh g moves by the same for every place."""
    torch.manual_seed(0)
    reward = Reward(world, RewardSettings(structure=structure))
    with torch.no_grad():
        for p in reward.parameters():
            p.normal_(0.0, 0.3)
        places = torch.rand(50, 1, 2).expand(50, 3, 2)
        held, flying, landed = [1.0, 0.0], [0.0, 0.0], [0.0, 1.0]
        phases = torch.tensor([held, flying, landed]).expand(50, 3, 2)
        g = torch.atanh(reward.of_features(torch.cat((places, phases), -1)))
    more = g - g[:, :1]
    assert float(g[:, 0].std()) > 0.01, "the place counts"
    assert bool((more.std(0) < 1e-5).all()) == (structure == "separate")
    if structure == "separate":
        assert torch.allclose(more[:, 1], torch.zeros(50), atol=1e-5) and (more[:, 2] > 0.01).all()


def test_of_features_is_the_same_reward(reward: Reward, thrown: Throws) -> None:
    features = reward.features(thrown.states)
    assert torch.equal(reward.of_features(features), reward(thrown.states))
    torch.testing.assert_close(reward(thrown.states[3, 7]), reward(thrown.states)[3, 7])


def test_a_loaded_reward_is_the_saved_one(reward: Reward, thrown: Throws, tmp_path: Path) -> None:
    reward.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["reward.safetensors", "reward.yaml"]
    loaded = load_reward(tmp_path)
    assert torch.equal(loaded(thrown.states), reward(thrown.states))
    assert loaded.world.sha256 == reward.world.sha256
    assert not any(p.requires_grad for p in loaded.parameters())


def test_it_goes_with_the_task_to_another_robot(reward: Reward, thrown: Throws, tmp_path: Path) -> None:
    reward.save(tmp_path)
    iiwa = load_world({"robot": "iiwa"})
    loaded = load_reward(tmp_path, iiwa)
    assert loaded.world is iiwa
    # the same ball and target are worth the same in the hand of any arm
    other = dataclasses.replace(thrown.states, q=thrown.states.q[..., :4], qd=thrown.states.qd[..., :4])
    assert torch.equal(loaded(other), reward(thrown.states))


def test_missing_and_damaged_bundles_are_one_line(reward: Reward, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such run directory"):
        load_reward(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"holds no reward\.yaml"):
        load_reward(tmp_path)
    weights, text = tmp_path / "reward.safetensors", tmp_path / "reward.yaml"
    flipped = bytearray()
    damages = {
        "no such file": lambda: weights.unlink(),
        "is damaged": lambda: weights.write_bytes(weights.read_bytes()[:-20]),
        "those whose hash": lambda: weights.write_bytes(flipped),
        "does not fit": lambda: text.write_text(text.read_text().replace("- 16", "- 9")),
        "lacks the key 'settings'": lambda: text.write_text(
            text.read_text().replace("settings:", "sittings:")
        ),
        r"reward\.yaml: is damaged": lambda: text.write_text("settings: 5\nlearned_in: 7\n"),
        "not valid YAML": lambda: text.write_text("settings: ["),
    }
    for message, damage in damages.items():
        reward.save(tmp_path)
        flipped = bytearray(weights.read_bytes())
        flipped[-2] ^= 0x40
        damage()
        with pytest.raises(InputError, match=message) as caught:
            load_reward(tmp_path)
        assert "\n" not in str(caught.value)
