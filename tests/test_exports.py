"""What `import shaping` offers: everything by name, as type checkers see it."""

import ast
from pathlib import Path

import shaping
from shaping.population.players_by_name import every_player


def test_editors_see_the_names_and_places_that_are_loaded():
    tree = ast.parse(Path(shaping.__file__).read_text(encoding="utf-8"))
    (checking,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        name.name: (node.module or "").removeprefix("shaping.")
        for node in checking.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
        if name.name not in shaping._MODULES
    }
    assert seen == shaping._EXPORTS


def test_every_rule_and_learner_is_exported():
    # `shaping.advantage_alignment` is the function of arrays; its learner is called by another name.
    factories = {own.__name__: own for own in every_player().values()}
    assert {name: getattr(shaping, name) for name in factories} == factories


def test_every_name_loads():
    for name in shaping.__all__:
        assert getattr(shaping, name) is not None


def test_no_module_has_the_name_of_a_function_that_is_exported():
    # Importing such a module would put it in the place of the function.
    modules = {path.stem for path in Path(shaping.__file__).parent.iterdir()}
    assert modules & set(shaping.__all__) <= set(shaping._MODULES)
