"""The action recorder/record: one episode with feedback, that no cancel loses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rclpy.action import ActionServer, CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.task import Future

from irl_ros.action import Record
from irl_ros.demos.recording_session import Answer, Kept

if TYPE_CHECKING:
    from irl_ros.nodes.recorder import Recorder

_STEP = 0.1  # s between two feedbacks; no later is a cancel obeyed


class RecordAction:
    """Serves the action of a recorder.

    Services, keys and buttons go on to work beside it: whoever ends the episode ends the goal. A goal that
    comes while an episode is open is aborted, and the open one is left alone.

    Args:
        node: records, and says why it cannot.
    """

    def __init__(self, node: Recorder) -> None:
        self._node = node
        self._over: Future | None = None
        self._server = ActionServer(
            node, Record, "~/record", self._execute, cancel_callback=lambda _: CancelResponse.ACCEPT
        )

    def on_end(self, answer: Answer, kept: Kept | None, audit: Sequence[str]) -> None:
        """The open episode has been kept, discarded, or could not be saved."""
        if self._over is not None and not self._over.done():
            self._over.set_result((answer, kept, audit))

    async def _execute(self, handle: ServerGoalHandle) -> Record.Result:
        goal, node = handle.request, self._node
        for field in ("duration", "patience"):
            value = getattr(goal, field)
            if not (math.isfinite(value) and value >= 0.0):
                text = f"goal: {field} is {value:g}, not a time in s; give 0 or more"
                return _concluded(handle, Record.Result(message=text))

        def tell(state: str, missing: Sequence[str], left: float) -> bool:
            handle.publish_feedback(Record.Feedback(state=state, waiting_for=list(missing), remaining_s=left))
            return not handle.is_cancel_requested

        answer = await node.begin(goal.patience, tell)
        if not answer.done:
            return _concluded(handle, Record.Result(message=answer.text))
        answer, kept, audit = await self._end_of(handle, goal.duration)
        result = Record.Result(kept=kept is not None, message=answer.text, audit=list(audit))
        if kept is not None:
            result.episode, result.bag = kept.number, str(kept.path)
            result.outcome, result.ended_by = kept.outcome, kept.ended_by
        return _concluded(handle, result)

    async def _end_of(
        self, handle: ServerGoalHandle, duration: float
    ) -> tuple[Answer, Kept | None, Sequence[str]]:
        """The end of the episode that has just begun, by whomever."""
        node, session = self._node, self._node.session
        limit = min(duration or math.inf, session.settings.max_duration)
        over = self._over = Future()
        while not over.done():
            left = limit - session.elapsed(node.seconds())
            if handle.is_cancel_requested:
                node.end("canceled")
            elif left <= 0.0:
                node.end("timeout")
            else:
                handle.publish_feedback(
                    Record.Feedback(
                        state="recording",
                        remaining_s=left,
                        seconds=limit - left,
                        samples=session.samples,
                        released=session.released,
                    )
                )
                await node.sleep(min(_STEP, left))
        return over.result()


def _concluded(handle: ServerGoalHandle, result: Record.Result) -> Record.Result:
    """The goal's state by what came of it."""
    if handle.is_cancel_requested:
        handle.canceled()
    elif result.kept:
        handle.succeed()
    else:
        handle.abort()
    return result
