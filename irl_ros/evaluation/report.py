"""RUN/report.html: what was learned, in pictures, in one file."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from irl_ros.errors import InputError
from irl_ros.evaluation import curves, plots
from irl_ros.evaluation.landings import Thrower, typical
from irl_ros.evaluation.page import card, escape, grid, page, picture, rows, section
from irl_ros.evaluation.reward_view import view_reward
from irl_ros.evaluation.story import Story, tell
from irl_ros.irl.run_directory import RunDirectory
from irl_ros.rewards.reward import load_reward
from irl_ros.sim.camera import render_throw

FRAME = (360, 300)  # px


def write_report(
    run: str | Path,
    out: str | Path | None = None,
    summary: Mapping[str, Any] | None = None,
    deployed: str | Path | None = None,
    throws: int = 500,
    sim: str = "pybullet",
) -> Path:
    """Write the report of a run; what is not there (yet, or any more) is left out.

    Args:
        run: what `learn` or `transfer` left.
        out: the HTML file; default: RUN/report.html.
        summary: of `irl-ros demo`. Its `deploy` (throws, hit_10cm, latency_ms_p50, latency_ms_p99) is shown;
            `bc` and `policy`, as `evaluate` gave them, stand for what clone and policy can do.
        deployed: folder with bags of the deployed policy's throws.
        throws: of clone and policy, at unseen targets.
        sim: where: "pybullet" or "batch".

    Returns:
        The file.

    Raises:
        InputError: there is no run, or a file of it is damaged.
    """
    path = Path(out) if out else Path(run) / "report.html"
    story = tell(run, throws, sim, summary or {}, deployed)
    if not path.parent.is_dir():
        raise InputError(path, f"there is no folder {path.parent}")
    parts = [
        _head(story),
        grid("three", [_score(t) for t in story.throwers]),
        _film(story),
        _landings(story),
        _deployed(story),
        _reward(story),
        _learning(story),
        _changes(story),
        _details(story),
    ]
    _write(path, page(story.title(), parts))
    return path


# --- what came of it ---


def _head(story: Story) -> str:
    d = story.description
    label = f"irl_ros {d['versions']['irl_ros']} · {d['verb']} · {story.world.robot.name} · seed {d['seed']}"
    return (
        f'<header>\n<p class="eyebrow">{escape(label)} · {escape(story.run)}</p>\n'
        f'<h1>{escape(story.title())}</h1>\n<p class="lead">{escape(story.sentence())}</p>\n</header>'
    )


def _score(thrower: Thrower) -> str:
    f = thrower.figures
    ten, five = f"{f['hit_10cm']:.1%}", f"{f['hit_5cm']:.1%}"
    pairs = [("within 5 cm", five)]
    if "median_error_m" in f:
        low, high = f["hit_10cm_ci95"]
        pairs += [
            ("median error", _centimetres(f["median_error_m"])),
            ("19 of 20 within", _centimetres(f["p95_error_m"])),
            ("95 % interval", f"{low:.1%} – {high:.1%}"),
        ]
    items = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in pairs)
    return (
        f'<div class="card" style="--c: var(--{thrower.colour})">'
        f'<div class="who"><span class="dot"></span><h3>{escape(thrower.name)}</h3></div>'
        f'<div class="soft">{escape(thrower.note)}</div>'
        f'<div class="big">{ten}</div><div class="soft">within 10 cm of the target</div>'
        f'<div class="bar"><i style="width: {ten}"></i><i style="width: {five}"></i></div>'
        f"<dl>{items}</dl></div>"
    )


def _centimetres(value: float | None) -> str:
    return "some never land" if value is None else f"{100 * value:.1f} cm"


# --- pictures ---


def _film(story: Story) -> str:
    """Frames of the most ordinary throw of the last thrower whose throws are there."""
    seen = [(t.name.lower(), t.throws) for t in story.throwers if t.throws is not None]
    if not seen:
        return ""
    who, throws = seen[-1]
    index = typical(throws)
    frames = render_throw(story.world, throws, index, frames=6, size=FRAME)
    images = "".join(picture(f, f"frame {i + 1} of a throw by the {who}") for i, f in enumerate(frames))
    error = float(throws.outcome.error[index])
    lands = f"lands {100 * error:.1f} cm from the target" if math.isfinite(error) else "does not land in time"
    caption = f"An ordinary throw by the {who}: it {lands}. The ring is 10 cm in radius."
    return f'<div class="film">{images}</div>\n<p class="soft">{escape(caption)}</p>'


def _landings(story: Story) -> str:
    seen = [t for t in story.throwers if t.throws is not None]
    text = "Around the target as the thrower sees it, and on the floor from above."
    around, above = zip(*(_places(t, story) for t in seen)) if seen else ((), ())
    return section("Where the balls landed", text, grid("three", around), grid("three", above))


def _places(thrower: Thrower, story: Story) -> tuple[str, str]:
    """Cards of a thrower's landings around the target and from above."""
    note = f"rings: 5 and 10 cm; {plots.unseen_note(thrower)}"
    around = card(thrower.name, plots.misses_figure(thrower), note, thrower.colour)
    note = "the band is where targets lie; filled: within 10 cm"
    return around, card(thrower.name, plots.above_figure(thrower, story.world), note, thrower.colour)


