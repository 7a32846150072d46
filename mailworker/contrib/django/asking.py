"""Makes Django's templates of a bulk ask for their variables: one that a row lacks is an error and no empty text.

What a tag or a filter expects to be missing is not asked for: what stands in the condition of `{% if %}`, in `{% for %}`,
`{% firstof %}` and the like, or before `default` and `default_if_none`. Nor is an attribute of what is there. Times are text in a row: a filter for times
would show nothing, and says so in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.template import Template
from django.template.base import FilterExpression, Token, TokenType, VariableNode
from django.template.defaultfilters import date, default, default_if_none, time, timesince_filter, timeuntil_filter
from django.templatetags.i18n import BlockTranslateNode

from mailworker.errors import TemplateError

_FOR_TIMES = frozenset({date, time, timesince_filter, timeuntil_filter})


def variable_of(expression: FilterExpression) -> Any:
    """Return the `django.template.base.Variable` that an expression begins with; None if it begins with a constant."""
    return expression.var if expression.is_var else None


def name_of(expression: FilterExpression) -> str | None:
    """Return the variable of the context that an expression begins with; None if it begins with a constant."""
    variable = variable_of(expression)
    return str(variable.lookups[0]) if variable is not None and variable.lookups else None


def is_guarded(expression: FilterExpression) -> bool:
    """Tell whether an expression's variable may be missing."""
    return any(function in (default, default_if_none) for function, _ in expression.filters)


def translated(node: BlockTranslateNode) -> list[str]:
    """Return the variables in a text to be translated that do not come from its own tag."""
    tokens: Iterable[Token] = (*node.singular, *(node.plural or ()))
    own = {*node.extra_context, node.countervar}
    return [each.contents for each in tokens if each.token_type == TokenType.VAR and each.contents not in own]


def ask(template: Template, name: str) -> None:
    """Make a template ask for its variables, as long as it lives.

    Args:
        template: compiled, and used for bulks alone.
        name: for errors.
    """
    for node in template.nodelist.get_nodes_by_type(VariableNode):
        variable = name_of(node.filter_expression)
        if variable is not None:
            node.render = _asking(node.render, variable, node.filter_expression, _place(name, node))
    for node in template.nodelist.get_nodes_by_type(BlockTranslateNode):
        node.render = _asking_all(node.render, translated(node), _place(name, node))


Render = Callable[[Any], Any]


def _asking(render: Render, variable: str, expression: FilterExpression, place: str) -> Render:
    functions = [function for function, _ in expression.filters]
    if default_if_none in functions:

        def asked(context: Any) -> Any:
            if variable in context:
                return render(context)
            # What is None in a row is not in the row at all.
            with context.push(**{variable: None}):
                return render(context)

    elif default in functions:
        return render
    elif functions and functions[0] in _FOR_TIMES:

        def asked(context: Any) -> Any:
            _check(variable, context, place)
            if isinstance(context[variable], str):
                raise TemplateError(
                    f"{place}: {expression.token} shows nothing, for times are text in the row of a bulk; let the row have it as "
                    "it shall be read"
                )
            return render(context)

    else:
        return _asking_all(render, [variable], place)
    return asked


def _asking_all(render: Render, variables: list[str], place: str) -> Render:
    def asked(context: Any) -> Any:
        for variable in variables:
            _check(variable, context, place)
        return render(context)

    return asked


def _check(variable: str, context: Any, place: str) -> None:
    if variable not in context:
        own = {"True", "False", "None"}
        names = ", ".join(sorted(set(context.flatten()) - own)) or "nothing"
        raise TemplateError(f"{place}: {variable!r} is undefined; the context has {names}")


def _place(name: str, node: Any) -> str:
    return f"{name}, line {node.token.lineno}" if node.token else name
