"""The API's calls as one page for people, made from the OpenAPI document. No script and nothing from elsewhere.

The usual viewers load their code from other servers: a page beside an API with keys should not, and this one also works
on a machine without a network. Pure.
"""

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #888; --tint: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 2rem 1rem; }
code, .path { font-family: ui-monospace, monospace; font-size: .92em; }
header p, .soft { color: var(--soft); } h2 { margin-top: 2.5rem; }
details { border: 1px solid var(--line); border-radius: .5rem; margin: .5rem 0; }
summary { cursor: pointer; padding: .6rem .9rem; } details > div { padding: 0 .9rem .9rem; }
.method { display: inline-block; width: 4rem; font-weight: 700; font-size: .85em; }
.GET { color: #2a7; } .POST { color: #27c; } .PUT { color: #b70; } .PATCH { color: #a4c; } .DELETE { color: #c33; }
table { border-collapse: collapse; width: 100%; }
td { border-top: 1px solid var(--line); padding: .3rem .6rem .3rem 0; vertical-align: top; }
td:first-child { white-space: nowrap; width: 1%; padding-right: 1.5rem; }
h4 { margin: 1rem 0 .3rem; }
.brief { float: right; }
"""
Schema = dict[str, Any]


def page(document: dict[str, Any]) -> str:
    """The whole page."""
    info = document["info"]
    shapes = document["components"]["schemas"]
    sections = "".join(_section(tag, document) for tag in document["tags"])
    types = "".join(f'<details id="{name}"><summary><code>{name}</code></summary><div>{_fields(shape)}</div></details>'
                    for name, shape in shapes.items())  # fmt: skip
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])}: the API</title><style>{STYLE}</style></head><body><header>"
        f"<h1>{escape(info['title'])} <small class='soft'>{escape(info['version'])}</small></h1>"
        f"<p>{_prose(info['description'])}</p><p>The same for programs: <a href='/openapi.json'>openapi.json</a></p>"
        f"</header>{sections}<h2>Answers</h2>{types}</body></html>"
    )


def _section(tag: dict[str, str], document: dict[str, Any]) -> str:
    found = [
        _operation(method.upper(), path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if operation["tags"] == [tag["name"]]
    ]
    return f"<h2>{escape(tag['name'])}</h2><p class='soft'>{_prose(tag['description'])}</p>{''.join(found)}"


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [f"<p>{_prose(operation['summary'])}</p>"]
    brief = operation["operationId"].removeprefix("get_").replace("_", " ")
    if "requestBody" in operation:
        ((media, content),) = operation["requestBody"]["content"].items()
        if content["schema"].get("properties"):
            parts.append(f"<h4>Body <span class='soft'>{escape(media)}</span></h4>{_fields(content['schema'])}")
    parameters = [each for each in operation["parameters"] if each["in"] != "path"]
    if parameters:
        rows = (
            (each["name"], f"{_prose(each.get('description', ''))} <span class=soft>{_kind(each['schema'])}</span>")
            for each in parameters
        )
        parts.append(f"<h4>Parameters and headers</h4>{_table(rows)}")
    parts.append(f"<h4>Answers</h4>{_table(_answers(operation['responses']))}")
    return (
        f'<details id="{operation["operationId"]}"><summary><span class="method {method}">{method}</span>'
        f'<span class="path">{escape(path)}</span> <span class="soft brief">{_prose(brief)}</span></summary>'
        f"<div>{''.join(parts)}</div></details>"
    )


def _answers(responses: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for status, response in responses.items():
        schema = next(iter(response.get("content", {"": {}}).values())).get("schema", {})
        shape = _kind(schema) if int(status) < 300 else ""  # noqa: PLR2004 - HTTP's own border
        lines = [_prose(line.removeprefix("- ")) for line in response["description"].splitlines()]
        yield status, f"{shape} {'<br>'.join(lines)}"


def _fields(schema: Schema) -> str:
    required = set(schema.get("required", ()))
    rows = (
        (name, f"{_kind(rule)} {'' if name in required else '<span class=soft>optional</span>'}")
        for name, rule in schema["properties"].items()
    )
    meaning = schema.get("description")
    return (f"<p>{_prose(meaning)}</p>" if meaning else "") + _table(rows)


def _kind(schema: Schema) -> str:
    if isinstance(schema.get("type"), list):  # an optional field, which is marked as one: null adds nothing for people
        schema = {**schema, "type": schema["type"][0]}
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(word))}</code>" for word in schema["enum"])
    if schema.get("type") == "array":
        most = f", at most {schema['maxItems']}" if "maxItems" in schema else ""
        return f"list of {_kind(schema['items'])}{most}"
    return escape(_plain(schema))


def _plain(schema: Schema) -> str:
    kind = "uuid" if schema.get("format") == "uuid" else str(schema.get("type", "any"))
    if "maxLength" in schema:
        kind += f", {schema.get('minLength', 0)} to {schema['maxLength']:,} characters"
    if "maximum" in schema:
        kind += f", {schema['minimum']:,} to {schema['maximum']:,}"
    if schema.get("properties"):
        kind += " {" + ", ".join(schema["properties"]) + "}"
    return kind


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td><code>{escape(name)}</code></td><td>{told}</td></tr>" for name, told in rows)
    return f"<table>{cells}</table>"


def _prose(text: str) -> str:
    # Backticks mark code in our own declarations; nothing here comes from a caller.
    words = escape(" ".join(text.split())).split("`")
    return "".join(f"<code>{word}</code>" if number % 2 else word for number, word in enumerate(words))
