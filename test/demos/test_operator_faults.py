"""A person's faults: each does what it says, and none is white noise."""

import dataclasses
import math

import pytest
import torch

from irl_ros.demos.faults import TREMOR_BAND, Drift, OperatorSettings, Person, load_operator, waves_at
from irl_ros.demos.operator import Plan, SyntheticOperator, demonstrate
from irl_ros.errors import InputError
from irl_ros.settings import build
from irl_ros.sim import BatchWorld, load_world

QUIET = OperatorSettings(
    tremor=0.0,
    wander=0.0,
    aim_bias=0.0,
    strength_error=0.0,
    synergy_error=0.0,
    release_error=0.0,
    tempo_error=0.0,
    reaction_spread=0.0,
    fatigue=0.0,
    miss_probability=0.0,
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small tensors: beside other processes, threads that wait for each other make them many times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def world():
    return load_world("default")


def with_faults(**keys) -> OperatorSettings:
    return dataclasses.replace(QUIET, **keys)


def land(world, plan: Plan) -> torch.Tensor:
    simulator = BatchWorld(world)
    state = simulator.reset(plan.target[None])
    for k in range(round(float(plan.duration) / world.dt) + 20):
        state = simulator.step(plan.command(k * world.dt, state))
    return state.ball_position[0]


@pytest.mark.parametrize("key", ["reaction", "command_delay", "rest_before"])
def test_latency_shifts_the_whole_throw(world, key):
    slower = with_faults(correction=0.0, **{key: getattr(QUIET, key) + 0.1})
    plans = [
        SyntheticOperator(world, s, 0).plan([0.9, 0.1, 0.0]) for s in (with_faults(correction=0.0), slower)
    ]
    state = BatchWorld(world).reset(plans[0].target[None])
    early = torch.cat([plans[0].command(k * world.dt, state) for k in range(100)])
    late = torch.cat([plans[1].command(k * world.dt, state) for k in range(105)])
    assert float(early[:, :-1].abs().max()) > 0.5
    assert torch.allclose(late[5:, :-1], early[:, :-1], atol=1e-4)
    assert float(late[:5, :-1].abs().max()) == 0.0
    assert int((late[:, -1] > 0).float().argmax()) == int((early[:, -1] > 0).float().argmax()) + 5


def test_a_seen_error_is_corrected_one_reaction_late(world):
    """The arm is found 0.1 rad off from some moment on; the stick answers after reaction and delay."""
    plans = [SyntheticOperator(world, QUIET, 0).plan([0.9, 0.0, 0.0]) for _ in range(2)]
    state = BatchWorld(world).reset(plans[0].target[None])
    pushed = dataclasses.replace(state, q=state.q + 0.1)
    start, period = float(plans[0].onset) + 0.2, 0.01
    differs = []
    for k in range(200):
        t = k * period
        actions = [plans[0].command(t, state), plans[1].command(t, pushed if t >= start else state)]
        if not torch.equal(*actions):
            differs.append((t, (actions[1] - actions[0])[0, :-1]))
    first, change = differs[0]
    delay = QUIET.reaction + QUIET.command_delay
    assert delay - 1e-6 <= first - start <= delay + 2 * period
    assert bool((change <= 0).all()) and bool((change < 0).any())  # pulled back towards where it should be


@pytest.mark.parametrize("late", [-0.15, 0.15])
def test_release_error_moves_the_landing(world, late):
    plan = SyntheticOperator(world, QUIET, 0).plan([0.85, 0.0, 0.0])
    wrong = dataclasses.replace(plan.faults, release=plan.faults.release + late)
    other = Plan(world, plan.settings, plan.target, plan.swing, wrong)
    assert abs(float(other.release_time - plan.release_time) - late) < 1e-6
    assert float((land(world, plan) - plan.target).norm()) < 0.03
    assert float((land(world, other) - plan.target).norm()) > 0.05


def test_quick_swings_are_released_less_precisely(world):
    errors = []
    for radius in (0.72, 1.05):
        operator = SyntheticOperator(world, with_faults(release_error=0.03), 0)
        errors.append(operator.plan([radius, 0.0, 0.0]).faults.release)
    assert abs(float(errors[1])) > 1.2 * abs(float(errors[0])) > 0


def test_aim_bias_is_where_the_ball_goes(world):
    settings = with_faults(aim_bias=0.05)
    throws = demonstrate(world, settings, 20, 0)
    person = Person(settings, world.robot.n, 0)
    aim = torch.stack([person.next_throw().aim for _ in range(20)])
    along = throws.states.target[:, 0, :2] / throws.states.target[:, 0, :2].norm(dim=-1, keepdim=True)
    across = torch.stack((-along[:, 1], along[:, 0]), -1)
    missed = (throws.outcome.landing - throws.states.target[:, 0])[:, :2]
    seen = torch.stack(((missed * along).sum(-1), (missed * across).sum(-1)), -1)
    inside = (
        throws.states.target[:, 0].norm(dim=-1) - 0.9
    ).abs() < 0.12  # the grid ends a little past the ring
    assert int(inside.sum()) >= 8
    assert float((seen - aim)[inside].norm(dim=-1).max()) < 0.03


def test_strength_and_tiredness_shorten_throws(world):
    throws = demonstrate(world, with_faults(fatigue=0.05), 60, 0)
    short = (
        (throws.states.target[:, 0] - throws.outcome.landing)[:, :2] * throws.states.target[:, 0, :2]
    ).sum(-1)
    assert float(short[-20:].mean()) > float(short[:5].mean()) + 0.03


def test_fatigue_lowers_hits(world):
    settings = load_operator("default")
    fresh, tired = (
        demonstrate(world, dataclasses.replace(settings, fatigue=f), 120, 0).outcome.error[60:] < 0.1
        for f in (0.0, 0.05)
    )
    assert float(tired.float().mean()) < float(fresh.float().mean()) - 0.15


def test_skill_narrows_the_scatter(world):
    settings = load_operator("default")
    novice, expert = (
        demonstrate(
            world, dataclasses.replace(settings, skill=s, miss_probability=0.0), 60, 0
        ).outcome.error.median()
        for s in (0.2, 0.8)
    )
    assert float(expert) < 0.5 * float(novice)


def test_tremor_lies_in_its_band():
    person = Person(OperatorSettings(tremor=0.01, fatigue=0.0), 7, 0)
    t = torch.arange(4000) / 200.0
    tremor = torch.stack([waves_at(person.next_throw().tremor[None], t[:, None])[:, 0] for _ in range(20)])
    power = torch.fft.rfft(tremor * torch.hann_window(4000)[:, None], dim=1).abs().square().sum((0, 2))
    frequency = torch.fft.rfftfreq(4000, 1 / 200.0)
    inside = (frequency >= TREMOR_BAND[0] - 0.2) & (frequency <= TREMOR_BAND[1] + 0.2)
    assert float(power[inside].sum() / power.sum()) > 0.99
    # amplitude A of a sine has the root mean square A / √2
    assert float(tremor.square().mean().sqrt()) == pytest.approx(0.01 * math.sqrt(2) / math.sqrt(2), rel=0.2)


def test_errors_follow_the_throw_before():
    drift = Drift((), torch.Generator().manual_seed(0))
    values = torch.stack([drift.next() for _ in range(20000)])
    assert float(values.std()) == pytest.approx(1.0, abs=0.03)
    after_one = float(torch.corrcoef(torch.stack((values[:-1], values[1:])))[0, 1])
    assert after_one == pytest.approx(1.6 * math.cos(math.pi / 4) / 1.64, abs=0.03)  # closed form of AR(2)


def test_gross_misses_come_as_often_as_said():
    person = Person(with_faults(miss_probability=0.1), 7, 3)
    throws = [person.next_throw() for _ in range(500)]
    gross = torch.tensor([bool(f.strength < 0.8) or bool(f.release.abs() > 0.04) for f in throws])
    assert gross.reshape(50, 10).sum(1).tolist() == [1] * 50
    assert any(f.strength < 0.8 for f in throws)
    assert any(f.release < -0.1 for f in throws) and any(f.release > 0.04 for f in throws)


def test_what_a_user_may_get_wrong(tmp_path):
    with pytest.raises(InputError, match="did you mean 'tired'"):
        load_operator("tierd")
    with pytest.raises(InputError, match="did you mean 'underhand'"):
        OperatorSettings(style="underarm-hand")
    with pytest.raises(InputError, match="skill: must be between 0 and 1"):
        OperatorSettings(skill=1.2)
    with pytest.raises(InputError, match="release_error: must not be negative"):
        OperatorSettings(release_error=-0.1)
    with pytest.raises(InputError, match="did you mean 'tremor'"):
        build(OperatorSettings, {"tremmor": 0.1}, "operators.yaml")
    (path := tmp_path / "me.yaml").write_text("skill: 0.7\n")
    assert load_operator(path).skill == 0.7
