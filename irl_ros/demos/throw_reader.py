"""One recording → its throws on the control grid."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from irl_ros.demos.actions import ActionReader, JointActions
from irl_ros.demos.ball_flight import Landing, landed_inside, trace_release
from irl_ros.demos.episode_audit import EpisodeAudit, audit_topic
from irl_ros.demos.episodes import Episode, distance_to_tool, find_episodes, target_at
from irl_ros.demos.interpolation import Track
from irl_ros.demos.recording import Recording
from irl_ros.demos.resampler import Motion, Resampler
from irl_ros.demos.window import REST_SPEED, Window, choose_window
from irl_ros.errors import InputError
from irl_ros.sim.state import Outcome, Throws
from irl_ros.sim.world import World

_LARGEST_GAP = 0.25  # s without a joint state that interpolation may bridge
_STAYED = 0.1  # m from the tool; a ball that never gets farther stayed in the hand
_WATCH = 2.0  # s after an episode's end in which its ball may still come down


@dataclass(frozen=True)
class Content:
    """A recording's throws (leading shape [1] each), audits of all episodes, and how many were discarded."""

    throws: list[Throws]
    audits: list[EpisodeAudit]
    discarded: int


@dataclass(frozen=True)
class _Release:
    """When the ball left the hand, s, how long after the command, s, and where it came down."""

    time: float
    delay: float
    landing: Landing


class _Unusable(Exception):
    """This episode is no demonstration; the text says why."""


