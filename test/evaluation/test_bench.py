"""Bench: an expert, its demonstrations, cells that are made once and can be stopped, and the table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from irl_ros.errors import InputError
from irl_ros.evaluation.bench import bench
from irl_ros.evaluation.bench_cell import BenchCell, mean_return
from irl_ros.evaluation.bench_expert import read_demonstrations, stated_return
from irl_ros.evaluation.bench_settings import bench_settings
from irl_ros.evaluation.bench_table import bench_rows, bench_table
from irl_ros.irl.run_directory import RunDirectory
from irl_ros.rl.gym_bundle import load_gym_policy
from irl_ros.rl.gym_world import GymWorld

QUICK = [
    "agent.hidden=[8]",
    "bc.steps=200",
    "warm_start=true",
    "expert.iterations=20",
    "expert.ppo.episodes=8",
    "fresh.iterations=2",
    "fresh.ppo.episodes=4",
    "airl.iterations=3",
    "airl.head_start=1",
    "airl.discriminator_steps=2",
    "airl.sampler_episodes=4",
    "airl.ppo.episodes=4",
    "trainer.checkpoint_every=1",
]
"""Everything runs; nothing but the clone, and what starts from it, gets good."""
BACKGROUND = 3 * 4 * 30
"""Steps of the background policies, before the first round."""


def run(out: Path, **how: object) -> dict:
    """A bench of one seed on a short cart-pole."""
    how = {"algos": ["bc", "airl"], "seeds": 1, "demos": 4, "horizon": 30, "overrides": QUICK} | how
    return bench("CartPole-v1", out, **how)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A bench that nothing disturbed, and its figures. Nobody may change it."""
    out = tmp_path_factory.mktemp("bench")
    return out, run(out, expert_return=25.0)


def expert_of(out: Path) -> Path:
    return next((out / "CartPole-v1-30").glob("expert-*"))


def cell_of(out: Path, algo: str) -> Path:
    (file,) = (out / "CartPole-v1-30").glob(f"{algo}-seed0-*.json")
    return file.with_suffix("")


def one_cell(out: Path, made: Path) -> BenchCell:
    """The cell of AIRL of `made`, to be made here, in `out`."""
    world = GymWorld("CartPole-v1", 30)
    (shown,) = (made / "CartPole-v1-30").glob("demonstrations-*.safetensors")
    demonstrations = read_demonstrations(shown, world)
    return BenchCell.of("airl", 0, world, demonstrations, bench_settings(overrides=QUICK), out)


def test_the_expert_earns_what_was_stated_and_stops_there(made):
    out, figures = made
    lines = [json.loads(x) for x in (expert_of(out) / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["true_return"] >= 25 and len(lines) < 20
    assert figures["expert"] > 22, "on other episodes than those it was practised on"
    assert 0 < figures["random"] <= 30 and 0 < figures["demonstrations"] <= 30


def test_a_bench_leaves_figures_policies_and_rewards(made):
    out, figures = made
    clone, learned = figures["cells"]
    assert clone["algo"] == "bc" and clone["env_steps"] == 0 and clone["fresh_return"] is None
    assert learned["algo"] == "airl" and learned["env_steps"] == BACKGROUND + 3 * 4 * 30
    assert 0 < learned["return"] <= 30 and 0 < learned["fresh_return"] <= 30
    folder = cell_of(out, "airl")
    names = {p.name for p in folder.iterdir()}
    assert {"reward.safetensors", "run.yaml", "metrics.jsonl"} <= names
    world = GymWorld("CartPole-v1", 30)
    for saved, key in ((folder, "return"), (folder / "fresh", "fresh_return")):
        assert mean_return(*load_gym_policy(saved, world)) == learned[key]
    assert learned["return"] > learned["fresh_return"], "one was warm-started, the other began anew"
    assert json.loads((folder.parent / "bench.json").read_text()) == json.loads(json.dumps(figures))


def test_what_is_there_is_not_made_again_and_other_settings_make_more(made, capsys):
    out, figures = made
    assert run(out, expert_return=25.0) == figures
    assert "2 of 2 cells are there already" in capsys.readouterr().out
    before = set((out / "CartPole-v1-30").iterdir())
    run(out, expert_return=25.0, algos=["bc"], overrides=[*QUICK, "bc.steps=201"])
    new = set((out / "CartPole-v1-30").iterdir()) - before
    assert len({p.stem for p in new}) == 1 and all(p.name.startswith("bc-seed0-") for p in new)


@pytest.mark.parametrize("rounds", [2, 4], ids=["in the game", "in the re-optimisation"])
def test_a_stopped_cell_goes_on_to_the_same_result(made, tmp_path, monkeypatch, rounds):
    out, figures = made
    write = RunDirectory.append_metrics

    def stop(self: RunDirectory, line: dict) -> None:
        write(self, line)
        if line["iteration"] == rounds:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunDirectory, "append_metrics", stop)
    with pytest.raises(KeyboardInterrupt):
        one_cell(tmp_path, out).make()
    played: list[int] = []

    def count(self: RunDirectory, line: dict) -> None:
        write(self, line)
        played.append(line["iteration"])

    monkeypatch.setattr(RunDirectory, "append_metrics", count)
    cell = one_cell(tmp_path, out)
    again = cell.make()
    assert played == list(range(rounds, 6)), "what a checkpoint holds is not played again"
    whole = figures["cells"][1]
    assert {k: again[k] for k in ("return", "fresh_return")} == {
        k: whole[k] for k in ("return", "fresh_return")
    }
    assert cell.run.name == cell_of(out, "airl").name
    for name in ("policy.safetensors", "reward.safetensors"):
        assert (cell.run / name).read_bytes() == (cell_of(out, "airl") / name).read_bytes()


def test_jobs_make_the_same_as_one_after_another(made, tmp_path):
    """Together, in processes of their own: no cell's chance or threads depend on its neighbours."""
    out, figures = made
    together = run(tmp_path, expert=expert_of(out), jobs=2)
    for mine, theirs in zip(together["cells"], figures["cells"], strict=True):
        assert (mine["algo"], mine["return"]) == (theirs["algo"], theirs["return"])


def test_an_expert_that_does_not_get_there_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match=r"of the 30\.0 stated after 1 rounds"):
        run(tmp_path, expert_return=30.0, overrides=[*QUICK, "expert.iterations=1"])


