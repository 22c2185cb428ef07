"""What can follow on a command line. Its text is part of the script for a shell, so it imports nothing of the project."""

import sys

FILES = "files"                 # in the place of values: a path, which the shell completes itself


def candidates(table, words):
    """The words that can stand in the place of the last of `words`, as (word, text); none where the shell is to offer files.

    table   {"words": word → a table, or None for the same one without its words; "texts": word → text; "options": flag → [text,
            values, whether several may follow]; "files": whether paths may follow}. The values of an option are None if it takes
            none, a list, the name of a list in table["lists"], or FILES.
    """
    *before, current = ["" if word == "=" else word for word in words] or [""]
    node, values, several = table, None, False
    for word in filter(None, before):                                          # bash makes three words of --env=ID
        if word.startswith("-"):
            _, values, several = node["options"].get(word, ["", None, False])
        elif values is not None:
            values = values if several else None
        elif word in node["words"]:
            node = node["words"][word] or {**node, "words": {}}
    flag, equals, rest = current.partition("=")
    prefix = ""
    if equals and flag in node["options"]:                                      # zsh and fish leave it one word
        values, prefix, current = node["options"][flag][1], f"{flag}=", rest
    if values is not None and not current.startswith("-"):
        known = table["lists"].get(values, []) if isinstance(values, str) else values
        found = [(value, "") for value in known]
    else:
        options = [(name, text) for name, (text, *_) in node["options"].items()]
        named = [(name, node["texts"].get(name, "")) for name in node["words"]]
        found = options if current.startswith("-") else named or ([] if node["files"] else options)
    return [(prefix + word, text) for word, text in found if word.startswith(current)]


def main(table):
    """Print the candidates for the words in sys.argv, one a line, with a tab before the text."""
    for word, text in candidates(table, sys.argv[1:]):
        print(f"{word}\t{text}" if text else word)
