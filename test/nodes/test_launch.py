"""Launch files against the nodes they start. `launch` has no wheel, so most of this reads syntax trees."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import yaml

from irl_ros import cli
from irl_ros.msg import EpisodeEvent, LearnerStatus, PolicyStep
from irl_ros.nodes import interface as names
from irl_ros.nodes.__main__ import NODES
from irl_ros.resources import SOURCE_ROOT

FILES = sorted((SOURCE_ROOT / "launch").glob("*.launch.py"))


def calls(path: Path, function: str) -> list[ast.Call]:
    found = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
    return [c for c in found if isinstance(c.func, ast.Name) and c.func.id == function]


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((k.value for k in call.keywords if k.arg == name), None)


def arguments(path: Path) -> dict[str, ast.Call]:
    return {ast.literal_eval(c.args[0]): c for c in calls(path, "DeclareLaunchArgument")}


def declared_parameters(node: str) -> set[str]:
    """Names that a node's source declares by self.parameter(...)."""
    tree = ast.parse((SOURCE_ROOT / "irl_ros" / "nodes" / f"{node}.py").read_text())
    found = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
    return {ast.literal_eval(c.args[0]) for c in found if c.func.attr == "parameter"} | {"use_sim_time"}


def parameter_keys(node: ast.Call, tree: ast.Module) -> set[str]:
    """Keys of the dictionaries in a Node's `parameters`; a name stands for the dictionary assigned to it."""
    assigned = {
        t.id: s.value
        for s in ast.walk(tree)
        if isinstance(s, ast.Assign)
        for t in s.targets
        if isinstance(t, ast.Name)
    }
    keys: set[str] = set()
    for item in keyword(node, "parameters").elts:
        if isinstance(item, ast.Call):
            continue  # the YAML that the argument `params` names
        table = assigned[item.id] if isinstance(item, ast.Name) else item
        for key, value in zip(table.keys, table.values, strict=True):
            # **{name: … for name in texts}
            keys |= (
                {ast.literal_eval(key)}
                if key
                else set(ast.literal_eval(assigned[value.generators[0].iter.id]))
            )
    return keys


def test_all_are_there():
    names = [p.name.removesuffix(".launch.py") for p in FILES]
    assert names == ["bringup", "demo", "deploy", "learn", "record", "sim", "teleop", "view"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_argument_is_described_and_every_one_used_is_declared(path):
    declared = arguments(path)
    for name, call in declared.items():
        assert len(ast.literal_eval(keyword(call, "description"))) > 5, name
        assert keyword(call, "default_value") is not None, f"{name} would have to be given"
    used = {a.value for c in calls(path, "LaunchConfiguration") if isinstance(a := c.args[0], ast.Constant)}
    assert used <= set(declared)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_nodes_exist_and_have_the_parameters_they_are_given(path):
    tree = ast.parse(path.read_text())
    for node in calls(path, "Node"):
        executable = ast.literal_eval(keyword(node, "executable"))
        if ast.literal_eval(keyword(node, "package")) == "rviz2":
            continue
        assert ast.literal_eval(keyword(node, "package")) == "irl_ros"
        assert executable in NODES
        assert parameter_keys(node, tree) <= declared_parameters(executable)


def test_the_demos_arguments_are_options_of_the_verb():
    demo = next(p for p in FILES if p.name == "demo.launch.py")
    options = [x for name in arguments(demo) for x in (f"--{name}", "1")]
    assert cli.parser().parse_args(["demo", *options]).verb == "demo"


def test_included_files_exist_and_take_the_arguments_they_are_given():
    for path in FILES:
        for include in calls(path, "IncludeLaunchDescription"):
            texts = [n.value for n in ast.walk(include) if isinstance(n, ast.Constant)]
            other = path.parent / next(t for t in texts if str(t).endswith(".launch.py"))
            given = keyword(include, "launch_arguments").func.value
            assert {ast.literal_eval(k) for k in given.keys} <= set(arguments(other))


def test_the_shipped_tuning_names_parameters_that_exist():
    tuning = yaml.safe_load((SOURCE_ROOT / "config" / "nodes.yaml").read_text())
    for node, content in tuning.items():
        assert set(content["ros__parameters"]) <= declared_parameters(node.removeprefix("/**/")), node


def test_viewers_show_topics_and_markers_that_exist():
    rviz = yaml.safe_load((SOURCE_ROOT / "launch" / "throw.rviz").read_text())
    (throw,) = (d for d in rviz["Visualization Manager"]["Displays"] if d["Name"] == "Throw")
    assert throw["Topic"]["Value"] == names.MARKERS
    drawn = {ast.literal_eval(c.args[0]) for c in markers_drawn()}
    assert set(throw["Namespaces"]) == drawn
    layout = json.loads((SOURCE_ROOT / "launch" / "foxglove.json").read_text())
    panels = layout["configById"]
    paths = [p["value"].strip("/").split(".") for panel in panels.values() for p in panel.get("paths", [])]
    kinds = {names.POLICY: PolicyStep, names.LEARNER: LearnerStatus, names.EPISODE: EpisodeEvent}
    for topic, field in paths:
        assert field.removesuffix("[:]") in kinds[topic].get_fields_and_field_types()
    assert set(panels["3D!throw"]["topics"]) == {f"/{names.MARKERS}"}
    assert set(panels_of(layout["layout"])) == set(panels)


def markers_drawn() -> list[ast.Call]:
    tree = ast.parse((SOURCE_ROOT / "irl_ros" / "nodes" / "markers.py").read_text())
    called = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
    return [c for c in called if c.func.attr in ("_marker", "_lines") and isinstance(c.args[0], ast.Constant)]


def panels_of(layout: str | dict) -> list[str]:
    if isinstance(layout, str):
        return [layout]
    return panels_of(layout["first"]) + panels_of(layout["second"])


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_launch_itself_accepts_the_file(path):
    pytest.importorskip("launch_ros", reason="launch comes with a sourced ROS, not from wheels")
    from launch import LaunchContext
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    description = PythonLaunchDescriptionSource(str(path)).get_launch_description(LaunchContext())
    shown = {a.name for a, _ in description.get_launch_arguments_with_include_launch_description_actions()}
    assert shown == set(arguments(path))
