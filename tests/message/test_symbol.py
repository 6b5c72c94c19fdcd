"""What is known of a template before there is a row: nothing is guessed from the look of an expression."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
from drafts import body, composer, markdown, read

from bulkmail.message import Composer, Content, Source, TemplateProblem

DATA = {"items": [{"name": "One", "city": "Gent"}, {"name": "<Two>", "city": ""}], "n": 3, "none": None}
CELLS = ["", "Ann", "Gent", "0", "Zoë", "<b>", "a b", " x ", "none", "3"]

# Control flow that depends on a row in ways of all kinds, some of them well hidden.
SOURCES = [
    "{% if name %}a{% else %}b{% endif %}",
    "{% if name is none %}a{% else %}b{% endif %}",
    "{% if name is defined and name is string %}a{% endif %}",
    "{% if name is sameas city %}a{% else %}b{% endif %}",
    "{% if name in ['Ann', 'Zoë'] %}a{% endif %}",
    "{{ 'a' if name == 'Ann' else city }}",
    "{{ name or 'friend' }}{{ name and city }}{{ not name }}",
    "{{ [name, city] | select | join(', ') }}",
    "{{ [name, city] | length }}{{ [name, city] | first }}{{ [name] * 2 }}",
    "{{ {'k': name}['k'] }}{{ {name: 'v'}[name] }}",
    "{{ name ~ '!' }}{{ name + '?' }}{{ '%s' % name }}{{ '{}'.format(name) }}",
    "{{ name | upper }}{{ name | default('x') | lower }}{{ name | e }}{{ name | trim | title }}",
    "{{ name | length }}{{ name[0:2] }}{{ name.upper() }}{{ name | replace('n', city) }}",
    "{{ city | default(name) }}{{ name | truncate(2) }}{{ name | urlencode }}{{ name | int }}",
    "{% for c in name %}{{ loop.index }}{{ c }}{% endfor %}",
    "{% for i in items if i.city == city %}{{ i.name }} {{ name }}{% else %}nobody{% endfor %}",
    "{% for i in items %}{{ i.name }}: {{ name }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for i in items %}{% if i.city %}{{ name }}{% endif %}{% endfor %}",
    "{% set who = name %}{{ who }}{% if who %}!{% endif %}",
    "{% set who = 'you' %}{% if name %}{% set who = name %}{% endif %}{{ who }}",
    "{% set ns = namespace(n=0) %}{% for i in items %}{% set ns.n = 1 %}{% endfor %}{{ ns.n }}{{ name }}",
    "{% set block %}Dear {{ name }}{% endset %}{{ block }}{{ block | upper }}",
    "{% macro hi(x) %}<b>{{ x }}</b>{% if x %}!{% endif %}{% endmacro %}{{ hi(name) }}{{ hi('y') }}",
    "{% macro hi(x) %}<b>{{ x }}</b>{% endmacro %}{{ hi(name) | upper }}",
    "{% filter upper %}Dear {{ name }}{% endfilter %}",
    "{% macro wrap(y) %}[{{ caller(y) }}]{% endmacro %}"
    "{% call(x) wrap(name) %}{{ x }}{{ city }}{% endcall %}",
    "{% with who = name %}{{ who }}{% if who == 'Ann' %}1{% endif %}{% endwith %}",
    "{% raw %}{{ name }}{% endraw %}{{ name }}{# {{ city }} #}",
    "{{ cycler('a', name).next() }}{{ range(n) | list }}",
    "{% macro a(x) %}<b>{{ x }}</b>{% endmacro %}"
    "{% macro b(x) %}{{ a(x) }}{% endmacro %}{{ b(name) | length }}",
    "{% macro a(x) %}<b>{{ x }}</b>{% endmacro %}{% set f = a %}{{ f(name) | upper }}{{ a(a(name)) }}",
    "{{ [city, name] | sort | join }}{{ [name, city] | unique | list | length }}",
    "{{ items | map(attribute='name') | join(name) }}",
    "{{ name | safe }}{{ name | string }}{{ (name, city) }}",
    "{{ b(name) | upper }}{% macro b(x) %}<b>{{ x }}</b>{% endmacro %}{{ b(name) | length }}",
    "{% block s %}Hi {{ name }}{% endblock %} again {{ self.s() }}",
    "{% for i in items recursive %}{{ i.name }}({{ loop(i.more or []) }}{{ name }}){% endfor %}",
    "<p>{{ name | e | safe }}</p>{{ '<i>%s</i>' | format(name | e) | safe }}{{ name | e | upper }}",
    "{{ name.name }}",
    "{{ name.total }}",
    "{{ name._slot }}",
    "{{ '{0.name}'.format(name) }}",
    "{{ items | map(attribute='name') }}",
    "{% print name %}{{ city }}",
    "{% set a %}{% set name = 'x' %}{% endset %}{{ name }}",
    '<p class="{{ name }}" title="{{ city }}" {% if name %}id="x"{% endif %}>x</p>',
]


def html(source: str) -> Composer:
    content = Content(html=Source(source, "x.html"), text_from_html=False)
    return composer(text=None, content=content, data=DATA, inline_css=False)


def plain(source: str) -> Composer:
    return composer(text=source, data=DATA)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(("make", "kind"), [(html, "html"), (plain, "plain")], ids=["html", "plain"])
def test_what_is_put_together_is_what_jinja_would_print(
    make: Callable[[str], Composer], kind: str, source: str
) -> None:
    """I8, I9. One composer writes to everybody, as in a campaign."""
    c = make(source)
    template = c._parts.templates[0]
    for name, city in product(CELLS, CELLS):
        row = {"name": name, "city": city}
        try:
            wanted = template._compiled.render({**DATA, **row})
        except Exception:
            assert c.check(row) is not None
            continue
        if wanted.startswith("<generator"):
            assert c.check(row) is not None
            continue
        assert c.check(row) is None
        assert body(read(c.render("a@b.example", row)), kind).rstrip("\n") == wanted.rstrip("\n")


@pytest.mark.parametrize(
    ("source", "constant"),
    [
        ("{{ name }}{% for i in items %}{{ i.name }} {{ name | upper }}{% endfor %}", True),
        ("{% if n > 2 %}{{ name | default('x') }}{% endif %}", True),
        ("{% macro b(x) %}<i>{{ x }}</i>{% endmacro %}{{ b(name) }}", True),
        ("{% if name %}x{% endif %}", False),
        ("{{ name or 'x' }}", False),
    ],
)
def test_there_is_one_shape_where_control_flow_does_not_depend_on_the_row(
    source: str, constant: bool
) -> None:
    assert (html(source)._parts._shape is not None) is constant


def test_an_address_that_is_also_a_name_in_a_captured_block_stays_the_recipients() -> None:
    """I9."""
    c = plain("{% set a %}{% set email = 'x' %}{% endset %}{{ email }}")
    assert body(read(c.render("ann@b.example", {}))) == "ann@b.example\n"
    assert c.unique


@pytest.mark.parametrize(
    "source",
    [
        "{% set g %}Hi {{ name }}{% endset %}{{ g }}",
        "{% macro b(x) %}{{ x }}{% endmacro %}{{ b(name) }}",
        "{% filter upper %}{{ name }}{% endfilter %}",
    ],
)
def test_what_would_let_a_value_be_markdown_is_refused_with_its_line(source: str) -> None:
    """I9: a stranger's name is no link."""
    with pytest.raises(TemplateProblem, match=r"hello\.md:2: macros"):
        markdown("# Hello\n" + source)


def test_autoescape_is_refused() -> None:
    with pytest.raises(TemplateProblem, match="autoescape"):
        html("{% autoescape false %}{{ name }}{% endautoescape %}")
