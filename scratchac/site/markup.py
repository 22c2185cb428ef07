"""Markdown to HTML: formulas become MathML, code is coloured, headings get anchors, links lead to the site's pages."""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from scratchac.errors import UserError

# What Markdown must not touch: code, and formulas. The first group is code, the others are formulas.
KEPT = re.compile(r"(^```.*?^```$|`[^`\n]+`)|\$\$(.+?)\$\$|\$([^$\n]+(?:\n[^$\n]+)?)\$", re.DOTALL | re.MULTILINE)
MARK = "\ue000{}\ue001"                                             # stands for a piece of HTML while Markdown is read
MARKS = re.compile("(?:<p>)?\ue000(\\d+)\ue001(?:</p>)?")
TAGS = re.compile(r"<[^>]+>")


def coloured(code: str, language: str = "python") -> str:
    """Code as HTML with classes for its parts, without an element around it."""
    try:
        lexer = get_lexer_by_name(language or "text", stripnl=False)
    except Exception:                                               # a language without a lexer
        lexer = get_lexer_by_name("text")
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True))).rstrip("\n")


def code_block(code: str, language: str = "python") -> str:
    """A block of code."""
    return f'<pre class="code"><code>{coloured(code, language)}</code></pre>'


def formula(latex: str, display: bool) -> str:
    """A formula as MathML. Raises UserError if it has a command that is not known."""
    try:
        made = str(convert(latex, display="block" if display else "inline"))
    except Exception as error:                                      # the converter's own
        raise UserError(f"the formula {latex} cannot be shown: {error!r}") from None
    if "\\" in TAGS.sub("", made):
        raise UserError(f"the formula {latex} has a command that is not known")
    return f'<div class="formula">{made}</div>' if display else made


def slug(text: str) -> str:
    """The anchor of a heading, as on GitHub."""
    return re.sub(r"[^\w -]", "", html.unescape(TAGS.sub("", text))).strip().lower().replace(" ", "-")


def plain(page: str) -> str:
    """The text of a piece of HTML, for the search box: without tags, formulas and code."""
    page = re.sub(r"<(math|pre|svg|style|script)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(TAGS.sub(" ", page))).strip()


@dataclass
class Text:
    """A text while it becomes HTML: `hold` keeps a piece of HTML away from Markdown."""

    held: list[str] = field(default_factory=list)

    def hold(self, piece: str) -> str:
        """A mark that stands for a piece of HTML until `page` puts it back."""
        self.held.append(piece)
        return MARK.format(len(self.held) - 1)

    def page(self, text: str, link: Callable[[str], str]) -> tuple[str, list[tuple[int, str, str]]]:
        """The text as HTML, and its headings as (level, anchor, text). `link` gives the address for that of a link in the text."""
        def keep(found: re.Match[str]) -> str:
            if found[1] is not None:
                return found[0]
            made = self.hold(formula((found[2] or found[3]).strip(), found[2] is not None))
            return f"\n\n{made}\n\n" if found[2] is not None and _alone(found) else made

        rendered, headings = _render(KEPT.sub(keep, text), link)
        while MARKS.search(rendered):                               # a held piece may hold others
            rendered = MARKS.sub(lambda found: self.held[int(found[1])], rendered)
        return rendered, headings


def _alone(found: re.Match[str]) -> bool:
    """Whether a formula stands in lines of its own, where it does not belong to a list or a table."""
    before, after = found.string[: found.start()], found.string[found.end() :]
    return (not before or before.endswith("\n")) and (not after or after.startswith("\n"))


class _Renderer(RendererHTML):
    def fence(self, tokens: Any, idx: int, options: Any, env: Any) -> str:
        return code_block(tokens[idx].content.rstrip("\n"), tokens[idx].info.strip()) + "\n"

    def table_open(self, tokens: Any, idx: int, options: Any, env: Any) -> str:
        return '<div class="wide"><table>\n'

    def table_close(self, tokens: Any, idx: int, options: Any, env: Any) -> str:
        return "</table></div>\n"


def _render(text: str, link: Callable[[str], str]) -> tuple[str, list[tuple[int, str, str]]]:
    reader = MarkdownIt("commonmark", {"html": True}, renderer_cls=_Renderer).enable("table")
    env: dict[str, Any] = {}
    tokens = reader.parse(text, env)
    headings, taken = [], set()
    for i, token in enumerate(tokens):
        for child in token.children or []:
            name = {"link": "href", "link_open": "href", "image": "src"}.get(child.type)
            if name:
                child.attrSet(name, link(str(child.attrGet(name))))
        if token.type == "heading_open":
            inline = tokens[i + 1]
            own = re.match(r'<a id="([\w-]+)"></a>', inline.content)
            shown = reader.renderer.render([inline], reader.options, env)
            anchor = own[1] if own else slug(shown)
            while anchor in taken:                                  # GitHub numbers the second one, too
                anchor += "-1"
            taken.add(anchor)
            if not own:
                token.attrSet("id", anchor)
            headings.append((int(token.tag[1]), anchor, TAGS.sub("", shown)))
    return str(reader.renderer.render(tokens, reader.options, env)), headings
