"""The life cycle that recorder, learner, policy and sim_arm share, on a small node in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import String

from irl_ros.errors import InputError
from irl_ros.nodes.managed import ManagedNode

SUCCESS, FAILURE, ERROR = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)


def not_odd(value: int) -> None:
    if value % 2:
        raise InputError("parameter pace", f"is {value}", "give an even number")


class Probe(ManagedNode):
    """Writes down what is asked of it, and raises what it is told to raise."""

    def __init__(self) -> None:
        super().__init__("probe")
        self.raises: dict[str, Exception] = {}
        self.story: list[str] = []
        self.parameter("out", "here", "fixed while configured")
        self.parameter("gait", "walk", "one of a few", choices=("walk", "trot"))
        self.parameter("pace", 2, "even, and may change at work", 0, 10, check=not_odd, live=True)

    def _do(self, what: str) -> None:
        self.story.append(what)
        if what in self.raises:
            raise self.raises[what]

    def configure(self) -> None:
        self.out = self.value("out")
        self.create_publisher(String, "said", 1)
        self._do("configure")

    def activate(self) -> None:
        self.create_subscription(String, "heard", lambda _: None, 1)
        self.create_wall_timer(10.0, lambda: None)
        self._do("activate")

    def deactivate(self) -> None:
        self._do("deactivate")

    def cleanup(self) -> None:
        self._do("cleanup")

    def changed(self) -> None:
        self.story.append(f"pace {self.value('pace')}")

    def topics(self) -> set[str]:
        """What of its own it publishes and hears now."""
        return {e.topic_name for e in (*self.publishers, *self.subscriptions)} & {"/said", "/heard"}


@pytest.fixture
def node(ros_domain: int) -> Iterator[Probe]:
    rclpy.init()
    node = Probe()
    yield node
    node.destroy_node()
    rclpy.try_shutdown()


def test_what_a_transition_creates_lives_until_the_opposite_one(node):
    timers = len(list(node.timers))
    for _ in range(2):  # and all of it can be done again
        assert node.trigger_configure() == SUCCESS and node.topics() == {"/said"}
        assert node.trigger_activate() == SUCCESS and node.topics() == {"/said", "/heard"}
        assert node.active
        assert node.trigger_deactivate() == SUCCESS and node.topics() == {"/said"}
        assert not node.active and len(list(node.timers)) == timers
        assert node.trigger_cleanup() == SUCCESS and node.topics() == set()
        assert node.state_label == "unconfigured"


@pytest.mark.parametrize(("step", "left"), [("configure", "unconfigured"), ("activate", "inactive")])
def test_a_refusal_leaves_the_node_where_it_was_and_says_why(node, step, left):
    node.raises[step] = InputError("world", "is flat", "make it round")
    results = [node.trigger_configure()]
    if step == "activate":
        results.append(node.trigger_activate())
    assert results[-1] == FAILURE and node.state_label == left
    well, line, figures = node.condition()
    assert not well and "world: is flat; make it round" in line and figures["lifecycle"] == left
    assert node.topics() == ({"/said"} if left == "inactive" else set())
    node.raises.clear()
    assert (node.trigger_configure if left == "unconfigured" else node.trigger_activate)() == SUCCESS
    assert node.fault == ""


def test_an_exception_takes_everything_down_and_keeps_the_first_reason(node):
    node.trigger_configure()
    node.raises["activate"] = ZeroDivisionError("by nought")
    assert node.trigger_activate() == ERROR
    assert node.state_label == "unconfigured" and node.topics() == set()
    assert node.story == ["configure", "activate", "cleanup"]
    assert "ZeroDivisionError: by nought" in node.fault


def test_a_node_that_cannot_even_clean_up_is_finalized(node):
    node.trigger_configure()
    node.trigger_activate()
    node.raises["cleanup"] = OSError("disk full")
    node.raises["deactivate"] = RuntimeError("stuck")
    assert node.trigger_deactivate() == ERROR
    assert node.state_label == "finalized" and node.topics() == set()
    assert "RuntimeError: stuck" in node.fault
    node.close()  # as at the end of the process: nothing is left to do, and nothing is raised


def test_the_end_of_the_process_takes_the_way_down_in_order(node):
    node.come_up()
    node.close()
    assert node.story == ["configure", "activate", "deactivate", "cleanup"]
    assert node.state_label == "finalized"


def test_coming_up_raises_what_stopped_it(node):
    node.raises["activate"] = InputError("arm", "is not there")
    with pytest.raises(InputError, match="arm: is not there"):
        node.come_up()


def put(node: Probe, name: str, value: object) -> tuple[bool, str]:
    result = node.set_parameters([Parameter(name, value=value)])[0]
    return result.successful, result.reason


def test_parameters_are_fixed_while_in_use_but_for_live_ones(node):
    assert put(node, "out", "there")[0]
    node.trigger_configure()
    assert node.out == "there"
    done, reason = put(node, "out", "nowhere")
    assert not done and "clean up" in reason
    assert put(node, "pace", 4) == (True, "") and node.story[-1] == "pace 4"
    node.trigger_cleanup()
    assert put(node, "out", "here")[0]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [("gait", "trott", "did you mean 'trot'?"), ("pace", 3, "give an even number"), ("pace", 12, "range")],
)
def test_a_value_that_cannot_be_used_is_refused_with_the_reason(node, name, value, reason):
    done, why = put(node, name, value)
    assert not done and reason in why
    assert node.value(name) in ("walk", 2)


def test_a_lifecycle_manager_drives_it_by_services(node):
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    manager = rclpy.create_node("manager")
    executor.add_node(manager)
    change = manager.create_client(ChangeState, "probe/change_state")
    state = manager.create_client(GetState, "probe/get_state")
    assert change.wait_for_service(60.0) and state.wait_for_service(60.0)

    def call(client, request):
        answer = client.call_async(request)
        executor.spin_until_future_complete(answer, 60.0)
        return answer.result()

    for transition, label in (
        (Transition.TRANSITION_CONFIGURE, "inactive"),
        (Transition.TRANSITION_ACTIVATE, "active"),
        (Transition.TRANSITION_ACTIVE_SHUTDOWN, "finalized"),
    ):
        assert call(change, ChangeState.Request(transition=Transition(id=transition))).success
        assert call(state, GetState.Request()).current_state.label == label
    manager.destroy_node()
