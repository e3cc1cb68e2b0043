"""What there is to tell of a run: collected once, before any of it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irl_ros.errors import InputError
from irl_ros.evaluation.landings import Thrower, demonstrated, deployed, thrown
from irl_ros.irl.run_directory import RunDirectory, read_metrics, restore_world
from irl_ros.rl.policy import load_policy
from irl_ros.sim import World


@dataclass(frozen=True)
class Story:
    """All a report is made of.

    Attributes:
        run: the RUN directory.
        description: its run.yaml.
        world: where it was learned.
        throwers: who threw, from the first to the best.
        on_the_arm: the deployed policy's throws; None where it was not deployed.
        metrics: lines of metrics.jsonl.
        summary: of `irl-ros demo`, or empty.
    """

    run: Path
    description: dict[str, Any]
    world: World
    throwers: list[Thrower]
    on_the_arm: Thrower | None
    metrics: list[dict[str, Any]]
    summary: Mapping[str, Any]

    @property
    def result(self) -> Thrower | None:
        """The policy the run is about; None while it is being learned."""
        return next((t for t in self.throwers if t.colour == "policy"), None)

    @property
    def is_transfer(self) -> bool:
        return self.description["verb"] == "transfer"

    def title(self) -> str:
        d = self.description
        if self.is_transfer:
            whose = "the task's own reward" if d["reward"] == "true" else "a learned reward"
            return f"A new policy from {whose}"
        verb = "cloned" if d.get("algo") == "bc" else "learned"
        return f"A throw {verb} from {d['demos']['episodes']} demonstrations"

    def sentence(self) -> str:
        """What came of it, in words."""
        rates = {t.colour: f"{t.figures['hit_10cm']:.1%}" for t in self.throwers}
        text = self._transferred(rates) if self.is_transfer else self._learned(rates)
        if not (self.run / "policy.yaml").is_file():
            text += " Learning has not finished yet."
        return text

    def _learned(self, rates: dict[str, str]) -> str:
        text = ""
        if "operator" in rates:
            landed = f"landed {rates['operator']} of the demonstrated throws within 10 cm of the target"
            text = f"The operator {landed}."
        if "clone" in rates:
            text += f" Imitating them lands {rates['clone']}"
            text += (
                f"; the policy found for the learned reward {rates['policy']}." if "policy" in rates else "."
            )
        return text

    def _transferred(self, rates: dict[str, str]) -> str:
        d = self.description
        learned = f"The frozen reward of the run “{Path(d['from'] or '').name}”"
        reward = "The task's own reward" if d["reward"] == "true" else learned
        start = "an untrained network" if d["start"] == "fresh" else "that run's policy"
        text = f"{reward} was optimised in world “{self.world.name}”, beginning with {start}"
        text += " and without a new demonstration." if d["start"] == "fresh" else "."
        if "clone" in rates:
            text += f" The old policy, unchanged, lands {rates['clone']} of its throws within 10 cm there"
            text += f"; the new one {rates['policy']}." if "policy" in rates else "."
        return text

    def command(self) -> str:
        """How the run was begun; settings apart from the defaults are in run.yaml."""
        d = self.description
        place = f"--world {d['world']['name']} --seed {d['seed']} --out {self.run}"
        if self.is_transfer:
            return (
                f"irl-ros transfer {d['from'] or 'RUN'} --reward {d['reward']} --start {d['start']} {place}"
            )
        return f"irl-ros learn {' '.join(d['demos']['paths'])} --algo {d['algo']} {place}"


def tell(
    run: str | Path, throws: int, sim: str, summary: Mapping[str, Any], bags: str | Path | None
) -> Story:
    """Read a run and let its policies throw. Arguments as of `write_report`.

    Raises:
        InputError: there is no run, or a file of it is damaged.
    """
    directory = RunDirectory(run)
    path, description = directory.path, directory.description()
    try:
        world = restore_world(description["world"])
        throwers = _throwers(path, description, world, throws, sim, summary)
        on_the_arm = deployed(Path(bags), world) if bags else None
        story = Story(path, description, world, throwers, on_the_arm, read_metrics(path), summary)
        story.title(), story.command()  # if a key is not there, it is better said now
    except KeyError as error:
        raise InputError(path / "run.yaml", f"lacks the key {error}") from None
    return story


def _throwers(
    run: Path, description: dict[str, Any], world: World, count: int, sim: str, known: Mapping[str, Any]
) -> list[Thrower]:
    found = [demonstrated(description, run, world)]
    where = (world, count, sim)
    if description["verb"] == "transfer":
        old = Path(description["from"] or "nowhere")
        if (old / "policy.yaml").is_file() and load_policy(old).robot_sha256 == world.robot.sha256:
            found.append(thrown(old, "Old policy", "clone", "unchanged", *where))
    elif (run / "bc" / "policy.yaml").is_file():
        found.append(thrown(run / "bc", "Clone", "clone", "imitation alone", *where, known.get("bc")))
    if (run / "policy.yaml").is_file() and description.get("algo") != "bc":
        name = "New policy" if description["verb"] == "transfer" else "Policy"
        found.append(thrown(run, name, "policy", "from the reward", *where, known.get("policy")))
    return [t for t in found if t is not None]
