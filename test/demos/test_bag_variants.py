"""Whatever `ros2 bag record` leaves, the same throws are read from it."""

from __future__ import annotations

from pathlib import Path

import bag_variants as variants
import numpy as np
import pytest

from irl_ros.demos.audit import describe
from irl_ros.demos.bag import find_bags
from irl_ros.demos.demonstrations import load_demonstrations
from irl_ros.demos.recording import read_recording


@pytest.fixture(scope="module")
def rows() -> list:
    return variants.rows_of(sorted(variants.SAMPLES.iterdir())[:2])


@pytest.fixture(scope="module")
def plain(rows, world, tmp_path_factory) -> tuple[Path, list[float]]:
    bag = variants.write(tmp_path_factory.mktemp("plain") / "bag", rows)
    return bag, load_demonstrations(bag, world).throws.outcome.error.tolist()


@pytest.mark.parametrize("name", [name for name, (_, x) in variants.VARIANTS.items() if x == variants.EXACT])
def test_nothing_is_lost(rows, plain, world, tmp_path: Path, name: str) -> None:
    bags = plain[0], variants.VARIANTS[name][0](tmp_path / "bag", rows)
    want, got = (read_recording(find_bags(bag)[0], world.robot) for bag in bags)
    for track in ("joints", "ball"):
        for field in ("times", "x", "v"):
            a, b = (getattr(getattr(recording, track), field) for recording in (want, got))
            np.testing.assert_array_equal(a, b)
    for field in ("times", "values"):
        np.testing.assert_array_equal(getattr(want.commands, field), getattr(got.commands, field))
    np.testing.assert_array_equal(want.openings, got.openings)
    assert got.events == want.events and got.remarks == ()


@pytest.mark.parametrize("name", [name for name, (_, x) in variants.VARIANTS.items() if x != variants.EXACT])
def test_the_same_throws_are_read(rows, plain, world, tmp_path: Path, name: str) -> None:
    make, remark = variants.VARIANTS[name]
    facts = describe(make(tmp_path / "bag", rows), world)
    found = facts["bags"][0]["episodes"]
    assert [e["landing_error"] for e in found] == pytest.approx(plain[1], abs=2e-3)
    assert not any(e["skipped"] for e in found)
    text = "; ".join(variants.remarks(facts))
    assert remark in text if remark else not text
