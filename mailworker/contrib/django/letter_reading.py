"""What Django's templates do with a row: plain variables, filters that take any text, conditions, layouts.

As `mailworker.mail.letter.jinja_reading`, by the nodes that Django's parser makes. What is not among the nodes and filters below
is rendered; a tag of the project's own may look at any variable.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from django.template import Template
from django.template.base import FilterExpression, Node, TextNode, Variable, VariableNode
from django.template.defaultfilters import (
    capfirst,
    default,
    default_if_none,
    escape_filter,
    force_escape,
    linebreaks_filter,
    linebreaksbr,
    lower,
    title,
    upper,
    urlencode,
)
from django.template.defaulttags import (
    CommentNode,
    DebugNode,
    IfNode,
    LoadNode,
    SpacelessNode,
    TemplateLiteral,
    VerbatimNode,
)
from django.template.library import InclusionNode, SimpleNode
from django.template.loader_tags import BlockNode, ExtendsNode, IncludeNode
from django.template.smartif import TokenBase
from django.templatetags.i18n import BlockTranslateNode

from mailworker.contrib.django.asking import is_guarded, name_of, translated, variable_of
from mailworker.errors import TemplateError
from mailworker.mail.letter.reading import Reading

#: Bytes that a character comes to at the most: four of UTF-8, or six of an entity for one of ASCII.
_BYTES = 6
#: Filter that takes whatever a row may hold -> how many characters of it one becomes at the most.
_FILTERS = {
    capfirst: 3,
    default: 1,
    default_if_none: 1,
    escape_filter: 6,
    force_escape: 6,
    linebreaks_filter: 24,
    linebreaksbr: 12,
    lower: 3,
    title: 3,
    upper: 3,
    urlencode: 12,
}
#: What every context has.
_CONSTANTS = frozenset({"True", "False", "None"})
#: Variables that tags set.
_SPECIAL = frozenset({"block", "forloop"})
_MAX_DEPTH = 20


class _Uncertain(Exception):  # noqa: N818 - no error
    """Something may depend on what stands in a row."""


def outline(nodes: Any) -> Iterator[str]:
    """Yield the text of nodes, with a NUL in place of each expression and tag."""
    for node in nodes:
        if isinstance(node, TextNode):
            yield node.s
        elif isinstance(node, VerbatimNode):
            yield node.content
        else:
            yield "\0"
            for inner in _inside(node):
                yield from outline(inner)
                yield "\0"


def _inside(node: Node) -> list[Any]:
    if isinstance(node, IfNode):
        return [inner for _, inner in node.conditions_nodelists]
    return [inner for attribute in node.child_nodelists if (inner := getattr(node, attribute, None))]


def reading(template: Callable[[str], Template], name: str, known: Collection[str]) -> Reading:
    """Return what a template does with a row.

    Args:
        template: returns a template by its name.
        name: of the one to begin with.
        known: names of the templates that there are.
    """
    names, is_complete = _names(template, name, known)
    unknown = Reading(names, is_complete, is_certain=False)
    if not is_complete:
        return unknown
    walk = _Walk(template, known)
    try:
        walk.template(name, always=True, depth=0)
    except (_Uncertain, RecursionError):
        return unknown
    return Reading(
        names,
        True,
        frozenset(walk.demanded),
        frozenset(walk.needed),
        True,
        walk.size * walk.repeated,
        walk.growth * walk.repeated,
        walk.tags * walk.repeated,
    )


def used(template: Template) -> Iterator[str]:
    """Yield the names of the templates that a template includes or extends.

    Raises:
        TemplateError: a name depends on a variable.
    """
    for node in template.nodelist.get_nodes_by_type(Node):
        yield from named(node, str(template.name))


def named(node: Node, template: str) -> list[str]:
    """Return the names of the templates of which a node shows one.

    Args:
        node: of any kind.
        template: the name of the template that it is in, for errors.

    Raises:
        TemplateError: that depends on a variable.
    """
    if isinstance(node, IncludeNode | ExtendsNode):
        name = node.template if isinstance(node, IncludeNode) else node.parent_name
        if name.is_var or name.filters or not isinstance(name.var, str):
            raise TemplateError(
                f"{template}: it includes or extends a template whose name depends on a variable; a bulk's templates are put "
                "together before its first row, so write the names out, in an {% if %} where they differ"
            )
        return [str(name.var)]
    if isinstance(node, InclusionNode):
        # A tag may also have a template that is compiled already.
        names = [node.filename] if isinstance(node.filename, str) else node.filename
        return [each for each in names if isinstance(each, str)] if isinstance(names, list | tuple) else []
    return []


def _names(template: Callable[[str], Template], name: str, known: Collection[str]) -> tuple[frozenset[str], bool]:
    """Return all names in a template and what it uses, and whether nothing in it can look at others."""
    found: set[str] = set()
    is_complete = True
    seen = {name}
    waiting = [name]
    while waiting:
        one = template(waiting.pop())
        for node in one.nodelist.get_nodes_by_type(Node):
            found |= {*_variables(list(vars(node).values()))}
            if isinstance(node, BlockTranslateNode):
                found |= {*translated(node)}
            is_complete &= _is_known(node)
        for other in used(one):
            if other in known and other not in seen:
                seen.add(other)
                waiting.append(other)
    return frozenset(found - _CONSTANTS), is_complete


def _is_known(node: Node) -> bool:
    """Tell whether a node looks at no variables but those that it names."""
    if isinstance(node, DebugNode):
        return False
    if isinstance(node, SimpleNode | InclusionNode):
        return not node.takes_context
    return type(node).__module__.startswith(("django.template.", "django.templatetags."))


def _variables(value: Any) -> Iterator[str]:
    """Yield the variables in what a node consists of, without the nodes inside it."""
    if isinstance(value, FilterExpression):
        yield from _variables([value.var, *(argument for _, arguments in value.filters for _, argument in arguments)])
    elif isinstance(value, Variable):
        if value.lookups:
            yield str(value.lookups[0])
    elif isinstance(value, TokenBase):
        yield from _variables([value.value, value.first, value.second])
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _variables(each)
    elif isinstance(value, dict):
        yield from _variables(list(value.values()))


class _Walk:
    """Goes through a template as it would be rendered, both ways at each condition.

    Attributes:
        demanded, needed, size, growth, tags: see `Reading`.
        repeated: how often anything may be there again, by `block.super`.
    """

    def __init__(self, template: Callable[[str], Template], known: Collection[str]) -> None:
        self._template = template
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
        if depth > _MAX_DEPTH or name not in self._known:
            raise _Uncertain
        nodes = self._template(name).nodelist
        self.repeated *= 1 + sum(_is_super(each.filter_expression) for each in nodes.get_nodes_by_type(VariableNode))
        self._nodes(nodes, always, depth)

    def _nodes(self, nodes: Any, always: bool, depth: int) -> None:
        for node in nodes:
            if isinstance(node, TextNode):
                self._text(node.s)
            elif type(node) is VariableNode:
                size, growth = self._expression(node.filter_expression, always)
                self.size += size * _BYTES
                self.growth += growth * _BYTES
            elif type(node) is IfNode:
                self._if(node, always, depth)
            elif type(node) is VerbatimNode:
                self._text(node.content)
            elif type(node) in (SpacelessNode, BlockNode, ExtendsNode, IncludeNode):
                self._group(node, always, depth)
            elif type(node) not in (CommentNode, LoadNode):
                raise _Uncertain

    def _text(self, text: str) -> None:
        self.size += len(text.encode())
        self.tags += text.count("<")

    def _group(self, node: Any, always: bool, depth: int) -> None:
        if isinstance(node, SpacelessNode):
            self._nodes(node.nodelist, always, depth)
        elif isinstance(node, BlockNode):
            # It stands where the layout has it, whatever is around it here.
            with self._known_by(None, True, afresh=True):
                self._nodes(node.nodelist, False, depth)
        elif isinstance(node, ExtendsNode):
            self._nodes(node.nodelist, False, depth)
            self.template(str(node.parent_name.var), always=False, depth=depth + 1)
        elif node.extra_context or node.isolated_context:
            raise _Uncertain
        else:
            self.template(str(node.template.var), always=always, depth=depth + 1)

    def _if(self, node: IfNode, always: bool, depth: int) -> None:
        before = self._granted
        for condition, nodes in node.conditions_nodelists:
            if condition is not None:
                self._condition(condition)
            with self._known_by(condition, True):
                self._nodes(nodes, False, depth)
            # The next branch is there only if this one's condition is false.
            self._granted |= _defined_by(condition, False)
        self._granted = before

    @contextmanager
    def _known_by(self, condition: Any, outcome: bool, *, afresh: bool = False) -> Iterator[None]:
        """Take the variables for granted that are there if a condition comes out so, and those that are already unless `afresh`."""
        before = self._granted
        self._granted = _defined_by(condition, outcome) | (frozenset() if afresh else before)
        try:
            yield
        finally:
            self._granted = before

    def _condition(self, condition: Any) -> None:
        """Check that a condition comes out one way or the other: variables may be missing there, but filters may fail."""
        if isinstance(condition, TemplateLiteral):
            _filters(condition.value)
            variable = variable_of(condition.value)
            if variable is not None and len(variable.lookups or ()) > 1:
                raise _Uncertain
            return
        for each in (condition.first, condition.second):
            if each is not None:
                self._condition(each)

    def _expression(self, expression: FilterExpression, always: bool) -> tuple[int, int]:
        """Return how many characters an expression comes to at the most, and how many for each of the row's."""
        if _is_super(expression):
            return 0, 0
        given, grows = _filters(expression)
        variable = variable_of(expression)
        if variable is None:
            return (len(str(expression.var)) + given) * grows, 0
        name = name_of(expression)
        if name is None and not variable.translate:
            return (len(str(variable.literal)) + given) * grows, 0
        if name is None or len(variable.lookups) > 1 or name in _SPECIAL:
            raise _Uncertain
        if name not in _CONSTANTS and not is_guarded(expression) and name not in self._granted:
            self.demanded.add(name)
            if always:
                self.needed.add(name)
        return given * grows, grows


