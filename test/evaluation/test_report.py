"""The report of every kind of run: whole, without the network, and calm about what is missing."""

from __future__ import annotations

import base64
import io
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from irl_ros.errors import InputError
from irl_ros.evaluation.evaluate import evaluate
from irl_ros.evaluation.page import picture, png
from irl_ros.evaluation.report import write_report

VOID = {"meta", "img", "br", "use", "path", "image"}


class Page(HTMLParser):
    """What a browser would see: tags in order, texts, and whether every tag is closed where it should be."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.open, self.tags, self.headings = "", [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h1", "h2", "h3", "summary"):
            self.headings.append(data)
        if self.open and self.open[-1] != "style":
            self.text += data

    def count(self, tag: str) -> int:
        return sum(t == tag for t, _ in self.tags)

    def check_self_contained(self) -> None:
        """Nothing is fetched: pictures are data, references stay in the page, there is no script."""
        without_data = re.sub(r"data:image/png;base64,[^\"]*", "", self.source)
        assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", without_data)
        ids = {a["id"] for _, a in self.tags if "id" in a}
        for tag, attributes in self.tags:
            assert tag not in ("script", "link", "iframe")
            for name in ("src", "href", "xlink:href"):
                target = attributes.get(name)
                assert target is None or target.startswith("data:image/") or target[1:] in ids
        assert set(re.findall(r"url\(#([^)]*)\)", self.source)) <= ids
        assert "#0102" not in self.source  # a placeholder that did not become the page's colour


def report(run: Path, out: Path, **options: object) -> Page:
    path = write_report(run, out=out / "report.html", throws=12, sim="batch", **options)
    assert [p.name for p in out.iterdir()] == ["report.html"]
    page = Page(path)
    page.check_self_contained()
    return page


def test_learned_run_is_shown_whole(learned: Path, tmp_path: Path) -> None:
    page = report(learned, tmp_path)
    assert page.headings[0] == "A throw learned from 6 demonstrations"
    for heading in (
        "Where the balls landed",
        "The learned reward",
        "Learning",
        "Settings",
        "Versions and hashes",
    ):
        assert heading in page.headings
    for who in ("Operator", "Clone", "Policy"):
        assert page.headings.count(who) == 3  # its score, its misses, its landings from above
    assert page.count("img") == 6  # the frames of a throw
    assert page.count("svg") == 3 + 3 + 2 + 2 + 3
    assert "On the arm" not in page.headings


def test_cloned_run_has_no_reward_and_no_curves(cloned: Path, tmp_path: Path) -> None:
    page = report(cloned, tmp_path)
    assert page.headings[0] == "A throw cloned from 6 demonstrations"
    assert "Policy" not in page.headings and "Clone" in page.headings
    assert "The learned reward" not in page.headings and "Learning" not in page.headings
    assert page.count("svg") == 2 + 2 and page.count("img") == 6


def test_transfer_says_from_what_and_into_what(transferred: Path, tmp_path: Path) -> None:
    page = report(transferred, tmp_path)
    assert page.headings[0] == "A new policy from a learned reward"
    assert "frozen reward of the run “learned”" in page.text and "“weak_wrist”" in page.text
    assert "untrained network and without a new demonstration" in page.text
    assert {"Old policy", "New policy"} <= set(page.headings) and "Operator" not in page.headings
    changed = page.text[page.text.index("What is different here") :]
    assert "arm.velocity_scale" in changed and "0.5, 0.7" in changed
    assert "search 1" in page.text and "search 2" in page.text  # above the curves, which begin twice


def test_demo_adds_its_figures_and_the_throws_on_the_arm(learned: Path, bags: Path, tmp_path: Path) -> None:
    summary = {
        "deploy": {"throws": 30, "hit_10cm": 0.9, "latency_ms_p50": 0.421, "latency_ms_p99": 12.3},
        "bc": evaluate(learned / "bc", throws=31, sim="batch"),
        "policy": evaluate(learned, throws=32, sim="batch"),
    }
    page = report(learned, tmp_path, summary=summary, deployed=bags)
    for shown in ("90.0%", "of 30 throws", "0.42 ms", "12 ms", "31 unseen targets", "32 unseen targets"):
        assert shown in page.text
    assert page.headings.count("Policy on the arm") == 2
    assert "12 landings" in page.text or "of 12 landed" in page.text  # the pictures' own throws


def test_bags_that_are_gone_cost_the_scatter_and_nothing_else(learned: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "<b>gone & away"
    shutil.copytree(learned, elsewhere)
    text = (elsewhere / "run.yaml").read_text().replace(str(learned.parent), str(tmp_path / "nowhere"))
    (elsewhere / "run.yaml").write_text(text)
    (tmp_path / "out").mkdir()
    page = report(elsewhere, tmp_path / "out")
    assert page.headings.count("Operator") == 1 and page.headings.count("Policy") == 3
    rate = re.search(r"^  hit_10cm: ([\d.]+)", text, re.MULTILINE)
    assert rate and f"{float(rate[1]):.1%}" in page.text
    assert "<b>gone & away" in page.text  # a folder's name is text, not HTML


def test_bags_beside_the_run_are_found_only_if_they_are_the_same(
    learned: Path, bags: Path, tmp_path: Path
) -> None:
    run = tmp_path / "moved" / "learned"
    shutil.copytree(learned, run)
    text = (run / "run.yaml").read_text().replace(str(learned.parent), "nowhere")
    (run / "run.yaml").write_text(text)
    shutil.copytree(bags, tmp_path / "moved" / "demos")
    (tmp_path / "out").mkdir()
    assert report(run, tmp_path / "out").headings.count("Operator") == 3
    shutil.rmtree(tmp_path / "moved" / "demos" / "episode_0000")
    assert report(run, tmp_path / "out").headings.count("Operator") == 1


def test_run_that_is_still_learning(learned: Path, tmp_path: Path) -> None:
    run = tmp_path / "half"
    shutil.copytree(learned, run, ignore=shutil.ignore_patterns("policy.*", "reward.*"))
    shutil.copytree(learned / "bc", run / "bc", dirs_exist_ok=True)
    (tmp_path / "out").mkdir()
    page = report(run, tmp_path / "out")
    assert "Learning has not finished yet." in page.text
    assert "Learning" in page.headings and "Policy" not in page.headings


def test_report_is_written_into_the_run_and_replaced(learned: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(learned, run)
    (run / "report.html").write_text("old")
    assert write_report(run, throws=4, sim="batch") == run / "report.html"
    assert "Where the balls landed" in (run / "report.html").read_text()


def test_faults_of_a_user_are_named(learned: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no run\.yaml"):
        write_report(tmp_path)
    with pytest.raises(InputError, match="there is no folder"):
        write_report(learned, out=tmp_path / "nothing" / "report.html", throws=4, sim="batch")
    shutil.copy(learned / "run.yaml", tmp_path)
    (tmp_path / "run.yaml").write_text((tmp_path / "run.yaml").read_text().replace("episodes:", "count:"))
    with pytest.raises(InputError, match=r"run\.yaml: lacks the key 'episodes'"):
        write_report(tmp_path)


def test_png_is_read_back_by_another_program() -> None:
    image = np.random.default_rng(0).integers(0, 256, (13, 21, 3), dtype=np.uint8)
    read = matplotlib.image.imread(io.BytesIO(png(image)), format="png")
    assert np.array_equal((read[..., :3] * 255).round().astype(np.uint8), image)
    source = re.search(r'base64,([^"]*)"', picture(image, "a throw"))
    assert source and base64.b64decode(source[1]) == png(image)
