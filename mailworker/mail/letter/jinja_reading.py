"""What Jinja2 templates do with a row: plain variables, filters and tests that take any text, conditions, layouts.

The rows that matter are of texts and numbers. An expression counts as certain only if nothing in such a row can make it fail, as
long as its variables are there. Loops, calls, attributes and arithmetic are not looked into: who uses them is rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from jinja2 import Environment, StrictUndefined, nodes
from jinja2.defaults import DEFAULT_NAMESPACE
from jinja2.filters import FILTERS
from jinja2.meta import find_referenced_templates, find_undeclared_variables
from jinja2.tests import TESTS

from mailworker.errors import TemplateError
from mailworker.mail.letter.reading import Reading

#: Bytes that a character comes to at the most: four of UTF-8, or five of an entity for one of ASCII.
_BYTES = 5
#: Characters that a number or a truth is written in at the most, unless it stands in the row.
_SHORT = 32
#: Variables of the environment that are as good as constants.
_CONSTANTS = (str, int, float, bool)

#: Filter that takes whatever a row may hold, constants as arguments -> how many characters of it one becomes at the most.
_FILTERS = {
    "capitalize": 3,
    "d": 1,
    "default": 1,
    "e": 5,
    "escape": 5,
    "lower": 3,
    "string": 1,
    "title": 3,
    "trim": 1,
    "upper": 3,
    "urlencode": 12,
}
_DEFAULT = frozenset({"d", "default"})
#: Tests that are no error whatever stands before them, a missing variable included.
_TESTS = frozenset({"boolean", "defined", "float", "integer", "none", "number", "string", "undefined"})
#: Names that Jinja2 gives a meaning of their own in places.
_SPECIAL = frozenset({"caller", "loop", "self", "super"})
#: Layouts and includes inside each other.
_MAX_DEPTH = 20


class _Uncertain(Exception):  # noqa: N818 - no error
    """Something may depend on what stands in a row."""


def reading(
    environment: Environment, tree: Callable[[str], nodes.Template], name: str, known: Collection[str]
) -> Reading:
    """Return what a template does with a row.

    Args:
        environment: the templates'.
        tree: returns the tree of a template.
        name: the template.
        known: names of the templates that there are.
    """
    names, is_complete = _names(environment, tree, name, known)
    walk = _Walk(environment, tree, known)
    unknown = Reading(names, is_complete, is_certain=False)
    if not (is_complete and _is_usual(environment)):
        return unknown
    try:
        walk.template(name, always=True, depth=0)
    except (_Uncertain, RecursionError):
        return unknown
    return Reading(
        names,
        is_complete,
        frozenset(walk.demanded),
        frozenset(walk.needed),
        True,
        walk.size * walk.repeated,
        walk.growth * walk.repeated,
        walk.tags * walk.repeated,
    )


def _is_usual(environment: Environment) -> bool:
    return (
        type(environment) is Environment
        and environment.undefined is StrictUndefined
        and environment.finalize is None
        and not environment.extensions
    )


def _names(
    environment: Environment, tree: Callable[[str], nodes.Template], name: str, known: Collection[str]
) -> tuple[frozenset[str], bool]:
    """Return all names in a template and what it uses, and whether nothing in it can look at others."""
    found: set[str] = set()
    is_complete = not environment.extensions
    seen = {name}
    waiting = [name]
    while waiting:
        at = waiting.pop()
        one = tree(at)
        found |= find_undeclared_variables(one)
        for node in one.find_all(nodes.Name):
            if node.name not in environment.globals:
                continue
            # A column of that name would go first.
            found.add(node.name)
            own = environment.globals[node.name]
            # A function of the project's own may take the context, and look at any variable.
            is_complete &= own is DEFAULT_NAMESPACE.get(node.name) or type(own) in _CONSTANTS
        for kind, functions, shipped in (
            (nodes.Filter, environment.filters, FILTERS),
            (nodes.Test, environment.tests, TESTS),
        ):
            for each in one.find_all(kind):
                function = functions.get(each.name)
                is_complete &= function is shipped.get(each.name) or not hasattr(function, "jinja_pass_arg")
        for other in used(environment, one, at):
            if other in known and other not in seen:
                seen.add(other)
                waiting.append(other)
    return frozenset(found), is_complete


class _Walk:
    """Goes through a template as it would be rendered, both ways at each condition.

    Attributes:
        demanded, needed, size, growth, tags: see `Reading`.
        repeated: how often anything may be there again, by `super()`.
    """

    def __init__(self, environment: Environment, tree: Callable[[str], nodes.Template], known: Collection[str]) -> None:
        self._environment = environment
        self._tree = tree
        self._known = known
        self._granted: frozenset[str] = frozenset()
        self.demanded: set[str] = set()
        self.needed: set[str] = set()
        self.size = self.growth = self.tags = 0
        self.repeated = 1

    def template(self, name: str, *, always: bool, depth: int) -> None:
        """Go through a template.

        Args:
            name: of it.
            always: nothing keeps it from being rendered.
            depth: how many are around it.
        """
        if depth > _MAX_DEPTH:
            raise _Uncertain
        tree = self._tree(name)
        # What a layout shows of itself and what is put in its place is for the rendering to say.
        has_layout = any(True for _ in tree.find_all(nodes.Extends))
        supers = 0
        for call in tree.find_all(nodes.Call):
            supers += _is_super(call)
        self.repeated *= 1 + supers
        self._statements(tree.body, name, always=always and not has_layout, depth=depth)

    def _statements(self, body: list[nodes.Node], name: str, *, always: bool, depth: int) -> None:
        for node in body:
            if isinstance(node, nodes.Output):
                for each in node.nodes:
                    self._output(each, always)
            elif isinstance(node, nodes.If):
                self._expression(node.test, always)
                with self._known_by(node.test, True):
                    self._statements(node.body, name, always=False, depth=depth)
                with self._known_by(node.test, False):
                    self._statements([*node.elif_, *node.else_], name, always=False, depth=depth)
            elif isinstance(node, nodes.Block) and not node.required:
                # It stands where the layout has it, whatever is around it here.
                with self._known_by(node, True, afresh=True):
                    self._statements(node.body, name, always=False, depth=depth)
            elif isinstance(node, nodes.Extends | nodes.Include) and isinstance(node.template, nodes.Const):
                self._other(node, name, always, depth)
            else:
                raise _Uncertain

    def _other(self, node: nodes.Extends | nodes.Include, name: str, always: bool, depth: int) -> None:
        assert isinstance(node.template, nodes.Const)
        other = node.template.value
        if not isinstance(other, str):
            raise _Uncertain
        other = self._environment.join_path(other, name)
        if isinstance(node, nodes.Include):
            if not node.with_context:
                raise _Uncertain
            if other not in self._known:
                return
        self.template(other, always=always and isinstance(node, nodes.Include), depth=depth + 1)

    def _output(self, node: nodes.Expr, always: bool) -> None:
        if isinstance(node, nodes.TemplateData):
            self.size += len(node.data.encode())
            self.tags += node.data.count("<")
            return
        size, growth = self._expression(node, always)
        self.size += size * _BYTES
        self.growth += growth * _BYTES

    def _expression(self, node: nodes.Node, always: bool) -> tuple[int, int]:
        """Return how many characters an expression comes to at the most, and how many for each of the row's.

        Args:
            node: the expression.
            always: it is evaluated for every row.
        """
        if isinstance(node, nodes.Const):
            return len(str(node.value)), 0
        if isinstance(node, nodes.Name):
            return self._name(node.name, always)
        if isinstance(node, nodes.Filter):
            return self._filter(node, always)
        if isinstance(node, nodes.Concat):
            return _sum([self._expression(each, always) for each in node.nodes])
        return self._choice(node, always)

    def _choice(self, node: nodes.Node, always: bool) -> tuple[int, int]:
        if isinstance(node, nodes.CondExpr) and node.expr2 is not None:
            self._expression(node.test, always)
            return _sum([self._guarded(node.test, True, node.expr1), self._guarded(node.test, False, node.expr2)])
        if isinstance(node, nodes.And | nodes.Or):
            left = self._expression(node.left, always)
            return _sum([left, self._guarded(node.left, isinstance(node, nodes.And), node.right)])
        return self._truth(node, always)

    def _guarded(self, test: nodes.Node, outcome: bool, node: nodes.Node) -> tuple[int, int]:
        """Return what `_expression` does for one that is evaluated only if a test comes out so."""
        with self._known_by(test, outcome):
            return self._expression(node, False)

    @contextmanager
    def _known_by(self, test: nodes.Node, outcome: bool, *, afresh: bool = False) -> Iterator[None]:
        """Take the variables for granted that are defined if a test comes out so, and those that are already unless `afresh`."""
        before = self._granted
        self._granted = _defined_by(test, outcome) | (frozenset() if afresh else before)
        try:
            yield
        finally:
            self._granted = before

    def _truth(self, node: nodes.Node, always: bool) -> tuple[int, int]:
        if isinstance(node, nodes.Not):
            self._expression(node.node, always)
        elif isinstance(node, nodes.Compare) and all(each.op in ("eq", "ne") for each in node.ops):
            self._expression(node.expr, always)
            for each in node.ops:
                self._expression(each.expr, False)
        elif isinstance(node, nodes.Test):
            self._test(node)
        elif _is_super(node):
            return 0, 0
        else:
            raise _Uncertain
        return _SHORT, 0

    def _name(self, name: str, always: bool) -> tuple[int, int]:
        if name in _SPECIAL:
            raise _Uncertain
        own = self._environment.globals.get(name)
        if own is not None:
            if type(own) not in _CONSTANTS:
                raise _Uncertain
            return len(str(own)), 1
        if name not in self._granted:
            self.demanded.add(name)
            if always:
                self.needed.add(name)
        return 0, 1

    def _filter(self, node: nodes.Filter, always: bool) -> tuple[int, int]:
        name = node.name
        grows = _FILTERS.get(name)
        is_plain = not (node.kwargs or node.dyn_args or node.dyn_kwargs)
        if (
            grows is None
            or node.node is None
            or not is_plain
            or self._environment.filters.get(name) is not FILTERS[name]
        ):
            raise _Uncertain
        if not all(isinstance(each, nodes.Const) for each in node.args):
            raise _Uncertain
        if name in _DEFAULT:
            if len(node.args) > 2:
                raise _Uncertain
            given = _sum([self._expression(each, False) for each in node.args])
            if isinstance(node.node, nodes.Name) and node.node.name not in _SPECIAL:
                # That is what it is there for: the variable may be missing.
                return given[0], 1
            return _sum([given, self._expression(node.node, always)])
        if node.args:
            raise _Uncertain
        size, growth = self._expression(node.node, always)
        return size * grows, growth * grows

    def _test(self, node: nodes.Test) -> None:
        name = node.name
        if name not in _TESTS or node.args or self._environment.tests.get(name) is not TESTS[name]:
            raise _Uncertain
        if isinstance(node.node, nodes.Name) and node.node.name not in _SPECIAL:
            return
        self._expression(node.node, False)


def _defined_by(test: nodes.Node, outcome: bool) -> frozenset[str]:
    """Return the variables that are there if a test comes out so: `{% if name is defined and name %}`."""
    if isinstance(test, nodes.Not):
        return _defined_by(test.node, not outcome)
    if isinstance(test, nodes.And) and outcome:
        return _defined_by(test.left, True) | _defined_by(test.right, True)
    if isinstance(test, nodes.Or) and not outcome:
        return _defined_by(test.left, False) | _defined_by(test.right, False)
    if isinstance(test, nodes.Test) and isinstance(test.node, nodes.Name):
        says = {"defined": True, "undefined": False}.get(test.name)
        return frozenset({test.node.name}) if says is outcome else frozenset()
    return frozenset()


def _is_super(node: nodes.Node) -> bool:
    return (
        isinstance(node, nodes.Call)
        and isinstance(node.node, nodes.Name)
        and node.node.name == "super"
        and not node.args
    )


def _sum(sizes: list[tuple[int, int]]) -> tuple[int, int]:
    return sum(size for size, _ in sizes), sum(growth for _, growth in sizes)


def used(environment: Environment, tree: nodes.Template, name: str) -> Iterator[str]:
    """Yield the names of the templates that a template includes, extends or imports.

    Raises:
        TemplateError: a name depends on a variable.
    """
    for other in find_referenced_templates(tree):
        if other is None:
            raise TemplateError(
                f"{name}: it includes, extends or imports a template whose name depends on a variable; a bulk's templates are "
                "put together before its first row, so write the names out, in an {% if %} where they differ"
            )
        yield environment.join_path(other, name)
