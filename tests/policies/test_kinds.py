"""Kinds of policies by name: their settings, and what they refuse by themselves."""

import pytest

from shaping import envs
from shaping.policies.kinds import NETWORKS, OF_STATES, critic_beside, of_spaces, shown_table
from shaping.policies.networks import network
from shaping.signatures import Range, fields

IPD = envs.make("ipd")
ONCE = envs.make("ipd", horizon=1)


@pytest.mark.parametrize(
    ("factory", "env", "settings", "line"),
    [
        (OF_STATES["tabular"], ONCE, {"memory": 2}, "memory is 2; allowed: 1, unless two players"),
        (OF_STATES["preconditioned"], IPD, {"matrix": [[1.0]]}, "matrix is .*; allowed: 5 rows of 5 numbers"),
        (OF_STATES["mlp"], IPD, {"hidden": []}, "hidden is .*; allowed: a list of widths"),
        (OF_STATES["mlp"], ONCE, {}, "kind: mlp has nothing to look at in a one-shot game"),
        (NETWORKS["gru"], ONCE, {}, "kind: gru has nothing to look at in a one-shot game"),
        (NETWORKS["mlp"], IPD, {"channels": [3]}, "channels is .*; allowed: .* for an mlp; use conv"),
        (NETWORKS["conv"], IPD, {"channels": []}, "channels is .*; allowed: a list of at least one width"),
        (shown_table, envs.make("clean_up"), {}, "kind is 'tabular'; allowed: a network, as clean_up"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line_that_begins_with_the_setting(factory, env, settings, line):
    with pytest.raises(ValueError, match=f"^{line}") as error:
        factory(env, 0, **settings)
    assert "\n" not in str(error.value)


def test_tables_have_a_logit_for_every_state_or_history():
    assert [OF_STATES["tabular"](IPD, 0, memory).num_parameters for memory in (1, 2, 3)] == [5, 21, 85]
    assert OF_STATES["tabular"](ONCE, 0).num_parameters == 1
    assert OF_STATES["preconditioned"](ONCE, 0, [[2.0]]).num_parameters == 1


def test_a_factory_of_spaces_is_given_those_of_the_environment_and_keeps_its_signature():
    def wide(observation_space, action_space, width: int = 3):
        return network(observation_space, action_space, hidden=(width,))

    assert fields(of_spaces(wide), skip=("observation_space", "action_space"))["width"].default == 3
    assert of_spaces(wide)(IPD, 0, width=2) == network(IPD.observation_space, IPD.action_space, hidden=(2,))


def test_recurrent_networks_have_units_and_others_have_not():
    assert {name for name, factory in NETWORKS.items() if "units" in fields(factory)} == {"gru", "lstm"}
    assert fields(NETWORKS["lstm"])["units"].range == Range(1, 4096)


def test_a_critic_is_of_the_kind_of_its_policy():
    settings = {"hidden": [4], "units": 2, "critic": "separate", "channels": [], "layout": None}
    assert critic_beside("tabular", IPD, False).kind == "tabular"
    assert critic_beside("gru", IPD, True, **settings).kind != "tabular"