def _filters(expression: FilterExpression) -> tuple[int, int]:
    """Return how many characters an expression's filters add at the most, and how often they repeat one.

    Raises:
        _Uncertain: one of them may fail.
    """
    given, grows = len("<p></p>") if expression.filters else 0, 1
    for function, arguments in expression.filters:
        if function not in _FILTERS or any(is_variable for is_variable, _ in arguments):
            raise _Uncertain
        given += sum(len(str(argument)) for _, argument in arguments)
        grows *= _FILTERS[function]
    return given, grows


def _is_super(expression: FilterExpression) -> bool:
    variable = variable_of(expression)
    return variable is not None and variable.lookups == ("block", "super") and not expression.filters


def _defined_by(condition: Any, outcome: bool) -> frozenset[str]:
    """Return the variables that are there if a condition comes out so: `{% if name and other %}`."""
    if isinstance(condition, TemplateLiteral):
        name = None if is_guarded(condition.value) else name_of(condition.value)
        return frozenset({name}) if outcome and name and not condition.value.filters else frozenset()
    kind = getattr(condition, "id", None)
    if kind == "not":
        return _defined_by(condition.first, not outcome)
    if (kind == "and" and outcome) or (kind == "or" and not outcome):
        return _defined_by(condition.first, outcome) | _defined_by(condition.second, outcome)
    return frozenset()
