"""Every kind of bag that `ros2 bag record` (Humble to Lyrical) and real life leave, written and read again.

    python benchmarks/bag_variants.py [BAG …]

Takes the throws of a recording (default: the samples of the tests), writes them as real files of each kind
into a temporary folder, and prints what is read from each.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bag_files import humble, humble_sqlite, killed_sqlite, raw_mcap, split, without_metadata, write
from bag_rows import (
    Row,
    among_others,
    dropped,
    interleaved,
    joint_states,
    later_half,
    namespaced,
    no_velocity,
    rows_of,
    skewed,
    unstamped,
    wall_clock_beside,
)
from rosbags.rosbag2 import CompressionMode

from irl_ros.demos.audit import describe
from irl_ros.resources import SOURCE_ROOT
from irl_ros.sim import World, load_world

SAMPLES = SOURCE_ROOT / "test" / "data" / "sample_throws"

EXACT = "exact"
"""Nothing is lost: the demonstrations are those of the plain bag to the last bit."""

VARIANTS: dict[str, tuple[Callable[[Path, list[Row]], Path], str]] = {
    "MCAP, Jazzy to Lyrical (metadata 9)": (lambda p, r: write(p, r), EXACT),
    "MCAP, Iron (metadata 8)": (lambda p, r: write(p, r, version=8), EXACT),
    "MCAP, Humble (metadata 5)": (lambda p, r: humble(write(p, r)), EXACT),
    "sqlite3, Jazzy to Lyrical": (lambda p, r: write(p, r, "sqlite3"), EXACT),
    "sqlite3, Humble: no definitions": (lambda p, r: humble_sqlite(write(p, r, "sqlite3")), EXACT),
    "MCAP split in 3": (lambda p, r: split(p, r, "mcap"), EXACT),
    "sqlite3 split in 3": (lambda p, r: split(p, r, "sqlite3"), EXACT),
    "MCAP, zstd by file": (lambda p, r: write(p, r, mode=CompressionMode.FILE), EXACT),
    "MCAP, zstd by message": (lambda p, r: write(p, r, mode=CompressionMode.MESSAGE), EXACT),
    "MCAP, zstd by chunk": (lambda p, r: write(p, r, mode=CompressionMode.STORAGE), EXACT),
    "sqlite3, zstd by file": (lambda p, r: write(p, r, "sqlite3", mode=CompressionMode.FILE), EXACT),
    "sqlite3, zstd by message": (lambda p, r: write(p, r, "sqlite3", mode=CompressionMode.MESSAGE), EXACT),
    "no metadata.yaml, MCAP": (lambda p, r: without_metadata(write(p, r)), EXACT),
    "no metadata.yaml, zstd by file": (
        lambda p, r: without_metadata(write(p, r, mode=CompressionMode.FILE)),
        EXACT,
    ),
    "no metadata.yaml, zstd by message": (
        lambda p, r: without_metadata(write(p, r, "sqlite3", mode=CompressionMode.MESSAGE)),
        EXACT,
    ),
    "MCAP without index, in chunks": (lambda p, r: raw_mcap(p, r, 100), EXACT),
    "MCAP without chunks (fastwrite)": (lambda p, r: raw_mcap(p, r, 0), EXACT),
    "MCAP of a killed recorder": (lambda p, r: raw_mcap(p, r, 100, broken_off=40), "breaks off"),
    "sqlite3 of a killed recorder": (lambda p, r: killed_sqlite(write(p, r, "sqlite3"), r), "breaks off"),
    "other joints in the messages": (lambda p, r: write(p, joint_states(r, among_others)), EXACT),
    "another robot on the topic": (lambda p, r: write(p, interleaved(r)), EXACT),
    "in a namespace": (lambda p, r: write(p, namespaced(r)), EXACT),
    "no joint velocities": (lambda p, r: write(p, joint_states(r, no_velocity)), "differentiated"),
    "10 % of the measurements lost": (lambda p, r: write(p, dropped(r, 0.1)), ""),
    "joint_states never stamped": (lambda p, r: write(p, unstamped(r)), ""),
    "simulation at half speed, wall clock": (lambda p, r: write(p, wall_clock_beside(r, 0.5)), ""),
    "simulation at 20 x, wall clock": (lambda p, r: write(p, wall_clock_beside(r, 20.0)), ""),
    "the arm's computer 0.6 s ahead": (lambda p, r: write(p, skewed(r, "states", 0.6)), "0.60 s behind"),
    "the arm's computer 0.6 s behind": (lambda p, r: write(p, skewed(r, "states", -0.6)), "0.60 s ahead"),
    "the ball's tracker 0.6 s ahead": (lambda p, r: write(p, skewed(r, "odometry", 0.6)), "0.60 s ahead"),
    "all clocks set back 100 s": (lambda p, r: write(p, later_half(r, -100, -100)), "set back"),
    "all clocks set back, sqlite3": (lambda p, r: write(p, later_half(r, -100, -100), "sqlite3"), "set back"),
    "all clocks leap 1 h": (lambda p, r: write(p, later_half(r, 3600, 3600)), ""),
    "stamps set back 100 s": (lambda p, r: write(p, later_half(r, 0, -100)), "clock of joint_states"),
    "stamps leap 1 h": (lambda p, r: write(p, later_half(r, 0, 3600)), "clock of joint_states"),
}
"""Name → how it is written, and what reading it remarks ("": nothing in particular)."""


def remarks(facts: dict) -> list[str]:
    """What the audit of a bag says about it."""
    (bag,) = facts["bags"]
    found = list(bag["remarks"])
    if any(not e["velocities_recorded"] for e in bag["episodes"]):
        found.append("joint velocities differentiated")
    return found


def main(arguments: list[str]) -> int:
    bags = [Path(a) for a in arguments] or sorted(SAMPLES.iterdir())
    world, rows = load_world(), rows_of(bags)
    print(f"{'variant':<38} {'episodes':>8}  {'cm from the target':<20} {'ms':>5}  remarks")
    with tempfile.TemporaryDirectory() as folder:
        for i, (name, (make, _)) in enumerate(VARIANTS.items()):
            path = make(Path(folder) / f"bag{i}", rows)
            begun = time.perf_counter()
            print(f"{name:<38} {_read(path, world, begun)}", flush=True)
    return 0


def _read(path: Path, world: World, begun: float) -> str:
    facts = describe(path, world)
    errors = [e["landing_error"] for e in facts["bags"][0]["episodes"]]
    shown = ", ".join("-" if e is None else f"{100 * e:.1f}" for e in errors)
    took = 1000 * (time.perf_counter() - begun)
    return f"{facts['episodes']:>8}  {shown:<20} {took:>5.0f}  {'; '.join(remarks(facts))}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
