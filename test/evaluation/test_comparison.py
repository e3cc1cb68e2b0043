"""What a comparison says about results that are known: figures, the worst seed, gaps and failures by name."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from irl_ros.evaluation.cells import BLOCKED, DONE, FAILED, NO_REWARD, Cell, Place, Result, finite
from irl_ros.evaluation.comparison import REWARD_FIGURES, TRUE_REWARD, Comparison
from irl_ros.evaluation.comparison_page import comparison_page, html_of
from irl_ros.evaluation.comparison_text import markdown

SEEDS = range(5)
TITLE = {"irl_ros": "0", "command": "irl-ros compare", "date": "today", "machine": "a machine"}
TITLE |= {"throws": 1000, "sim": "pybullet", "world": "default", "variants": []}


class Story:
    """Cells and results, put together by hand."""

    def __init__(self) -> None:
        self.results: dict[Cell, Result] = {}
        self.open: list[Cell] = []

    def add(self, stage: str, result: Result | None, algo: str, seed: int, *place: object) -> None:
        operator, demos, world, start = (*place, *("default", 20, "default", "")[len(place) :])
        cell = Cell(stage, Place(algo, operator, demos, seed, world, start), {}, Path("cells"), {})
        if result is None:
            self.open.append(cell)
        else:
            self.results[cell] = result

    def hits(self, ten: float, five: float, *where: object) -> None:
        self.add("evaluate", Result(DONE, "", {"hit_10cm": ten, "hit_5cm": five}), *where)

    def told(self) -> Comparison:
        people = [{"operator": "default", "seed": s, "hit_10cm": 0.7, "hit_5cm": 0.3} for s in SEEDS]
        comparison = Comparison([*self.results, *self.open], people, TITLE)
        comparison.results = self.results
        return comparison


@pytest.fixture
def story() -> Story:
    """airl learns on every seed, bc has no reward, gcl fails on seed 3 and has not been made for seed 4."""
    story = Story()
    for s in SEEDS:
        for demos in (20, 3):
            pace = {"rounds": 100, "env_steps_to_95": 60_000 * (s + 1), "wall_to_95_s": None, "reward": True}
            if demos == 20:
                pace["wall_to_95_s"] = [10.0, 20.0, 30.0, 40.0, None][s]
            story.add("learn", Result(DONE, "", pace), "airl", s, "default", demos)
            story.hits(0.99 - 0.01 * s, 0.9 - 0.02 * s - 0.01 * (20 - demos), "airl", s, "default", demos)
            story.add("learn", Result(DONE, "", {"rounds": 0, "reward": False}), "bc", s, "default", demos)
            story.hits(0.6, 0.3 + 0.01 * s, "bc", s, "default", demos)
            learned = Result(DONE, "", {**pace, "env_steps_to_95": None})
            learned = Result(FAILED, "FloatingPointError: diverged | badly") if s == 3 else learned
            story.add("learn", learned if s < 4 else None, "gcl", s, "default", demos)
            thrown = Result(DONE, "", {"hit_10cm": 0.95, "hit_5cm": 0.85})
            thrown = Result(BLOCKED, "diverged") if s == 3 else thrown
            story.add("evaluate", thrown if s < 4 else None, "gcl", s, "default", demos)
        story.hits(0.98, 0.8, TRUE_REWARD, s, "", None, "weak", "fresh")
        story.hits(0.98 - 0.49 * (s == 2), 0.8, "airl", s, "default", 20, "weak", "fresh")
        story.add("evaluate", Result(NO_REWARD), "bc", s, "default", 20, "weak", "fresh")
        story.hits(0.5, 0.1, "bc", s, "default", 20, "weak", "old")
        story.hits(0.2, 0.0, "bc", s, "default", 20, "far", "old")
        figures = {
            n: {"step": 0.9 - 0.1 * s, "return": 0.99} for n in ("pearson", "spearman", "epic", "dard")
        }
        figures["starc"] = {"step": None, "return": None}
        figures["spearman"] = {"step": 0.9, "return": 0.99 if s != 2 else None}
        story.add("reward", Result(DONE, "", figures), "airl", s)
    return story


def test_figures_are_interquartile_means_and_the_worst_seed_has_its_name(story: Story) -> None:
    c = story.told()
    ten = c.hits("airl", "default", 20)
    assert ten.interval is not None
    assert ten.interval.value == pytest.approx(0.97) and (ten.worst_seed, ten.worst) == (
        4,
        pytest.approx(0.95),
    )
    wall = c.speed("airl", "default", 20, "wall_to_95_s")
    assert wall.interval is not None
    assert (wall.interval.value, wall.worst_seed, wall.worst, wall.reached) == (30.0, 4, math.inf, 4)
    steps = c.speed("airl", "default", 20, "env_steps_to_95")
    assert (steps.worst_seed, steps.worst) == (4, 300_000.0)  # more of them is worse
    assert c.speed("bc", "default", 20, "env_steps_to_95").note == "no rounds"


def test_failures_count_as_worst_and_gaps_are_told(story: Story) -> None:
    gcl = story.told().hits("gcl", "default", 20)
    assert (gcl.failed, gcl.missing, gcl.worst_seed) == ((3,), (4,), 3)
    assert gcl.interval is not None and gcl.interval.value == pytest.approx(0.95)  # of those that ended


def test_the_ratio_is_to_the_true_reward_of_the_same_seed_and_world(story: Story) -> None:
    c = story.told()
    ratio = c.ratio("airl", "default", 20, "weak", "fresh")
    assert ratio.values == {0: 1.0, 1: 1.0, 2: pytest.approx(0.5), 3: 1.0, 4: 1.0}
    assert ratio.worst_seed == 2
    assert c.ratio("bc", "default", 20, "weak", "fresh").note == "no reward"


def test_probability_of_improvement_goes_over_all_demonstrators(story: Story) -> None:
    c = story.told()
    found = c.improvement("airl", "bc", "hit_5cm")
    assert found is not None and found.value == 1.0
    assert c.improvement("bc", "airl", "hit_10cm").value == 0.0  # type: ignore[union-attr]


def rows_of(text: str, heading: str) -> dict[str, list[str]]:
    """The first table below a heading: first column → the others."""
    table = next(b for b in text[text.index(heading) :].split("\n\n") if b.startswith("|")).strip()
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in table.splitlines()]
    assert len({len(row) for row in rows}) == 1, "every row has every column"
    return {row[0]: row[1:] for row in rows}


def test_markdown_shows_it_all(story: Story) -> None:
    text = markdown(story.told())
    assert "**Not finished: " in text and "**2 cells failed**" in text
    learning = rows_of(text, "### 20 demonstrations, operator default")
    assert learning["airl"][:2] == ["97.0 % [95.3 %, 98.3 %]", "seed 4: 95.0 %"]
    assert learning["airl"][4:6] == ["180k [100k, 280k]", "seed 4: 300k"]
    assert learning["airl"][6].endswith("(4/5 get there)") and learning["airl"][7] == "seed 4: never"
    assert learning["bc"][4:] == ["no rounds", "", "no rounds", ""]
    assert learning["gcl"][0].endswith("(1 failed) (1 open)") and learning["gcl"][1] == "seed 3: failed"
    assert learning["gcl"][4] == "never (0/3 get there) (1 failed) (1 open)"
    again = rows_of(text, "### World weak, fresh start")
    assert again["airl"][:2] == ["1.00 [0.67, 1.00]", "seed 2: 0.50"] and again["bc"][0] == "no reward"
    assert again["*true reward, fresh*"][4] == "98.0 %"
    old = rows_of(text, "### World weak, old policy, unchanged")
    assert old["bc"] == ["50.0 %", "seed 0: 50.0 %", "10.0 %", "seed 0: 10.0 %"]
    rewards = rows_of(text, "## The learned reward against the true one")
    assert rewards["airl"][2:4] == ["0.700 [0.533, 0.833]", "seed 4: 0.500"]
    assert rewards["airl"][7] == "seed 0: 0.900"  # of a distance, the largest
    assert rewards["airl"][-1] == "seed 0: undefined"
    assert rewards["airl"][5] == "seed 2: undefined"  # of a correlation, what is none at all
    true = next(line for line in text.splitlines() if "weak, fresh" in line and "true reward" in line)
    assert true.count(" 98.0 (80.0) ") == 5
    failed = rows_of(text, "## Failed")
    assert failed["learn-gcl-default-20-seed3"] == ["FloatingPointError: diverged / badly"]


def test_the_json_holds_every_cell_and_no_number_that_json_does_not_know(story: Story) -> None:
    c = story.told()
    plain = json.loads(json.dumps(finite(c.plain()), allow_nan=False))
    assert len(plain["cells"]) == len(c.cells)
    row = next(r for r in plain["tables"]["learning"] if (r["algo"], r["demos"]) == ("airl", 20))
    assert row["hit_10cm"]["by_seed"]["4"] == pytest.approx(0.95) and row["hit_10cm"]["worst_seed"] == 4
    assert row["wall_to_95_s"]["by_seed"]["4"] is None
    assert {"transfer", "reward", "improvement"} <= set(plain["tables"])


def test_the_page_is_one_file_with_every_picture(story: Story) -> None:
    html = comparison_page(story.told())
    assert (
        not re.search(r'(src|href)="http', html) and "#0102" not in html
    )  # nothing fetched, no placeholder left
    drawn = html.count("<svg")
    hits, speed, ratio, rewards, over_demos, profiles = 4, 2, 2, len(REWARD_FIGURES) - 1, 3, 3
    assert drawn == hits + speed + ratio + rewards + over_demos + profiles
    assert "From 20 demonstrations, operator default, the sharpest is airl: 97.0 %" in html
    assert "seed 3 failed" in html and "seed 2" in html


@pytest.mark.parametrize("empty", [lambda s: s.results.clear(), lambda s: s.open.extend(s.results)])
def test_there_is_a_page_before_there_are_results(story: Story, empty: Callable[[Story], None]) -> None:
    story.open += list(story.results)
    story.results.clear()
    assert "not made yet" in comparison_page(story.told())
    assert "open" in markdown(story.told())


def test_markdown_tables_become_html() -> None:
    html = html_of("## T\n\n### h\n\n| | `a` |\n| -- | --: |\n| *x* | 1 < 2 |\n\nwords")
    assert "<h3>h</h3>" in html and "<td><em>x</em></td><td>1 &lt; 2</td>" in html
    assert "<th></th><th><code>a</code></th>" in html and "<p>words</p>" in html and "--" not in html
