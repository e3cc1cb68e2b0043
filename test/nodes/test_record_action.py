"""The action recorder/record: what it tells meanwhile, how each ending comes out, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from action_msgs.msg import GoalStatus
from geometry_msgs.msg import PointStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool

from irl_ros.action import Record
from irl_ros.demos.bag import find_bags, read_bag, roles_of
from irl_ros.demos.recording import START, STOP
from irl_ros.nodes import interface as names
from irl_ros.nodes.session import LIMIT, Session
from irl_ros.sim import load_world

THROW = [([0.3] * 7, 1.0 if step == 12 else None) for step in range(40)]
"""Not a good one, but the ball leaves the hand."""


class Client:
    """A program that records: goals, and the services beside them."""

    def __init__(self, session: Session, goals, demos: Path) -> None:
        self.session, self.goals, self.demos = session, goals, demos

    def call(self, kind: type, service: str, request):
        client = self.session.node.create_client(kind, f"recorder/{service}")
        self.session.until(client.service_is_ready, LIMIT, f"no service {service}")
        answer = client.call_async(request)
        self.session.until(answer.done, LIMIT, f"{service} did not answer")
        return answer.result()

    def set(self, name: str, value: float | str) -> None:
        parameter = Parameter(name, value=value).to_parameter_msg()
        answer = self.call(SetParameters, "set_parameters", SetParameters.Request(parameters=[parameter]))
        assert answer.results[0].successful, answer.results[0].reason

    def change(self, *transitions: int) -> None:
        for transition in transitions:
            request = ChangeState.Request(transition=Transition(id=transition))
            assert self.call(ChangeState, "change_state", request).success

    def begin(self, **goal: float):
        """The goal of an episode that is open."""
        self.session.demand(
            "sim_arm/reset"
        )  # in lock-step its states are otherwise as old as the last command
        handle = self.goals.send(patience=LIMIT, **goal)
        self.told_of("recording")
        return handle

    def told_of(self, state: str) -> Record.Feedback:
        return self.goals.wait_for(lambda f: f.state == state, f"no state {state}")

    @property
    def kept(self) -> int:
        return len(find_bags(self.demos))


@pytest.fixture(scope="module")
def client(
    session: Session, puppeteer, goals_of: Callable, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """A recorder beside an arm in lock-step, with all topics but the target."""
    demos = tmp_path_factory.mktemp("demos")
    recorder = session.start(
        "recorder", simulated_time=False, out=str(demos), max_age=60.0, max_duration=3600.0, countdown=0.1
    )
    session.ask("recorder/stop_episode")  # it is up
    session.demand("sim_arm/reset")  # and hears the arm
    yield Client(session, goals_of(Record, "recorder/record"), demos)
    session.stop(recorder)


def test_it_waits_for_topics_counts_down_records_and_ends_with_the_service(session, client, puppeteer):
    goals = client.goals
    status, result = goals.outcome(goals.send())
    assert status == GoalStatus.STATUS_ABORTED and not result.kept
    assert "/target (nothing heard)" in result.message, "without patience it is refused, and says what lacks"
    handle = goals.send(patience=LIMIT)
    waiting = client.told_of("waiting")
    assert "/target (nothing heard)" in waiting.waiting_for and 0 < waiting.remaining_s <= LIMIT
    target = session.node.create_publisher(PointStamped, names.TARGET, names.LATCHED)
    aimed = PointStamped()
    aimed.point.x = 0.9
    target.publish(aimed)
    client.told_of("recording")
    assert any(f.state == "countdown" and 0 < f.remaining_s <= 0.11 for f in goals.feedback)
    puppeteer.play(THROW)
    goals.wait_for(lambda f: f.released and f.samples > len(THROW) and f.seconds > 0, "no throw")
    session.demand("recorder/stop_episode")
    status, result = goals.outcome(handle)
    assert status == GoalStatus.STATUS_SUCCEEDED and result.kept and result.episode == 0
    assert result.bag == str(client.demos / "episode_0000") and Path(result.bag).is_dir()
    assert (result.outcome, result.ended_by) == ("failure", "service")
    assert result.message.startswith(f"{result.bag}: failure")
    # a busy machine leaves gaps, and a line with one begins with a mark
    assert "/joint_states" in result.audit[0] and "7 joints of panda" in result.audit[0], result.audit


def test_duration_ends_it_and_a_word_about_it_does(client):
    status, result = client.goals.outcome(client.begin(duration=0.3))
    assert status == GoalStatus.STATUS_SUCCEEDED and (result.kept, result.ended_by) == (True, "timeout")
    handle = client.begin()
    client.call(SetBool, "judge_episode", SetBool.Request(data=True))
    status, result = client.goals.outcome(handle)
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert (result.outcome, result.ended_by) == ("success", "operator")


def test_cancel_loses_no_demonstration(client):
    handle, before = client.begin(), client.kept
    status, result = client.goals.cancel(handle)
    assert status == GoalStatus.STATUS_CANCELED and result.kept and result.ended_by == "canceled"
    assert client.kept == before + 1
    roles = {"episodes": roles_of(load_world().robot)["episodes"]}
    events = [m for _, m in read_bag(find_bags(client.demos)[-1], roles).messages["episodes"]]
    assert [(m.event, m.ended_by) for m in events] == [(START, ""), (STOP, "canceled")]


def test_before_it_has_begun_there_is_nothing_to_keep(session, client):
    before = client.kept
    client.set("countdown", 60.0)
    session.demand("sim_arm/reset")
    handle = client.goals.send(patience=LIMIT)
    client.told_of("countdown")
    status, result = client.goals.cancel(handle)
    assert status == GoalStatus.STATUS_CANCELED and not result.kept
    assert result.message == "broken off before it began"
    handle = client.goals.send(patience=LIMIT)
    client.told_of("countdown")
    assert client.goals.outcome(client.goals.send())[1].message == "an episode is about to begin already"
    session.demand("recorder/discard_episode")
    assert client.goals.outcome(handle)[0] == GoalStatus.STATUS_ABORTED
    client.set("countdown", 0.0)
    assert client.kept == before


def test_the_open_episode_is_nobody_elses_and_discarded_is_discarded(session, client):
    handle, before = client.begin(), client.kept
    told = client.goals.feedback
    status, result = client.goals.outcome(client.goals.send())
    assert status == GoalStatus.STATUS_ABORTED and "is open: stop or discard it first" in result.message
    seen = len(told)
    session.until(lambda: len(told) > seen, LIMIT, "the first goal does not go on")
    session.demand("recorder/discard_episode")
    status, result = client.goals.outcome(handle)
    assert status == GoalStatus.STATUS_ABORTED and not result.kept and not result.bag
    assert result.message.endswith("discarded") and client.kept == before


@pytest.mark.parametrize("goal", [{"duration": -1.0}, {"patience": float("nan")}])
def test_a_goal_that_is_no_time_is_told_so(client, goal):
    status, result = client.goals.outcome(client.goals.send(**goal))
    (field,) = goal
    assert status == GoalStatus.STATUS_ABORTED and f"goal: {field} is" in result.message


def test_a_recorder_that_is_deactivated_ends_the_goal(client):
    handle = client.begin()
    client.change(Transition.TRANSITION_DEACTIVATE)
    status, result = client.goals.outcome(handle)
    assert status == GoalStatus.STATUS_ABORTED and not result.kept
    assert result.message.endswith("was still open and is not kept")
    assert client.goals.outcome(client.goals.send())[1].message == "the recorder is inactive"
    client.change(Transition.TRANSITION_ACTIVATE)


def test_what_cannot_be_saved_stays_in_memory_also_when_canceled(session, client, tmp_path):
    client.begin()
    client.change(
        Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP
    )  # while a goal is under way
    blocked = tmp_path / "blocked"
    client.set("out", str(blocked / "demos"))
    client.change(Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE)
    handle = client.begin()
    blocked.write_text("a file, where a folder should be")
    status, result = client.goals.cancel(handle)
    assert status == GoalStatus.STATUS_CANCELED and not result.kept
    assert "is kept in memory" in result.message
    blocked.unlink()
    session.demand("recorder/stop_episode")
    assert len(find_bags(blocked / "demos")) == 1
