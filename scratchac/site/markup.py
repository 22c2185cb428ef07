"""Markdown to HTML: formulas become MathML, code is coloured, headings get anchors, links lead to the site's pages."""

import contextlib
import html
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from scratchac.errors import UserError

# What Markdown must not touch: code, and formulas. The first group is code, the others are formulas.
KEPT = re.compile(r"(^```.*?^```$|`[^`\n]+`)|\$\$(.+?)\$\$|\$([^$\n]+(?:\n[^$\n]+)?)\$", re.DOTALL | re.MULTILINE)
MARK = "\ue000{}\ue001"                                             # stands for a piece of HTML while Markdown is read
MARKS = re.compile("(?:<p>)?\ue000(\\d+)\ue001(?:</p>)?")
LETTER = re.compile(r'<mi mathvariant="(double-struck|script|bold)">([A-Za-z])</mi>')
# A formula and the point or bracket after it, between which no line may break.
BEFORE_POINT = re.compile(r'(<math [^>]*display="inline">(?:(?!<math ).)*?</math>)([.,;:!?)\]”’]+)', re.DOTALL)
SOURCE = re.compile(r'\b(src|srcset)="([^"]+)"')                        # of pictures that are written as HTML, for light and dark
TAGS = re.compile(r"<[^>]+>")
BREAKS = ("=", "+", "-", "\\le", "\\ge", "\\approx", "\\propto", "\\to", "\\sim", "\\ne", "\\Rightarrow", "\\mapsto")
OPEN, CLOSE = ("(", "[", "\\{", "\\lvert", "\\lVert"), (")", "]", "\\}", "\\rvert", "\\rVert")
ALPHABETS = {"mathbb", "mathbf", "mathcal", "mathrm", "mathit", "mathsf", "mathop", "mathbin", "mathrel"}
OUTSIDE = ("http:", "https:")


class WrongText(UserError):
    """A text is wrong near the words `near`."""

    def __init__(self, message: str, near: str) -> None:
        super().__init__(message)
        self.near = near


def coloured(code: str, language: str = "python") -> str:
    """Code as HTML with classes for its parts, without an element around it."""
    try:
        lexer = get_lexer_by_name(language or "text", stripnl=False)
    except ClassNotFound:
        lexer = get_lexer_by_name("text", stripnl=False)
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True))).rstrip("\n")


def code_block(code: str, language: str = "python") -> str:
    """A block of code."""
    return f'<pre class="code" tabindex="0"><code>{coloured(code, language)}</code></pre>'


@cache
def formula(latex: str, display: bool) -> str:
    """A formula as MathML, in several elements where a line may break. Raises WrongText if it has a command that is not known."""
    if unknown := set(re.findall(r"\\(math[a-z]*)", latex)) - ALPHABETS:             # which the converter drops
        raise WrongText(f"the formula {latex} has a command that is not known: {', '.join(unknown)}", latex)
    if (braces := re.sub(r"\\[{}]", "", latex)).count("{") != braces.count("}"):
        raise WrongText(f"the braces of the formula {latex} do not match", latex)
    if not display and len(pieces := breakable(latex)) > 1:
        later = (re.sub(r"<mo\b", '<mo form="infix"', formula(piece, False), count=1) for piece in pieces[1:])
        return formula(pieces[0], False) + "".join(later)
    try:
        made = str(convert(latex, display="block" if display else "inline"))
    except Exception as error:                                      # the converter's own
        raise WrongText(f"the formula {latex} cannot be shown: {error!r}", latex) from None
    if "\\" in html.unescape(TAGS.sub("", made)):
        raise WrongText(f"the formula {latex} has a command that is not known", latex)
    made = LETTER.sub(lambda found: f"<mi>{letter(found[2], found[1])}</mi>", made)
    # A prime is raised already: as a superscript it would be raised twice.
    made = re.sub(r"<msup>(<mi>[^<]*</mi>)<mi>(&#x0203[23];)</mi></msup>", r"<mrow>\1<mi>\2</mi></mrow>", made)
    made = re.sub(r"<msubsup>(<mi>[^<]*</mi>)((?:<mi>|<mn>)[^<]*(?:</mi>|</mn>))<mi>(&#x0203[23];)</mi></msubsup>",
                  r"<msub><mrow>\1<mi>\3</mi></mrow>\2</msub>", made)
    return f'<span class="formula" tabindex="0">{made}</span>' if display else made


def letter(plain_letter: str, style: str) -> str:
    """The letter of an alphabet of mathematics, such as 𝔼: browsers do not know the styles of letters."""
    name = {"double-struck": "DOUBLE-STRUCK", "script": "SCRIPT", "bold": "BOLD"}[style]
    size = "CAPITAL" if plain_letter.isupper() else "SMALL"
    for prefix in ("MATHEMATICAL ", ""):                            # ℝ and some others are older than the alphabets
        with contextlib.suppress(KeyError):
            return unicodedata.lookup(f"{prefix}{name} {size} {plain_letter.upper()}")
    return plain_letter


def breakable(latex: str, brackets: int = 0) -> list[str]:
    """The parts of a formula between which a line may break, if it is long: before relations and sums.

    brackets    how many brackets may be open there: none, but one in a part that is still long
    """
    if len(latex) < 30 or "\\left" in latex or "\\begin" in latex:
        return [latex]
    parts, open_brackets, braces, last = [], 0, 0, 0
    for found in re.finditer(r"\\[A-Za-z]+|\\.|[{}()\[\]=+-]", latex):
        sign, before = found[0], latex[: found.start()]
        braces += (sign == "{") - (sign == "}")
        open_brackets += (sign in OPEN) - (sign in CLOSE)
        free = sign in BREAKS and not braces and open_brackets <= brackets
        if free and found.start() - last > 2 and before.rstrip()[-1] not in "^_([":
            parts.append(latex[last : found.start()])
            last = found.start()
    parts.append(latex[last:])
    return parts if brackets else [piece for part in parts for piece in (breakable(part, 1) if len(part) > 45 else [part])]


