"""benchmarks/learning.py: what it prints of results, and that it does not mix settings in one folder."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "learning.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("learning_benchmark", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def figures(ten: float, five: float, median: float | None = 0.02) -> dict:
    return {
        "throws": 1000,
        "hit_10cm": ten,
        "hit_5cm": five,
        "hit_10cm_ci95": [ten - 0.01, ten],
        "median_error_m": median,
        "p95_error_m": None,
        "limit_violations": 0,
        "torque_saturation": 0.0012,
    }


def cells(benchmark: ModuleType, ten: float, five: float, reached: float | None) -> dict:
    names = ["operator", "clone", "policy", "weak_zero_shot", *benchmark.TRANSFERS]
    speed = {"rounds": 200, "throws": 57600, "throws_per_s": 360.0, "wall_s": 160.0, "wall_to_95_s": reached}
    return {**{n: figures(ten, five) for n in names}, "speed": speed}


def test_worst_seed_is_named_for_every_part(benchmark: ModuleType) -> None:
    results = {
        3: cells(benchmark, 0.98, 0.80, 61.0),
        5: cells(benchmark, 0.98, 0.75, None),
        8: cells(benchmark, 0.99, 0.70, 45.0),
    }
    results[8]["weak_fresh_learned"] = figures(0.91, 0.5)
    text = benchmark.tables(results)
    learning, speed, transfer = (part for part in text.split("## ")[1:])
    assert "Worst seed: 5, 98.0 % within 10 cm and 75.0 % within 5 cm." in learning
    assert "not landed" in learning and "0.12%" in learning
    assert "never" in speed and "Worst seed: 5." in speed
    worst = next(line for line in transfer.splitlines() if line.startswith("| worst"))
    assert worst.count("seed 5") == 7 and "91.0 %, seed 8" in worst
    lines = [line for line in text.splitlines() if line.startswith("|")]
    for part in (learning, speed, transfer):
        widths = {line.count("|") for line in part.splitlines() if line.startswith("|")}
        assert len(widths) == 1  # every row has every column
    assert len(lines) == 5 + 5 + 6


def test_one_folder_holds_one_setting(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"episodes": 20}')
    command = [sys.executable, str(SCRIPT), "--out", str(tmp_path), "--episodes", "10"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1 and "begun with episodes = 20, not 10" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["settings.json"]
