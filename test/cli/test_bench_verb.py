"""`irl-ros bench` as a user meets it."""

from __future__ import annotations

import json

import pytest

from irl_ros import cli

TINY = ("agent.hidden=[8]", "bc.steps=5", "expert.iterations=5", "expert.ppo.episodes=4")


def test_help_has_an_example_that_parses(capsys):
    with pytest.raises(SystemExit):
        cli.main(["bench", "--help"])
    out = capsys.readouterr().out
    example = out[out.index("example:") :].split("irl-ros", 1)[1].split()
    assert cli.parser().parse_args(example).algo == ["bc", "airl"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--env", "Pendulm-v1"], "did you mean: `pendulum`?"),
        (["--env", "Blackjack-v1"], "not a box of numbers"),
        (["--env", "CartPole-v1", "--algo", "arl"], "did you mean 'airl'?"),
        (["--env", "CartPole-v1", "--algo", "bc,maxent"], "knows the finite mdp of a throw only"),
        (["--env", "CartPole-v1", "--algo", "gcl"], "has controllers for throws only"),
        (["--env", "CartPole-v1", "--horizon", "501"], "ends after 500 steps"),
        (["--env", "CartPole-v1", "--expert", "{tmp}"], "holds no policy"),
        (["--env", "CartPole-v1", "--set", "airl.bath=1"], "did you mean 'airl.batch'?"),
        (["--env", "CartPole-v1", "--json", "{tmp}/none/x.json"], "there is no folder"),
        (["--env", "CartPole-v1", "--demos", "0"], "at least 1"),
    ],
)
def test_mistakes_take_one_line_and_write_nothing(arguments, says, capsys, tmp_path):
    arguments = [a.format(tmp=tmp_path) for a in arguments]
    try:
        code = cli.main(["bench", *arguments, "--out", str(tmp_path / "new")])
    except SystemExit as end:
        code = end.code
    err = capsys.readouterr().err
    assert code == 2 and err.count("\n") == 1 and says in err.lower()
    assert not (tmp_path / "new").exists()


def test_the_table_is_printed_and_written(capsys, tmp_path):
    settings = [f"--set={x}" for x in TINY]
    where = ["--out", str(tmp_path / "new"), "--json", str(tmp_path / "bench.json")]
    small = ["--seeds", "2", "--demos", "2", "--horizon", "20", "--algo", "bc"]
    assert cli.main(["bench", "--env", "CartPole-v1", *small, *where, *settings]) == 0
    out = capsys.readouterr().out
    assert "CartPole-v1, 20 steps, 2 demonstrations, seeds 0 to 1" in out
    figures = json.loads((tmp_path / "bench.json").read_text())
    assert [r["name"] for r in figures["rows"]] == ["expert", "demonstrations", "random", "bc"]
    assert len(figures["cells"]) == 2