class ThrowReader:
    """Puts recorded episodes on a world's control grid.

    Args:
        world: robot, control period, horizon.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._resampler = Resampler(world)
        self._actions = ActionReader(world)

    def read(self, recording: Recording) -> Content:
        """All throws of a recording.

        Raises:
            InputError: it has no target.
        """
        episodes, discarded = find_episodes(recording, self._resampler)
        if episodes and not len(recording.targets.times):
            cure = "record the topic `target` with transient-local durability: it may be published only once"
            raise InputError(recording.bag.path, "has no target message", cure)
        throws, audits = [], []
        for episode in episodes:
            try:
                throw, audit = self._throw(recording, episode)
                throws.append(throw)
            except _Unusable as reason:
                audit = self._audit(recording, episode, skipped=str(reason))
            audits.append(audit)
        return Content(throws, audits, discarded)

    def _throw(self, recording: Recording, episode: Episode) -> tuple[Throws, EpisodeAudit]:
        dt, horizon = self.world.dt, self.world.horizon
        joints = recording.joints.within(episode.start - dt, episode.stop + dt)
        if len(joints) < 3:
            raise _Unusable("has hardly any joint states")
        target = target_at(recording, episode.stop if episode.told is None else episode.told)
        release = self._release(recording, episode, target)
        anchor = self._anchor(joints, episode.start if release is None else release.time)
        first = int(np.ceil((max(episode.start, joints.times[0]) - anchor) / dt - 1e-3))
        last = int(np.floor((min(episode.stop, joints.times[-1]) - anchor) / dt + 1e-3))
        if release is not None:  # the ball's path has to begin at the same instant as its freedom
            height = float(target[2])
            landing = self._resampler.landing(
                recording.joints, self._watched(recording, episode), anchor, height
            )
            release = replace(release, landing=landing or release.landing)
        landing_step = None if release is None else int(np.ceil((release.landing.time - anchor) / dt - 1e-3))
        window = self._window(joints, anchor, first, last, landing_step)
        times = anchor + dt * np.arange(window.start, window.start + horizon + 1)
        recorded = np.arange(window.start, window.start + horizon + 1) <= last
        self._refuse_gaps(joints, times[recorded])
        motion = Motion(
            joints=joints,
            ball=self._watched(recording, episode),
            target=target,
            released=np.inf if release is None else anchor,
            landing=None if release is None else release.landing,
        )
        values = self._padded(self._resampler.sample(motion, times), recorded)
        actions = self._joint_actions(recording, times, values, recorded)
        throw = self._assemble(values, actions, window, release, target)
        audit = self._audit(recording, episode, window, release, actions, throw.outcome, float(times[0]))
        return throw, audit

    def _release(self, recording: Recording, episode: Episode, target: np.ndarray) -> _Release | None:
        """The release of an episode. A tracked ball's flight tells it; the command alone would be early."""
        if episode.told is None:
            return None
        joints, ball = recording.joints, self._watched(recording, episode)
        landing = self._resampler.landing(joints, ball, episode.told, target[2])
        assert landing is not None
        left = None
        if ball is not None and len(ball):
            if not landing.observed:
                after = ball.within(episode.told, ball.times[-1])
                if len(after) > 2 and distance_to_tool(joints, after, self._resampler).max() < _STAYED:
                    raise _Unusable("opens the gripper, but the ball stays in the hand")
            candidates = np.arange(
                episode.told - 0.1, min(landing.time, episode.told + 0.4), self.world.dt / 20
            )
            candidates = candidates[candidates > episode.start]
            if len(candidates):
                tool_velocity = self._resampler.tool(joints, candidates)[1]
                left = trace_release(self.world, ball, landing, episode.told, candidates, tool_velocity)
        if left is None:
            return _Release(episode.told, float("nan"), landing)
        landing = self._resampler.landing(joints, ball, left, target[2])
        assert landing is not None
        return _Release(left, left - episode.told, landing)

    def _watched(self, recording: Recording, episode: Episode) -> Track | None:
        """The ball during an episode and while it comes down after its end."""
        if recording.ball is None:
            return None
        until = min(episode.limit, episode.stop + _WATCH)
        return recording.ball.within(episode.start - self.world.dt, until)

    def _anchor(self, joints: Track, time: float) -> float:
        """`time` moved to the nearest joint state: then joints recorded at the control rate stay exact."""
        nearest = joints.times[np.abs(joints.times - time).argmin()]
        return float(nearest if abs(nearest - time) <= 0.5 * self.world.dt + 1e-6 else time)

    def _window(self, joints: Track, anchor: float, first: int, last: int, landing: int | None) -> Window:
        steps = np.arange(first, last + 1)
        if len(steps) < 2:
            raise _Unusable("is shorter than two control steps")
        resting = self._resting(joints, anchor + self.world.dt * steps)
        if landing is None and resting.all():
            raise _Unusable("shows neither motion nor a release")
        return choose_window(resting, first, None if landing is None else 0, landing, self.world.horizon)

    def _resting(self, joints: Track, times: np.ndarray) -> np.ndarray:
        speed = np.stack([np.interp(times, joints.times, v) for v in joints.v.T], -1)
        return (np.abs(speed) <= REST_SPEED * self.world.robot.velocity).all(-1)

    @staticmethod
    def _refuse_gaps(joints: Track, times: np.ndarray) -> None:
        inside = joints.within(times[0], times[-1]).times
        gaps = np.diff(np.concatenate(([times[0]], inside, [times[-1]])))
        if gaps.max() > _LARGEST_GAP:
            raise _Unusable(f"has {gaps.max():.2f} s without joint states")

    @staticmethod
    def _padded(values: dict[str, np.ndarray], recorded: np.ndarray) -> dict[str, np.ndarray]:
        """After its end an episode is continued with the arm at rest; a ball in the air flies on."""
        if recorded.all():
            return values
        end = int(recorded.sum()) - 1
        values["q"][end + 1 :] = values["q"][end]
        values["qd"][end + 1 :] = 0.0
        held = values["held"] & ~recorded
        values["ball_position"][held] = values["ball_position"][end]
        values["ball_velocity"][held] = 0.0
        return values

    def _joint_actions(
        self, recording: Recording, times: np.ndarray, values: dict[str, np.ndarray], recorded: np.ndarray
    ) -> JointActions:
        count = int(recorded.sum())
        actions = self._actions.read(
            recording.commands, times[:count], values["q"][:count], values["qd"][:count]
        )
        padded = np.zeros((len(times) - 1, self.world.robot.n))
        padded[: count - 1] = actions.values
        return JointActions(padded, actions.inferred, actions.delay, actions.residual, actions.clipped)

    def _assemble(
        self,
        values: dict[str, np.ndarray],
        actions: JointActions,
        window: Window,
        release: _Release | None,
        target: np.ndarray,
    ) -> Throws:
        horizon = self.world.horizon
        steps = window.start + np.arange(horizon)
        opens = np.where((steps >= 0) & (release is not None), 1.0, -1.0)
        whole = np.concatenate((actions.values, opens[:, None]), -1)
        phase = np.arange(horizon + 1) / horizon
        states = self._resampler.as_state(values, target, phase, torch.float32)
        landing = np.full(3, np.nan) if release is None else release.landing.position
        error = np.inf if release is None else float(np.linalg.norm((landing - target)[:2]))
        outcome = Outcome(
            landing=torch.as_tensor(landing, dtype=torch.float32)[None],
            error=torch.tensor([error]),
            released=torch.tensor([release is not None]),
            limit_violations=torch.tensor([float(self._violations(values, horizon - window.padded))]),
            torque_saturation=torch.tensor([float("nan")]),
            inside=torch.tensor([landed_inside(self.world, landing, target)]),
        )
        return Throws(states[None], torch.as_tensor(whole, dtype=torch.float32)[None], outcome)

    def _violations(self, values: dict[str, np.ndarray], steps: int) -> int:
        """Recorded control steps outside this world's limits; 2 % (and 0.02 rad/s) are measurement."""
        world, q, qd = self.world, values["q"][1 : steps + 1], values["qd"][: steps + 1]
        outside = (q < world.robot.lower - 1e-3) | (q > world.robot.upper + 1e-3)
        fast = np.abs(qd[1:]) > 1.02 * world.velocity + 0.02
        hard = np.abs(np.diff(qd, axis=0)) > 1.02 * world.acceleration * world.dt + 0.02
        return int((outside | fast | hard).any(-1).sum())

    def _audit(
        self,
        recording: Recording,
        episode: Episode,
        window: Window | None = None,
        release: _Release | None = None,
        actions: JointActions | None = None,
        outcome: Outcome | None = None,
        start: float = float("nan"),
        skipped: str = "",
    ) -> EpisodeAudit:
        dt = self.world.dt
        facts: dict = {}
        if window is not None and actions is not None and outcome is not None:
            facts = {
                "released": release is not None,
                "release_delay": float("nan") if release is None else release.delay,
                "landing_error": float(outcome.error) if bool(outcome.inside) else float("inf"),
                "landing_observed": release is not None and release.landing.observed,
                "actions_inferred": actions.inferred,
                "command_delay": actions.delay,
                "action_residual": actions.residual,
                "actions_clipped": actions.clipped,
                "start": start,
                "cut_front": window.cut_front * dt,
                "cut_motion": window.cut_motion * dt,
                "cut_back": window.cut_back * dt,
                "padded": window.padded * dt,
            }
        return EpisodeAudit(
            source=f"{recording.bag.path} # {episode.number}",
            duration=episode.stop - episode.start,
            label=episode.label,
            skipped=skipped,
            velocities_recorded=recording.velocities_recorded,
            topics={
                r: audit_topic(t, episode.start, episode.stop)
                for r, t in recording.arrivals.items()
                if len(t)
            },
            other_joints=recording.other_joints,
            **facts,
        )
