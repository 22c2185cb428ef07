"""What can be wrong with a site that has been built: links and anchors that lead nowhere, and addresses outside."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[tuple[str, str]] = []              # (tag, address)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        self.links += [(tag, str(given[name])) for name in ("href", "src") if given.get(name)]


def complaints(folder: Path) -> list[str]:
    """All links, pictures and anchors of the pages in a folder that are wrong, one line each."""
    pages = {}
    for path in sorted(folder.rglob("*.html")):
        pages[path.resolve()] = page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
    wrong = []
    for path, page in pages.items():
        name = path.relative_to(folder.resolve())
        wrong += [f"{name}: the anchor {one} occurs twice" for one in sorted({x for x in page.ids if page.ids.count(x) > 1})]
        for tag, address in page.links:
            target, anchor = urldefrag(address)
            if target.startswith(("http:", "https:", "//")):
                if tag != "a":
                    wrong.append(f"{name}: {tag} loads {target}")
                continue
            if target.startswith("data:"):
                continue
            file = (path.parent / unquote(target)).resolve() if target else path
            if not file.is_file():
                wrong.append(f"{name}: {address} leads nowhere")
            elif anchor and file in pages and unquote(anchor) not in pages[file].ids:
                wrong.append(f"{name}: {address} leads to no anchor")
    return wrong
