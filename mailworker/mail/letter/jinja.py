"""Letters by Jinja2: templates are gathered with all that they include, extend or import, and bound together again from that.

The environment of a letter is that of the templates' folders but for its loader; MAILWORKER_TEMPLATE_SETUP adds to it as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from jinja2 import FunctionLoader, TemplateNotFound, nodes

from mailworker.errors import TemplateError
from mailworker.mail.letter.jinja_reading import reading, used
from mailworker.mail.letter.reading import Reading
from mailworker.mail.template.engine import Engine
from mailworker.mail.template.jinja import JinjaEngine, JinjaTemplate, set_up
from mailworker.settings import Settings


def gathered(engine: Engine, names: Iterable[str], fields: Mapping[str, str]) -> dict[str, str]:
    """Return the sources of templates and of all that they use, see `mailworker.mail.letter.binding.Binder`."""
    assert isinstance(engine, JinjaEngine)
    environment = engine.environment
    assert environment.loader is not None
    sources: dict[str, str] = {}
    trees: dict[str, nodes.Template] = {}
    waiting = [*fields, *names]
    while waiting:
        name = waiting.pop()
        if name in trees:
            continue
        source, file = fields.get(name), None
        with engine.told(name, {}):
            if source is None:
                try:
                    source, file, _ = environment.loader.get_source(environment, name)
                except TemplateNotFound:
                    # Whether it may be missing is for the template that names it to say, see `_check`.
                    continue
                sources[name] = source
            tree = trees[name] = environment.parse(source, name, file)
        waiting += used(environment, tree, name)
    for name, tree in trees.items():
        _check(engine, tree, name, sources)
    return sources


def _check(engine: JinjaEngine, tree: nodes.Template, name: str, known: Collection[str]) -> None:
    """Check that what a template cannot do without is there."""
    for node in tree.find_all((nodes.Extends, nodes.FromImport, nodes.Import, nodes.Include)):
        assert isinstance(node, nodes.Extends | nodes.FromImport | nodes.Import | nodes.Include)
        if isinstance(node, nodes.Include) and node.ignore_missing:
            continue
        choice = node.template.as_const()
        names = [engine.environment.join_path(each, name) for each in ([choice] if isinstance(choice, str) else choice)]
        if not any(each in known for each in names):
            raise TemplateError(
                f"{name}, line {node.lineno}: it uses {' or '.join(map(repr, names))}, which is not in {engine.where}"
            )


def bound(conf: Settings, sources: Mapping[str, str]) -> BoundByJinja:
    """Return templates out of their sources, see `mailworker.mail.letter.binding.Binder`."""
    made = BoundByJinja(sources)
    set_up(made.engine.environment, conf)
    # The project's function may have set another one.
    made.engine.environment.loader = made.loader
    return made


class BoundByJinja:
    """Jinja2's templates out of their sources."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self.loader = FunctionLoader(
            lambda name: (sources[name], name, lambda: True) if name in sources else None,
        )
        self.engine = JinjaEngine(self.loader, "the letter", lambda name: None, sources.__contains__)
        self._sources = sources
        self._trees: dict[str, nodes.Template] = {}

    def compiled(self, name: str) -> JinjaTemplate:
        found = self.engine.find(name)
        if found is None:
            raise TemplateError(f"the letter has no template {name!r}")
        return found

    def constant(self, name: str) -> str | None:
        outline = self.outline(name)
        return None if "\0" in outline else outline

    def reading(self, name: str) -> Reading:
        with self.engine.told(name, {}):
            return reading(self.engine.environment, self._tree, name, self._sources)

    def outline(self, name: str) -> str:
        return "".join(_outline(self._tree(name)))

    def _tree(self, name: str) -> nodes.Template:
        tree = self._trees.get(name)
        if tree is None:
            with self.engine.told(name, {}):
                tree = self._trees[name] = self.engine.environment.parse(self._sources[name], name, name)
        return tree


def _outline(node: nodes.Node) -> Iterator[str]:
    if isinstance(node, nodes.TemplateData):
        yield node.data
    elif isinstance(node, nodes.Expr):
        yield "\0"
    else:
        is_tag = not isinstance(node, nodes.Output | nodes.Template)
        if is_tag:
            yield "\0"
        for child in node.iter_child_nodes():
            # What a tag says itself is no text of the template.
            if not is_tag or isinstance(child, nodes.Stmt):
                yield from _outline(child)
        if is_tag:
            yield "\0"
