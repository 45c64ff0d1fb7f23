"""`minitf completion`: the script that lets a shell's Tab key ask `completing` what fits."""

from __future__ import annotations

from minitf_tui.cli import output
from minitf_tui.cli.arguments import Arguments, Command, UsageError, nearest
from minitf_tui.cli.running import SUCCESS
from minitf_tui.problems import quoted

BASH = r"""# bash completion of minitf; bash splits words at = and @, so it gets the whole line.
_minitf() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ $line == :files ]]; then
            compopt -o filenames 2>/dev/null
            while IFS= read -r line; do
                COMPREPLY+=("$line")
            done < <(compgen -f -- "$2")
        else
            COMPREPLY+=("$line")
        fi
    done < <("${1/#\~/$HOME}" __complete bash "$COMP_LINE" "$COMP_POINT" "$2" 2>/dev/null)
}
complete -F _minitf minitf
"""

ZSH = r"""#compdef minitf
_minitf() {
    local -a answers
    local line with_files=
    while IFS= read -r line; do
        if [[ $line == :files ]]; then with_files=1; else answers+=("$line"); fi
    done < <("${(Q)${words[1]/#\~/$HOME}}" __complete zsh \
        "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)
    (( $#answers )) && _describe minitf answers
    if [[ -n $with_files ]]; then
        compset -P '--[^=]#='
        _files
    fi
}
if [[ ${funcstack[1]} == _minitf ]]; then _minitf "$@"; else compdef _minitf minitf; fi
"""

FISH = r"""# fish completion of minitf.
function __minitf_complete
    set -l words (commandline -opc)
    set -l token (commandline -ct)
    for answer in (command $words[1] __complete fish $words[2..-1] "$token" 2>/dev/null)
        if test "$answer" = :files
            set -l flag (string match -r -- '^--[^=]*=' "$token"; or echo)
            for path in (__fish_complete_path (string replace -- "$flag" '' "$token"))
                echo $flag$path
            end
        else
            echo $answer
        end
    end
end
complete -c minitf -f -a '(__minitf_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}

COMMAND = Command(
    name="completion",
    about="Print the script that completes commands, flags, presets and runs in your shell.",
    operands=("bash|zsh|fish",),
    notes=(
        "To install it:",
        '  bash  add to ~/.bashrc:                   eval "$(minitf completion bash)"',
        "  zsh   add to ~/.zshrc, after compinit:    source <(minitf completion zsh)",
        "  fish  add to ~/.config/fish/config.fish:  minitf completion fish | source",
        "or write the script where your shell looks for them, once:",
        "  bash  ~/.local/share/bash-completion/completions/minitf",
        "  zsh   _minitf, in a folder of $fpath",
        "  fish  ~/.config/fish/completions/minitf.fish",
    ),
)


def execute(arguments: Arguments) -> int:
    """Print the script of that shell."""
    shell = arguments.operands[0]
    if shell not in SCRIPTS:
        hint = nearest(shell, SCRIPTS) or f"There are {', '.join(SCRIPTS)}."
        raise UsageError(f"There is no completion for {quoted(shell)}.", hint=hint)
    output.say(SCRIPTS[shell], end="")
    return SUCCESS
