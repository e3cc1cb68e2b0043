"""Demonstrations: recorded throws on the control grid of a world, ready to learn from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from irl_ros.demos.bag import Bag, find_bags
from irl_ros.demos.episode_audit import EpisodeAudit
from irl_ros.demos.recording import read_recording
from irl_ros.demos.throw_reader import ThrowReader
from irl_ros.errors import InputError
from irl_ros.sim.state import Throws
from irl_ros.sim.world import World

_EPISODE = re.compile(r"(.+) # (\d+)")


@dataclass(frozen=True, eq=False)
class Demonstrations:
    """M recorded throws.

    Attributes:
        world: the robot and the control grid they were put on.
        throws: states [M, T + 1], actions [M, T, n + 1] in [-1, 1] (release −1 before, +1 from the release
            step on), outcome [M] as measured from the ball; float32 on the CPU.
        labels: "success", "failure" or "" (not judged), [M].
        sources: bag path # episode, [M].
        actions_inferred: at least one throw came without commands; its actions are what the motion shows.
        audits: what was done to each, [M].
    """

    world: World
    throws: Throws
    labels: tuple[str, ...]
    sources: tuple[str, ...]
    actions_inferred: bool
    audits: tuple[EpisodeAudit, ...]

    def __len__(self) -> int:
        return len(self.throws)

    def select(self, indices: Sequence[int] | torch.Tensor) -> Demonstrations:
        """The throws at `indices`, in that order."""
        chosen = [int(i) for i in indices]
        audits = tuple(self.audits[i] for i in chosen)
        return Demonstrations(
            self.world,
            self.throws[torch.tensor(chosen, dtype=torch.long)],
            tuple(self.labels[i] for i in chosen),
            tuple(self.sources[i] for i in chosen),
            any(a.actions_inferred for a in audits),
            audits,
        )

    @staticmethod
    def cat(items: Sequence[Demonstrations]) -> Demonstrations:
        """Demonstrations of one world joined.

        Raises:
            InputError: they are of different worlds.
        """
        first = items[0]
        for item in items[1:]:
            if item.world.sha256 != first.world.sha256:
                raise InputError(
                    item.sources[0], f"is of world '{item.world.name}', not '{first.world.name}'"
                )
        return Demonstrations(
            first.world,
            Throws.cat([i.throws for i in items]),
            sum((i.labels for i in items), ()),
            sum((i.sources for i in items), ()),
            any(i.actions_inferred for i in items),
            sum((i.audits for i in items), ()),
        )

    @property
    def sha256(self) -> str:
        """Hash of states, actions and labels: the same data has the same hash wherever it lies."""
        digest = hashlib.sha256()
        states = self.throws.states
        for tensor in (*(getattr(states, f.name) for f in fields(states)), self.throws.actions):
            digest.update(repr(tuple(tensor.shape)).encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        digest.update("\n".join(self.labels).encode())
        return digest.hexdigest()

    @property
    def hit_10cm(self) -> float:
        """Share of the throws that landed within 0.10 m of the target."""
        return self._hit_rate(0.10)

    @property
    def hit_5cm(self) -> float:
        """Share of the throws that landed within 0.05 m of the target."""
        return self._hit_rate(0.05)

    def _hit_rate(self, radius: float) -> float:
        return float(self.throws.outcome.hits(radius).float().mean())


def load_demonstrations(paths: str | Path | Sequence[str | Path], world: World) -> Demonstrations:
    """The throws recorded in rosbag2 folders, put on the control grid of `world`.

    Args:
        paths: bag folders, folders of them, or single .mcap or .db3 files; "BAG # n", as `sources` and
            `irl-ros demos` call it, is one episode of a bag.
        world: its robot must be the recorded one; its horizon and control rate give the grid.

    Raises:
        InputError: something is missing, damaged, of another robot, or holds no episode; the text says what.
    """
    bags, single = _bags_and_episodes(paths)
    reader = ThrowReader(world)
    throws: list[Throws] = []
    audits: list[EpisodeAudit] = []
    skipped: list[EpisodeAudit] = []
    discarded = 0
    for bag in bags:
        content = reader.read(read_recording(bag, world.robot))
        discarded += content.discarded
        wanted = single.get(bag.parts[0].resolve())
        for throw, audit in zip(content.throws, (a for a in content.audits if not a.skipped)):
            if wanted is None or audit.source in wanted:
                throws.append(throw)
                audits.append(audit)
        skipped += [a for a in content.audits if a.skipped]
    if missing := set().union(*single.values()) - {a.source for a in audits}:
        cure = "`irl-ros demos` lists what a bag holds"
        raise InputError(min(missing), "is no usable episode of that bag", cure)
    if not throws:
        where = ", ".join(str(b.path) for b in bags[:3]) + (" …" if len(bags) > 3 else "")
        raise InputError(where, *nothing_usable(skipped, discarded))
    return Demonstrations(
        world,
        Throws.cat(throws),
        tuple(a.label for a in audits),
        tuple(a.source for a in audits),
        any(a.actions_inferred for a in audits),
        tuple(audits),
    )


def _bags_and_episodes(
    paths: str | Path | Sequence[str | Path],
) -> tuple[list[Bag], dict[Path, set[str]]]:
    """The bags, and of those that are not wanted whole (by their first part) the wanted episodes' sources."""
    whole: list[str | Path] = []
    bags: list[Bag] = []
    single: dict[Path, set[str]] = {}
    for path in [paths] if isinstance(paths, (str, Path)) else paths:
        named = None if Path(path).exists() else _EPISODE.fullmatch(str(path))
        if named is None:
            whole.append(path)
            bags += find_bags(path)
            continue
        for bag in find_bags(named[1]):
            bags.append(bag)
            single.setdefault(bag.parts[0].resolve(), set()).add(f"{bag.path} # {named[2]}")
    for bag in find_bags(whole):
        single.pop(bag.parts[0].resolve(), None)
    return list({bag.parts[0].resolve(): bag for bag in bags}.values()), single


def nothing_usable(skipped: Sequence[EpisodeAudit], discarded: int) -> tuple[str, str]:
    """Problem and cure of recordings that give no demonstration."""
    if skipped:
        return f"has no usable episode: {skipped[0].source} {skipped[0].skipped}", "record again"
    if discarded:
        return f"has no episodes left: {discarded} were discarded by the operator", "record again"
    cure = "record irl/episode, or gripper_controller/commands or ball/odometry of a throw"
    return "has no episodes: neither irl/episode events nor a release", cure
