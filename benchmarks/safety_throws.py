"""What the safety filter does to legal throws: the same throws with and without it.

    python benchmarks/safety_throws.py [RUN …] [--throws 300] [--rates 50,250,1000] [--seed 0]

Learned policies (RUN folders, `runs/benchmark/seed_*/learned` where there are any) and, for each
shipped robot, a synthetic person throw at unseen targets in BatchWorld, 50 decisions a second as
always. The filter works at each of the rates; above 50 Hz it gets the same action several times, and
the arm its commands at that rate. Printed are hits with and without, and how far apart the landings
are. `jerk` is the filter's limit; "none" takes it away.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from irl_ros.demos.faults import load_operator
from irl_ros.demos.operator import Plan, SyntheticOperator
from irl_ros.evaluation.evaluate import unseen
from irl_ros.rl.policy import load_policy
from irl_ros.safety import JointReading, SafetyFilter, SafetySettings
from irl_ros.sim import BatchWorld, Outcome, State, World, load_world

HZ = 50.0  # decisions a second
NO_JERK_LIMIT = 1e9  # rad/s³


def thrown(
    world: World,
    decide: Callable[[float, State], torch.Tensor],
    targets: torch.Tensor,
    seconds: float,
    settings: SafetySettings | None,
) -> tuple[Outcome, int]:
    """N throws at a world's rate with decisions at HZ, through N filters unless settings are None.

    Returns:
        What came of them, and how many throws a filter stopped.
    """
    simulator = BatchWorld(world, dtype=torch.float64)
    state, filters = simulator.reset(targets), []
    if settings is not None:
        filters = [SafetyFilter(world, settings) for _ in targets]
        for limited in filters:
            limited.enable()
    every = round(1 / (world.dt * HZ))
    for k in range(round(seconds / world.dt)):
        if k % every == 0:
            wanted = decide(k * world.dt, state).double()
        command = wanted
        if filters:
            command = _passed(filters, wanted, state, k * world.dt)
        state = simulator.step(command)
    return simulator.outcome(), sum(f.reason is not None for f in filters)


def _passed(filters: list[SafetyFilter], wanted: torch.Tensor, state: State, now: float) -> torch.Tensor:
    joints = filters[0].world.robot.joints
    rows = zip(filters, wanted.numpy(), state.q.numpy(), state.qd.numpy(), strict=True)
    decisions = [f(a, JointReading(joints, q, qd, now), now) for f, a, q, qd in rows]
    return torch.stack([torch.from_numpy(d.action) for d in decisions])


def at_rate(world: World, rate: float) -> World:
    """The same world with commands at another rate, in physics steps no longer than before."""
    keys = {
        "robot": str(world.robot.name),
        "control_hz": rate,
        "horizon": round(world.horizon * rate * world.dt),
    }
    return load_world({**keys, "physics_steps": max(1, round(250 / rate))})


def line(name: str, world: World, jerk: str, plain: Outcome, safe: Outcome, stopped: int) -> str:
    apart = (plain.landing - safe.landing).norm(dim=-1)
    apart = apart[~apart.isnan()] * 1000

    def share(outcome: Outcome, radius: float) -> float:
        return 100 * float(outcome.hits(radius).double().mean())

    hits = "".join(f"{share(o, r):9.1f}" for r in (0.10, 0.05) for o in (plain, safe))
    figures = f"{apart.median():10.3f}{apart.quantile(0.99):10.3f}{apart.max():10.3f}" if len(apart) else ""
    return f"{name:28}{1 / world.dt:6.0f}{jerk:>7}{len(plain.error):7}{hits}{figures}{stopped:9}"


def policies(runs: list[str], options: argparse.Namespace) -> None:
    for run in runs:
        policy = load_policy(run)
        targets = policy.world.sample_targets(options.throws, unseen(options.seed))

        def decide(_: float, state: State, act: Callable = policy.act) -> torch.Tensor:
            return act(state.to(dtype=torch.float32))

        compare("/".join(Path(run).parts[-2:]), policy.world, lambda: decide, targets, options)


def people(options: argparse.Namespace) -> None:
    for robot in ("panda", "iiwa"):
        world = load_world({"robot": robot})
        targets = world.sample_targets(min(options.throws, 100), unseen(options.seed))

        def anew(world: World = world, targets: torch.Tensor = targets) -> Callable:
            person = SyntheticOperator(world, load_operator("clean"), options.seed)
            plan = Plan.together([person.plan(target) for target in targets])
            return lambda t, state: plan.command(t, state)

        compare(f"{robot}, a person", world, anew, targets, options, seconds=4.0)


def compare(
    name: str,
    world: World,
    anew: Callable[[], Callable[[float, State], torch.Tensor]],
    targets: torch.Tensor,
    options: argparse.Namespace,
    seconds: float | None = None,
) -> None:
    for rate in options.rates:
        place = at_rate(world, rate)
        seconds = seconds or place.horizon * place.dt
        plain, _ = thrown(place, anew(), targets, seconds, None)
        for jerk, settings in (("robot", SafetySettings()), ("none", SafetySettings(jerk=NO_JERK_LIMIT))):
            safe, stopped = thrown(place, anew(), targets, seconds, settings)
            print(line(name, place, jerk, plain, safe, stopped), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", help="RUN folders of learned policies")
    parser.add_argument("--throws", type=int, default=300, help="throws of each policy (default 300)")
    parser.add_argument("--rates", default="50,250,1000", help="of the filter, Hz; multiples of 50")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.rates = [float(rate) for rate in options.rates.split(",")]
    torch.set_num_threads(1)
    found = sorted(str(path) for path in Path("runs/benchmark").glob("seed_*/learned"))
    print(f"{'':48}{'% in 10 cm':>18}{'% in 5 cm':>18}{'landings apart, mm':>30}")
    both = f"{'without':>9}{'with':>9}" * 2
    print(
        f"{'':28}{'Hz':>6}{'jerk':>7}{'throws':>7}{both}{'median':>10}{'99 %':>10}{'max':>10}{'stopped':>9}"
    )
    policies(options.runs or found, options)
    people(options)


if __name__ == "__main__":
    main()
