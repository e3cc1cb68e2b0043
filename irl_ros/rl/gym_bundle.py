"""Files of a policy for a Gymnasium environment: its weights, what it is for, how it scales what it sees."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from irl_ros.errors import InputError, unknown_name
from irl_ros.networks import load_weights
from irl_ros.rl.gym_task import GymTask, Scaling
from irl_ros.rl.gym_world import GymWorld
from irl_ros.rl.mlp_agent import AgentSettings, MlpAgent
from irl_ros.settings import build, load_yaml, save_yaml


def save_gym_policy(task: GymTask, policy: MlpAgent, folder: Path) -> None:
    """Write task.yaml, scaling.safetensors, policy.safetensors and policy.yaml; makes `folder` if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    save_yaml(folder / "task.yaml", {"env": task.world.name, "horizon": task.horizon})
    (folder / "scaling.safetensors").write_bytes(save(vars(task.scaling)))
    policy.save(folder)  # last: where policy.yaml is, the bundle is whole


def load_gym_policy(folder: Path, world: GymWorld) -> tuple[GymTask, MlpAgent]:
    """A saved policy, in the task it sees.

    Raises:
        InputError: there is none, it is of another environment or horizon, or its files are damaged.
    """
    if not (folder / "policy.yaml").is_file():
        raise InputError(folder, "holds no policy of a bench", "give a folder `expert-…` of an earlier one")
    made, policy = load_yaml(folder / "task.yaml"), load_yaml(folder / "policy.yaml")
    for key, value in (("env", world.name), ("horizon", world.horizon)):
        if made.get(key) != value:
            raise InputError(folder, f"is for {key} {made.get(key)}, not {value}", "make another")
    try:
        task = GymTask(world, Scaling(**load_file(folder / "scaling.safetensors")))
    except (OSError, SafetensorError, TypeError) as error:
        raise InputError(folder / "scaling.safetensors", f"is damaged ({error})", "make another") from None
    agent = task.agent(build(AgentSettings, policy.get("settings", {}), folder / "policy.yaml", "settings."))
    if policy.get("kind") != agent.kind:
        problem, cure = unknown_name("kind of policy", policy.get("kind"), (agent.kind,))
        raise InputError(folder / "policy.yaml", problem, cure)
    load_weights(agent, folder / "policy.safetensors", policy.get("sha256"))
    return task, agent
