"""What `rule:` in a configuration may name."""

import inspect

import pytest

import shaping
from shaping.learners import (
    Common,
    Learner,
    gradient_learner,
    named_learner,
    named_learners,
    named_players,
    normal,
    optimizer,
)
from shaping.learners.opponent_model import opponent_model
from shaping.rules import named_rules
from shaping.signatures import fields


def test_rules_and_learners_share_one_list_of_names_without_an_overlap():
    assert not set(named_rules()) & set(named_learners())
    assert {"a2c", "ppo", "frozen"} <= set(named_learners())
    assert set(named_players()) == set(named_rules()) | set(named_learners())


def test_every_named_player_builds_with_its_defaults_and_hashes():
    for name, factory in named_players().items():
        learner = named_learner(name, {}, Common(0.5, optimizer("adam"), normal(2.0)))
        assert isinstance(learner, Learner), name
        assert isinstance(hash(learner.variables), int)
        if name in named_learners():
            assert set(inspect.signature(factory).parameters) == {*fields(factory), "common"}, name


def test_what_does_not_fit_is_refused_in_a_line():
    for make, message in (
        (lambda: named_learner("lolla", {}), "unknown rule 'lolla'; allowed: a2c, advantage_alignment"),
        (lambda: gradient_learner(shaping.ppo()), "rule is already a learner, which takes `common`"),
        (lambda: gradient_learner("lola"), "rule is 'lola'; allowed: an update rule"),
        (lambda: named_learner("ppo", {}, Common(model=opponent_model())), "opponent_model is given; allowed: none"),
        (lambda: named_learner("naive", {}, Common(shaping_samples=8)), "shaping_samples is given; allowed: for rules"),
    ):
        with pytest.raises(ValueError) as error:
            make()
        assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_trust_in_models_is_refused_where_it_would_do_nothing_unseen():
    rule = shaping.Rule(1.0, lambda objective, thetas, player, settings, key: thetas[player])
    with pytest.raises(ValueError, match="trust is given; allowed: for rules whose settings are a dataclass"):
        gradient_learner(rule, model=opponent_model(members=2, trust=1.0))
