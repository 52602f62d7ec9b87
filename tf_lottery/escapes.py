"""Text that comes from files, paths and users, made fit to be printed."""


def shown(text: str, *, lines: bool = False) -> str:
    r"""Return text with all characters that cannot be printed written as escapes.

    These are control characters, and with them escape codes and line ends; characters that change the direction of
    writing or have no width; and halves of surrogate pairs. Backslashes stay as they are: applying it twice changes
    nothing more.

    Args:
        text: Any text.
        lines: Whether line ends stay. Defaults to False: the result is one line.

    >>> shown("level \x1b[31m5\u202e")
    'level \\x1b[31m5\\u202e'
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or (lines and character == "\n") else ascii(character)[1:-1]
        for character in text
    )