def slug(text: str) -> str:
    """The anchor of a heading, as on GitHub."""
    return re.sub(r"[^\w -]", "", html.unescape(TAGS.sub("", text))).strip().lower().replace(" ", "-")


def plain(page: str) -> str:
    """The text of a piece of HTML, for the search box: without tags, formulas and code."""
    page = re.sub(r"<(math|pre|svg|style|script)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(TAGS.sub(" ", page))).strip()


def in_sentences(body: str, change: Callable[[str], str]) -> str:
    """HTML whose sentences are changed; headings, links, bold words, formulas, pictures and code stay."""
    kept = r"<(pre|a|svg|math|h\d|summary|code|dt|b|strong|th)\b.*?</\1>|<[^>]+>"
    made, last = [], 0
    for found in re.finditer(kept, body, re.DOTALL):
        made += [change(body[last : found.start()]), found[0]]
        last = found.end()
    return "".join([*made, change(body[last:])])


@dataclass
class Text:
    """A text while it becomes HTML: `hold` keeps a piece of HTML away from Markdown."""

    held: list[str] = field(default_factory=list)

    def hold(self, piece: str) -> str:
        """A mark that stands for a piece of HTML until `page` puts it back."""
        self.held.append(piece)
        return MARK.format(len(self.held) - 1)

    def page(self, text: str, link: Callable[[str], str]) -> tuple[str, list[tuple[int, str, str]]]:
        """The text as HTML, and its headings as (level, anchor, text).

        link    the address in the site for one in the text; "#a" for "#a"

        Raises WrongText for a formula or a link that is wrong.
        """
        def keep(found: re.Match[str]) -> str:
            if found[1] is not None:
                return found[0]
            return self.hold(formula((found[2] or found[3]).strip(), found[2] is not None))

        marked = KEPT.sub(keep, text)
        if "$" in re.sub(r"^```.*?^```$|`[^`\n]+`", "", marked, flags=re.DOTALL | re.MULTILINE):
            near = next(line for line in marked.splitlines() if "$" in re.sub(r"`[^`]+`", "", line))
            raise WrongText("an odd number of $", max(re.split("\ue000\\d+\ue001", near), key=len))
        rendered, headings = _render(marked, link)
        while MARKS.search(rendered):                               # a held piece may hold others
            rendered = MARKS.sub(self._put_back, rendered)
        rendered = BEFORE_POINT.sub(r'<span class="together">\1\2</span>', rendered)
        return rendered, [(level, anchor, MARKS.sub(self._put_back, shown)) for level, anchor, shown in headings]

    def _put_back(self, found: re.Match[str]) -> str:
        piece = self.held[int(found[1])]
        if found[0].startswith("<p>") and not found[0].endswith("</p>"):
            return "<p>" + piece                                    # a paragraph begins with it
        if found[0].endswith("</p>") and not found[0].startswith("<p>"):
            return piece + "</p>"
        return piece if not piece.startswith("<math") or not found[0].startswith("<p>") else f"<p>{piece}</p>"


class _Renderer(RendererHTML):
    def fence(self, tokens: Any, idx: int, options: Any, env: Any) -> str:
        return code_block(tokens[idx].content.rstrip("\n"), tokens[idx].info.strip()) + "\n"

    def table_open(self, tokens: Any, idx: int, options: Any, env: Any) -> str:
        return '<div class="scroll" tabindex="0"><table>\n'

    def table_close(self, tokens: Any, idx: int, options: Any, env: Any) -> str:
        return "</table></div>\n"


def _render(text: str, link: Callable[[str], str]) -> tuple[str, list[tuple[int, str, str]]]:
    reader = MarkdownIt("commonmark", {"html": True}, renderer_cls=_Renderer).enable("table")
    env: dict[str, Any] = {}
    tokens = reader.parse(text, env)
    headings, taken = [], set()
    for i, token in enumerate(tokens):
        for child in token.children or []:
            name = {"link_open": "href", "image": "src"}.get(child.type)
            if name:
                target = str(child.attrGet(name))
                try:
                    child.attrSet(name, link(target))
                except UserError as error:
                    raise WrongText(str(error), f"({target})") from None
        if token.type == "html_block":
            try:
                token.content = SOURCE.sub(lambda found: f'{found[1]}="{link(found[2])}"', token.content)
            except UserError as error:
                raise WrongText(str(error), token.content) from None
        if token.type == "heading_open":
            inline = tokens[i + 1]
            own = re.match(r'<a id="([\w-]+)"></a>', inline.content)
            shown = reader.renderer.render([inline], reader.options, env)
            first = anchor = own[1] if own else slug(re.sub("\ue000\\d+\ue001", "", shown))
            number = 0
            while anchor in taken:                                  # GitHub numbers the later ones, too
                number += 1
                anchor = f"{first}-{number}"
            taken.add(anchor)
            if not own:
                token.attrSet("id", anchor)
            headings.append((int(token.tag[1]), anchor, TAGS.sub("", shown)))
    return str(reader.renderer.render(tokens, reader.options, env)), headings