def test_an_expert_of_something_else_is_refused(made, tmp_path):
    expert = expert_of(made[0])
    with pytest.raises(InputError, match="horizon 30, not 40"):
        load_gym_policy(expert, GymWorld("CartPole-v1", 40))
    with pytest.raises(InputError, match="env CartPole-v1, not Pendulum-v1"):
        load_gym_policy(expert, GymWorld("Pendulum-v1", 30))
    with pytest.raises(InputError, match="holds no policy"):
        load_gym_policy(tmp_path, GymWorld("CartPole-v1", 30))


def test_what_an_expert_should_earn_is_known_at_the_environments_own_horizon_only():
    assert stated_return(GymWorld("Acrobot-v1"), None) == -100.0, "the environment's own threshold"
    assert stated_return(GymWorld("Pendulum-v1"), None) == -160.0
    assert stated_return(GymWorld("Pendulum-v1", 100), None) is None
    assert stated_return(GymWorld("Pendulum-v1", 100), -170.0) == -170.0


def test_mistakes_are_refused_before_anything_is_written(tmp_path):
    for how in ({"algos": ["airk"]}, {"overrides": ["airl.bath=3"]}, {"horizon": 501}):
        with pytest.raises(InputError):
            run(tmp_path / "new", **how)
    assert not (tmp_path / "new").exists()


def test_settings_are_those_of_the_shipped_file_where_nothing_else_is_said():
    shipped, changed = bench_settings(), bench_settings(overrides=["airl.ppo.episodes=5"])
    assert not shipped.airl.stop_at_match, "the class's own default is for throws"
    assert changed.airl.ppo.episodes == 5
    assert changed.airl.ppo.gamma == shipped.airl.ppo.gamma and changed.fresh == shipped.fresh


def test_rows_are_means_errors_and_worst_seeds():
    cells = [
        {"algo": "bc", "seed": 0, "return": -300.0, "fresh_return": None, "env_steps": 0},
        {"algo": "airl", "seed": 0, "return": -210.0, "fresh_return": -200.0, "env_steps": 900},
        {"algo": "airl", "seed": 1, "return": -190.0, "fresh_return": -260.0, "env_steps": 1000},
        {"algo": "airl", "seed": 2, "return": -200.0, "fresh_return": -230.0, "env_steps": 1000},
    ]
    figures = {"env": "Pendulum-v1", "horizon": 200, "demos": 50, "seeds": 3, "episodes": 100, "cells": cells}
    figures |= {"settings": {}, "expert": -150.0, "demonstrations": -160.0, "random": -1150.0}
    rows = {r["name"]: r for r in bench_rows(figures)}
    airl = rows["airl"]
    assert (airl["mean"], airl["worst"], airl["env_steps"]) == (-200.0, -210.0, 1000)
    assert airl["error"] == pytest.approx(torch.tensor([210.0, 190, 200]).std() / 3**0.5)
    assert airl["share"] == pytest.approx(0.95) and rows["random"]["share"] == 0
    assert (airl["fresh_mean"], airl["fresh_worst"]) == (-230.0, -260.0)
    assert airl["published"] == -221.5, "g(s) unless something else is said"
    figures["settings"] = {"reward": {"inputs": "state-action"}}
    assert {r["name"]: r["published"] for r in bench_rows(figures)}["airl"] == -204.7
    assert rows["bc"]["published"] is None
    assert rows["bc"]["error"] is None and rows["bc"]["fresh_mean"] is None
    text = bench_table(figures)
    assert "-200.0 ± 5.8" in text and "-204.7" in text and "--horizon 100" in text
    cells.append({"algo": "bc", "seed": 1, "return": None, "fresh_return": None, "env_steps": None})
    assert "-300.0" in bench_table(figures) and "1 failed" in bench_table(figures)


def test_a_cell_that_fails_is_told_and_the_others_go_on(made, tmp_path):
    """A learning rate beyond all measure: Adam cannot take a step."""
    wild = [*QUICK, "airl.learning_rate=1.0e+38"]
    how = {"algos": ["airl", "bc"], "expert": expert_of(made[0])}
    figures = run(tmp_path, overrides=wild, **how)
    failed, clone = figures["cells"]
    assert failed["failed"] and failed["return"] is None
    assert clone["failed"] is None and clone["return"] > 0
    assert "1 failed" in bench_table(figures)
