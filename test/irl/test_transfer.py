"""A frozen reward goes into other worlds and other arms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from irl_ros.errors import InputError
from irl_ros.evaluation.report import write_report
from irl_ros.irl.learn import learn
from irl_ros.irl.reoptimise import Reoptimisation, ReoptimiseSettings
from irl_ros.irl.run_directory import read_metrics
from irl_ros.irl.searches import Searches
from irl_ros.irl.transfer import transfer
from irl_ros.rewards.reward import load_reward
from irl_ros.rewards.true_reward import TrueReward
from irl_ros.rl.policy import Policy, load_policy
from irl_ros.rl.ppo import PPO, PPOSettings
from irl_ros.rl.throw_task import ThrowTask
from irl_ros.sim import State, World, load_world

SHORT = ("reoptimise.iterations=2", "reoptimise.ppo.episodes=16")


@pytest.mark.parametrize("start", ["fresh", "warm"])
def test_a_run_in_a_changed_world(uninterrupted: Path, tmp_path: Path, start: str) -> None:
    runs = {
        reward: transfer(
            uninterrupted,
            "weak_wrist",
            tmp_path / reward,
            reward=reward,
            start=start,
            device="cpu",
            overrides=SHORT,
        )
        for reward in ("learned", "true")
    }
    for reward, run in runs.items():
        description = yaml.safe_load((run / "run.yaml").read_text())
        assert description["verb"] == "transfer" and description["from"] == str(uninterrupted)
        assert (description["reward"], description["start"]) == (reward, start)
        policy = load_policy(run)
        assert policy.world.sha256 == load_world("weak_wrist").sha256
        assert policy.sha256 != load_policy(uninterrupted).sha256
        # the reward goes along, frozen
        weights = (run / "reward.safetensors").read_bytes()
        assert weights == (uninterrupted / "reward.safetensors").read_bytes()
        rounds = 4 if start == "fresh" else 2  # two searches, or one
        assert [m["state"] for m in read_metrics(run)] == ["learning"] * (rounds - 1) + ["done"]
    # one seed, hence the same first throws; each reward has its own opinion of them
    first = {reward: read_metrics(run)[0] for reward, run in runs.items()}
    assert first["learned"]["explore_hit_10cm"] == first["true"]["explore_hit_10cm"]
    assert first["learned"]["reward_mean"] > first["true"]["reward_mean"] + 0.1
    assert -1.1 <= first["true"]["reward_mean"] <= 0
    assert load_policy(runs["learned"]).sha256 != load_policy(runs["true"]).sha256


def test_warm_starts_from_the_runs_policy_and_fresh_does_not(uninterrupted: Path, tmp_path: Path) -> None:
    def start(kind: str) -> Policy:
        run = transfer(
            uninterrupted,
            None,
            tmp_path / kind,
            start=kind,
            device="cpu",
            overrides=["reoptimise.iterations=0"],
        )
        return load_policy(run)

    old, warm, fresh = load_policy(uninterrupted), start("warm"), start("fresh")
    for a, b in zip(old.net.parameters(), warm.net.parameters()):
        assert torch.equal(a, b)
    assert (warm.log_std >= old.settings.log_std).all()
    assert torch.equal(old.observation.mean, warm.observation.mean)
    assert not torch.equal(old.net[0].weight, fresh.net[0].weight)
    assert not torch.equal(old.observation.mean, fresh.observation.mean)


def test_the_true_reward_needs_no_learned_one(bags: Path, tmp_path: Path, quick: tuple[str, ...]) -> None:
    """A yardstick belongs to a seed and a world, whoever is measured with it."""
    clone = learn([bags], tmp_path / "clone", algo="bc", device="cpu", overrides=quick)
    how = {"reward": "true", "device": "cpu", "seed": 3, "overrides": SHORT}
    runs = [transfer(run, "default", tmp_path / name, **how) for run, name in ((clone, "a"), (None, "b"))]
    assert load_policy(runs[0]).sha256 == load_policy(runs[1]).sha256
    for run in runs:
        assert not (run / "reward.yaml").exists()
        write_report(run, throws=4, sim="batch")


def test_another_arm_optimises_the_same_reward(uninterrupted: Path, tmp_path: Path) -> None:
    world = tmp_path / "iiwa.yaml"
    world.write_text("robot: iiwa\n")
    run = transfer(uninterrupted, world, tmp_path / "iiwa", device="cpu", overrides=SHORT)
    assert load_policy(run).world.robot.name == "iiwa"
    assert load_reward(run).world.robot.name == "iiwa"
    assert (run / "reward.safetensors").read_bytes() == (uninterrupted / "reward.safetensors").read_bytes()
    with pytest.raises(InputError, match="trained on robot 'panda'"):
        transfer(uninterrupted, world, tmp_path / "warm", start="warm", overrides=SHORT)
    assert not (tmp_path / "warm").exists()


def test_bad_input_is_one_line_and_leaves_nothing(
    uninterrupted: Path, bags: Path, tmp_path: Path, quick: tuple[str, ...]
) -> None:
    demos = tmp_path / "demos.yaml"
    demos.write_text("start: demos\n")
    clone = learn([bags], tmp_path / "clone", algo="bc", device="cpu", overrides=quick)
    cases = [
        ({"reward": "best"}, "unknown reward 'best'"),
        ({"start": "cold"}, "unknown start 'cold'"),
        ({"sim": "gazebo"}, "unknown simulator"),
        ({"device": "tpu"}, "unknown device"),
        ({"world": "moon"}, "unknown world 'moon'"),
        ({"world": demos}, "keeps no demonstrated starts"),
        ({"run": tmp_path / "nowhere"}, "no such run directory"),
        ({"run": tmp_path / "nowhere", "reward": "true", "world": "default"}, r"holds no run\.yaml"),
        ({"run": clone}, r"holds no reward\.yaml"),
        ({"run": None, "world": "default"}, "RUN: is not given, and --reward learned needs one"),
        ({"run": None, "world": "default", "reward": "true", "start": "warm"}, "--start warm needs one"),
        ({"run": None, "world": demos, "reward": "true"}, "starts where demonstrations did"),
        ({"run": None, "reward": "true"}, "--world: is not given"),
        ({"overrides": ["reoptimise.rounds=3"]}, "unknown key 'reoptimise.rounds'"),
        ({"overrides": ["reoptimise.settle=-1"]}, "settle: must be at least 0"),
        ({"overrides": ["searches=0"]}, "searches: must be at least 1"),
        ({"out": uninterrupted}, "exists already"),
    ]
    for changes, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            transfer(**{"run": uninterrupted, "world": None, "out": tmp_path / "run", **changes})
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "run").exists(), message


def test_the_policy_is_paid_the_reward_and_release_shaping(
    world: World, task_of: Callable[[Policy], ThrowTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    paid = []
    update = PPO.update
    monkeypatch.setattr(
        PPO, "update", lambda self, r, rewards: paid.append((r, rewards)) or update(self, r, rewards)
    )
    reward = TrueReward(world)
    settings = ReoptimiseSettings(iterations=1, ppo=PPOSettings(episodes=4, gamma=0.98))
    policy = Policy(world)
    task = task_of(policy)
    figures = Reoptimisation(task, reward, policy, settings).iterate()
    ((rollout, rewards),) = paid
    plain = reward(rollout.states)[:, :-1]
    torch.testing.assert_close(rewards, plain + task.shaping(rollout, reward, 0.98))
    assert figures["reward_mean"] == pytest.approx(float(plain.mean()), abs=1e-6)


def test_policy_steps_shrink_towards_the_end(world: World, task_of: Callable[[Policy], ThrowTask]) -> None:
    torch.manual_seed(0)
    policy = Policy(world)

    def reward(state: State) -> torch.Tensor:
        return state.landed.float()

    settings = ReoptimiseSettings(iterations=8, settle=0.5, ppo=PPOSettings(episodes=4, target_kl=0.02))
    polish = Reoptimisation(task_of(policy), reward, policy, settings)
    targets = []
    while not polish.finished:
        polish.iterate()
        targets.append(polish.ppo.target_kl)
    expected = [0.02] * 5 + [0.015, 0.01, 0.005]
    assert targets == pytest.approx(expected)


def test_of_several_searches_the_best_by_their_reward_is_kept(
    world: World, task_of: Callable[[Policy], ThrowTask]
) -> None:
    torch.manual_seed(0)
    settings = ReoptimiseSettings(iterations=2, ppo=PPOSettings(episodes=4))

    def search(worth: float) -> Reoptimisation:
        policy = Policy(world)
        return Reoptimisation(task_of(policy), lambda s: s.landed.float() + worth, policy, settings)

    searches = Searches([search(worth) for worth in (0.0, 2.0, 1.0)])
    first = searches.searches[0].policy
    under_way = []
    while not searches.finished:
        searches.iterate()
        under_way.append(searches.policy)  # as the trainer asks, after a round
    assert under_way == [*[s.policy for s in searches.searches for _ in range(2)][:-1], first]
    assert searches.round == 6 and searches.policy is first
    for kept, best, other in zip(*(s.policy.parameters() for s in searches.searches), strict=True):
        assert torch.equal(kept, best) and not torch.equal(kept, other)
