"""The page `/docs`: the OpenAPI document as one page without scripts, fonts or other hosts."""

import re
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.app.openapi import openapi
from serve.openapi.schema_text import Document, resolve, shape_of, write

# Stands in the commands until the request shows the host name of the server.
_ORIGIN = "http://127.0.0.1:8000/"
_POLICY = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"}


def docs_routes() -> list[Route]:
    """The routes `/docs` and `/openapi.json`."""
    document = openapi()
    page, content = render(document), orjson.dumps(document)

    async def show(request: Request) -> Response:
        here = page.replace(_ORIGIN, escape(str(request.base_url)))
        return Response(here, headers=_POLICY, media_type="text/html")

    async def tell(request: Request) -> Response:
        return Response(content, media_type="application/json")

    return [Route("/docs", show), Route("/openapi.json", tell)]


def render(document: Document) -> str:
    """Render the document as HTML."""
    about, tags = document["info"], document["tags"]
    links = "".join(f'<a href="#{escape(tag["name"])}">{escape(tag["name"])}</a>' for tag in tags)
    css = Path(__file__).with_name("page.css").read_text()
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(about["title"])}</title>
<style>
{css}</style>
</head>
<body>
<div class="house">
<nav>{links}<a href="openapi.json">openapi.json</a></nav>
<main>
<h1>{escape(about["title"])}<small>{escape(about["version"])}</small></h1>
{_prose(about["description"])}
{"".join(_section(document, tag) for tag in tags)}
</main>
</div>
</body>
</html>
"""


def _section(document: Document, tag: Mapping[str, str]) -> str:
    operations = "".join(
        _operation(document, method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if tag["name"] in operation["tags"]
    )
    name = escape(tag["name"])
    return f'<section id="{name}">\n<h2>{name}</h2>\n{_prose(tag["description"])}\n{operations}</section>\n'


def _operation(document: Document, method: str, path: str, operation: Mapping[str, Any]) -> str:
    marked = re.sub(r"\{\w+\}", lambda match: f"<i>{match[0]}</i>", escape(path))
    head = (
        f'<summary class="{method}"><span class="method">{method.upper()}</span>'
        f'<code class="path">{marked}</code>'
        f'<span class="what">{escape(operation["summary"])}</span></summary>'
    )
    parts = [
        _prose(operation.get("description", "")),
        *_commands(document, method, path, operation),
        *_parameters(document, operation),
        *_body(document, operation),
        *_answers(document, operation),
    ]
    opened = " open" if path == next(iter(document["paths"])) else ""
    return (
        f'<details class="operation"{opened}>{head}\n<div class="detail">{"".join(parts)}</div>\n</details>\n'
    )


def _commands(document: Document, method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    """A curl command for each example of a body."""
    for parameter in operation.get("parameters", ()):
        known = resolve(document, parameter)
        path = path.replace(f"{{{known['name']}}}", str(known.get("example")))
    url = _ORIGIN + path.removeprefix("/")
    if method == "get":
        yield f"<pre>curl {escape(url)}</pre>"
        return
    examples = operation["requestBody"]["content"]["application/json"]["examples"]
    for example in examples.values():
        # Escape quotes for the shell.
        body = write(example["value"]).replace("'", r"'\''")
        verb = "" if method == "post" else f"-X {method.upper()} "
        command = f"curl {verb}{url} \\\n  -H 'content-type: application/json' -d '{body}'"
        yield f"<figure><figcaption>{escape(example['summary'])}</figcaption>"
        yield f"<pre>{escape(command, quote=False)}</pre></figure>"


def _parameters(document: Document, operation: Mapping[str, Any]) -> Iterator[str]:
    known = [resolve(document, parameter) for parameter in operation.get("parameters", ())]
    if known:
        rows = "".join(
            f"<tr><td><code>{escape(parameter['name'])}</code><small>{_place(parameter)}</small></td>"
            f"<td>{_marked(parameter['description'])}</td></tr>"
            for parameter in known
        )
        yield f"<h4>Parameters</h4>\n<table>{rows}</table>\n"


def _place(parameter: Mapping[str, Any]) -> str:
    places = {"path": " in the path", "query": " in the query", "header": ", a header"}
    return escape(parameter["schema"]["type"]) + places[parameter["in"]]


def _body(document: Document, operation: Mapping[str, Any]) -> Iterator[str]:
    if body := operation.get("requestBody"):
        yield f"<h4>Body{'' if body['required'] else ', if any'}</h4>\n{_media(document, body['content'])}"


def _answers(document: Document, operation: Mapping[str, Any]) -> Iterator[str]:
    yield '<h4>Answers</h4>\n<table class="answers">'
    for status, response in operation["responses"].items():
        answer_object = resolve(document, response)
        error = " error" if status >= "400" else ""
        shown = (
            "" if error else _media(document, answer_object["content"]) + _example(answer_object["content"])
        )
        yield f'<tr><td><span class="status{error}">{status}</span></td>'
        yield f"<td>{_marked(answer_object['description'])}{shown}</td></tr>"
    yield "</table>"


def _media(document: Document, content: Mapping[str, Any]) -> str:
    """The media types of a body, and the shape of the one with a schema."""
    names = ", ".join(f"<code>{escape(name)}</code>" for name in content)
    shapes = [shape_of(document, media["schema"]) for media in content.values() if "schema" in media]
    if not shapes or shapes[0] == "{}":
        return f'<div class="soft">{names}</div>'
    lines = re.sub(r"(//.*)", r'<span class="comment">\1</span>', escape(shapes[0], quote=False))
    return f'<details class="shape"><summary>{names}</summary><pre>{lines}</pre></details>'


def _example(content: Mapping[str, Any]) -> str:
    examples = [media["example"] for media in content.values() if "example" in media]
    return "".join(f"<pre>{escape(write(example), quote=False)}</pre>" for example in examples)


def _prose(text: str) -> str:
    """Paragraphs, separated by empty lines."""
    return "".join(f"<p>{_marked(paragraph)}</p>" for paragraph in text.split("\n\n") if paragraph)


def _marked(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
