/**
 * The completion scripts. All ask `husk __complete` with the words typed so far, so they never go stale; none evaluates what
 * comes back (a container's name could be a command).
 */

const BASH = `# bash completion for husk: source it, or put it into ~/.local/share/bash-completion/completions/husk
_husk() {
    local current=\${COMP_WORDS[COMP_CWORD]} words=("\${COMP_WORDS[@]:1:COMP_CWORD}") line files= candidates=()
    # bash splits words at = and : , husk does not
    if declare -F _get_comp_words_by_ref >/dev/null; then
        local cur words_all cword
        _get_comp_words_by_ref -n =: -c cur -w words_all -i cword
        current=$cur
        words=("\${words_all[@]:1:cword}")
    fi
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ $line == ":file" ]]; then
            files=1
        else
            candidates+=("\${line%%$'\\t'*}")
        fi
    done < <("\${COMP_WORDS[0]}" __complete "\${words[@]}" 2>/dev/null)
    for line in "\${candidates[@]}"; do
        COMPREPLY+=("$(printf '%q' "$line")")
    done
    if [[ -n $files ]]; then
        compopt -o filenames 2>/dev/null
        while IFS= read -r line; do
            COMPREPLY+=("$line")
        done < <(compgen -f -- "$current")
    fi
    if declare -F __ltrim_colon_completions >/dev/null; then
        __ltrim_colon_completions "$current"
    fi
}
complete -F _husk husk
`;

const ZSH = `#compdef husk
# zsh completion for husk: put it into a folder of $fpath as _husk, or source it after compinit
_husk() {
    local line files= 
    local -a candidates
    while IFS= read -r line; do
        if [[ $line == ":file" ]]; then
            files=1
        else
            line=\${line//:/\\\\:}
            candidates+=("\${line/$'\\t'/:}")
        fi
    done < <("\${words[1]}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)
    (( \${#candidates} )) && _describe 'husk' candidates
    [[ -n $files ]] && _files
    return 0
}
if [[ "$funcstack[1]" == "_husk" ]]; then
    _husk "$@"
else
    compdef _husk husk
fi
`;

const FISH = `# fish completion for husk: put it into ~/.config/fish/completions/husk.fish
function __husk_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in ($words[1] __complete $words[2..-1] 2>/dev/null)
        if test "$line" = ":file"
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end
complete -c husk -f -a '(__husk_complete)'
`;

export const COMPLETION_SCRIPTS = { bash: BASH, zsh: ZSH, fish: FISH } as const;