def _reward(story: Story) -> str:
    if not (story.run / "reward.yaml").is_file() or story.description.get("reward") == "true":
        return ""
    view = view_reward(load_reward(story.run, story.world), story.world)
    text = (
        "What the throws were for, as far as the demonstrations tell: the reward of a step in which the ball "
        "lies beside the target. It sees ball and target, never the arm, so it can teach another arm. "
        f"Correlation with the task's own reward over this picture: {view.correlation:.2f}."
    )
    figures = [
        card("A ball lying beside the target", plots.reward_picture(view), "rings: 5 and 10 cm"),
        card("Reward over distance", plots.reward_profile(view)),
    ]
    return section("The learned reward", text, grid("two", figures))


def _learning(story: Story) -> str:
    m, horizon = story.metrics, story.world.horizon
    if not m:
        return ""
    every = story.description["settings"].get("trainer", {}).get("practice_every", 5)
    others = [t for t in story.throwers if t.colour != "policy"]
    scores = [("reward_demonstrations", "operator", "demonstrations"), ("reward_mean", "policy", "policy")]

    def curve(title: str, ylabel: str, series: list[tuple[str, str, str]], *size: tuple[int, int]) -> str:
        return card(title, curves.curve_figure(m, horizon, title, ylabel, series, *size))

    large = [
        card("Hits on practice targets", curves.hits_figure(m, horizon, others, every)),
        curve("Score under the reward", "mean reward a step", scores),
    ]
    small = [
        card("The discriminator", curves.accuracy_figure(m, horizon)),
        curve("Size of a policy step", "KL, nats", [("kl", "policy", "")], curves.SMALL),
        curve("Exploration", "entropy, nats", [("entropy", "policy", "")], curves.SMALL),
    ]
    return section("Learning", escape(_pace(story)), grid("two", large), grid("three", small))


def _pace(story: Story) -> str:
    last = story.metrics[-1]
    throws = last["env_steps"] // story.world.horizon
    minutes, seconds = divmod(round(last["wall_s"]), 60)
    text = f"{throws:,} throws".replace(",", "\u202f") + f" in {minutes} min {seconds} s, "
    text += f"{throws / max(last['wall_s'], 1e-9):.0f} a second, in {last['iteration']} rounds. "
    if any(m["state"] == "polish" for m in story.metrics):
        text += "First the game between reward and policy, then a polish of the policy on the frozen reward. "
    return text + "The hit rate is measured on practice targets for this picture; learning never sees it."


def _deployed(story: Story) -> str:
    deploy, thrower = story.summary.get("deploy", {}), story.on_the_arm
    facts = []
    if deploy:
        hits = f"of {deploy['throws']} throws within 10 cm of the target"
        facts = [
            (f"{deploy['hit_10cm']:.1%}", hits),
            (
                _milliseconds(deploy.get("latency_ms_p50")),
                "from a state to the command that answers it, median",
            ),
            (_milliseconds(deploy.get("latency_ms_p99")), "the same, 99 of 100 within"),
        ]
    cards = [
        f'<div class="card" style="--c: var(--policy)"><div class="big">{escape(value)}</div>'
        f'<div class="soft">{escape(meaning)}</div></div>'
        for value, meaning in facts
    ]
    places = grid("two", _places(thrower, story)) if thrower is not None else ""
    text = "The policy node's throws over ROS 2 topics, every command through the safety filter."
    return section("On the arm", text, grid("three", cards), places)


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g} ms" if value < 10 else f"{value:.0f} ms"


# --- the small print ---


def _changes(story: Story) -> str:
    """What is different in a transfer's world from the one its reward was learned in."""
    source = Path(story.description.get("from") or "nowhere")
    if not story.is_transfer or not (source / "run.yaml").is_file():
        return ""
    before = _flat(RunDirectory(source).description()["world"]["settings"])
    after = _flat(story.description["world"]["settings"])
    changed = [(k, before.get(k, ""), after[k]) for k in after if before.get(k) != after[k]]
    if not changed:
        return section("The world", "It is the one the reward was learned in.", "<!-- no changes -->")
    table = rows(changed, ("", "reward learned in", "policy learned in"))
    return section("What is different here", "All else is as it was.", f'<div class="card">{table}</div>')


def _details(story: Story) -> str:
    d = story.description
    tables = {
        "Settings": d["settings"],
        "World": {"name": d["world"]["name"], **d["world"]["settings"]},
        "Demonstrations": d.get("demos", {}),
        "Versions and hashes": {**d["versions"], "robot": d["robot"], "world sha256": d["world"]["sha256"]},
    }
    folds = "".join(
        f"<details><summary>{escape(name)}</summary>{rows(list(_flat(values).items()))}</details>"
        for name, values in tables.items()
        if values
    )
    command = f"<pre>{escape(story.command())}</pre>"
    return section("The small print", escape(_limits_kept(story)), command, folds)


def _limits_kept(story: Story) -> str:
    if story.result is None:
        return ""
    f = story.result.figures
    place = "PyBullet" if f["sim"] == "pybullet" else "the batched world"
    text = f"In the policy's {f['throws']} throws in {place}, joints left their limits in"
    text += f" {f['limit_violations']} control steps"
    if f["torque_saturation"] is not None:
        text += f" and torque was clipped in {f['torque_saturation']:.2%} of the physics steps"
    return text + "."


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested keys as `a.b`, values as text."""
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{prefix}{key}.")
        elif isinstance(value, (list, tuple)):
            found[f"{prefix}{key}"] = ", ".join(str(v) for v in value) or "none"
        else:
            found[f"{prefix}{key}"] = str(value)
    return found


def _write(path: Path, text: str) -> None:
    """All or nothing: a browser may be looking at the old one."""
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=".report-", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)
