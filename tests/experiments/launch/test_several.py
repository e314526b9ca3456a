"""Two ways to choose options by name on the command line, and one meaning."""

import pytest

from experiments.launch.several import groups_of_several, spelled_out
from experiments.run import RunConfig
from flashsim.errors import InputError

GROUPS = ["learners"]


def test_groups_are_the_fields_that_are_dicts() -> None:
    assert groups_of_several(RunConfig) == GROUPS


@pytest.mark.parametrize(
    ("argument", "spelled"),
    [
        ("learners={ppo: {steps: 9}, dqn: {}}", ["learners.ppo={steps: 9}", "learners=[ppo,dqn]"]),
        (
            "learners={a: {layers: [8, 8], reward: {revenue: 2}}}",
            ["learners.a={layers: [8, 8], reward: {revenue: 2}}", "learners=[a]"],
        ),
        ("learners={ppo:{steps:9},dqn:{}}", ["learners.ppo={steps:9}", "learners=[ppo,dqn]"]),
        ("learners={ppo, dqn}", ["learners=[ppo,dqn]"]),
        ("learners=[ppo, dqn]", ["learners=[ppo,dqn]"]),
        ("learners=[]", ["learners=[]"]),
        ("learners=ppo", ["learners=ppo"]),
        ("learners=[ppo],[dqn]", ["learners=[ppo],[dqn]"]),  # a sweep
        ("learners={ppo: {steps", ["learners={ppo: {steps"]),  # Hydra refuses it
        ("learners.ppo.layers=[8,8]", ["learners.ppo.layers=[8,8]"]),
        ("baselines=[list price,list price]", ["baselines=[list price,list price]"]),
        ("+learners@learners.wide=ppo", ["+learners@learners.wide=ppo"]),
        ("--help", ["--help"]),
    ],
)
def test_arguments_are_spelled_out(argument: str, spelled: list[str]) -> None:
    assert spelled_out([argument, "seed=1"], GROUPS) == [*spelled, "seed=1"]


@pytest.mark.parametrize("argument", ["learners=[a,b,a]", "learners={a: {}, a: {steps: 1}}"])
def test_a_name_is_given_once(argument: str) -> None:
    with pytest.raises(InputError, match="learners: two of them are called 'a'"):
        spelled_out([argument], GROUPS)


def test_adding_to_the_defaults_is_refused_with_what_to_write() -> None:
    with pytest.raises(InputError, match=r"name all that there shall be, as in learners=\[ppo,c\]"):
        spelled_out(["+learners.c={}"], GROUPS)
