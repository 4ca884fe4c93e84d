"""``completion``: what a shell does when TAB is typed, and the hidden command that its script asks.

Rules:

- The scripts hand over what was typed as arguments and take candidates as lines: nothing of either is evaluated. What
  bash puts into the line is quoted here, zsh and fish do that themselves.
- Whoever presses TAB wants no messages: without a daemon there are no names, and nothing is said.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys

import click

from p2pchat.cli.program import interpreter

_BASH = """\
# bash completion for p2pchat
_p2pchat() {
    local kind='' rest=''
    COMPREPLY=()
    {
        IFS= read -r kind
        while IFS= read -r rest; do
            COMPREPLY+=("$2$rest")
        done
    } < <(PROGRAM _complete bash -- "${COMP_LINE:0:COMP_POINT}" 2>/dev/null </dev/null)
    if [[ $kind == files ]]; then
        compopt -o default
    fi
}
complete -o nosort -F _p2pchat p2pchat
"""

_ZSH = """\
#compdef p2pchat
_p2pchat() {
    local kind='' word='' said=''
    local -a found shown
    {
        IFS= read -r kind
        while IFS=$'\\t' read -r word said; do
            found+=("$word")
            shown+=("$word${said:+  -- $said}")
        done
    } < <(PROGRAM _complete zsh -- "${(@Q)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null </dev/null)
    if [[ $kind == files ]]; then
        _files
    elif (( $#found )); then
        compadd -l -d shown -a found
    else
        return 1
    fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _p2pchat "$@"
else
    compdef _p2pchat p2pchat
fi
"""

_FISH = """\
# fish completion for p2pchat
function __p2pchat_complete
    set -l lines (PROGRAM _complete fish -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null </dev/null)
    if test "$lines[1]" = files
        __fish_complete_path (commandline -ct)
    else
        string join \\n -- $lines[2..-1]
    end
end
complete --command p2pchat --no-files --keep-order --arguments '(__p2pchat_complete)'
"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
_SHELLS = click.Choice(list(_SCRIPTS))


@click.command()
@click.argument("shell", metavar="bash|zsh|fish", type=_SHELLS)
def completion(shell: str) -> None:
    """Print a script that lets a shell complete commands, options, names of contacts and ids of messages.

    Names and ids come from the daemon, if one runs. For good: bash reads
    ~/.local/share/bash-completion/completions/p2pchat, zsh a file _p2pchat in a folder of its fpath, fish
    ~/.config/fish/completions/p2pchat.fish.
    """
    click.echo(_SCRIPTS[shell].replace("PROGRAM", shlex.join(_program())), nl=False)


@click.command(hidden=True, add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("shell", type=_SHELLS)
@click.argument("typed", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def complete(ctx: click.Context, shell: str, typed: tuple[str, ...]) -> None:
    """Print what may stand where the cursor is: the kind on the first line, then a candidate on each.

    For bash TYPED is the line up to the cursor, for the others the words before the one under it, and that one as it
    was typed.
    """
    from p2pchat.cli.candidates import Candidates, candidates
    from p2pchat.cli.quoting import read_line

    root = ctx.find_root().command
    assert isinstance(root, click.Group)  # noqa: S101  it is ours
    if shell == "bash":
        words, current = read_line(typed[0])
    else:
        words, current = list(typed[:-1]), read_line(typed[-1])[1]
    if current.value is None:  # something in it would be expanded
        found = Candidates("words", [])
    else:
        found = candidates(root, words[1:] if shell == "bash" else words, current.value, described=shell != "bash")
    lines: list[str] = [found.kind]
    for value, said in found.items:
        if shell != "bash":
            lines.append(f"{value}\t{said}" if said else value)
        elif current.value is not None and value.startswith(current.value):
            lines.append(current.quoted(value[len(current.value) :]))
    sys.stdout.buffer.write("".join(f"{each}\n" for each in lines).encode(errors="surrogateescape"))


def _program() -> list[str]:
    """How the shell starts this program: by its name where the PATH leads to it, else by where it is."""
    own = sys.argv[0]
    if os.path.basename(own) == "__main__.py":
        return [*interpreter(), "-m", "p2pchat.cli"]
    found = shutil.which("p2pchat")
    return ["p2pchat"] if found is not None and os.path.samefile(found, own) else [os.path.abspath(own)]
