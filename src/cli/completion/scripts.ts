/**
 * The completion scripts. All call `husk __complete` with the words typed so far, so they never become outdated; none
 * evaluates the answer (a container's name could be a command).
 */

const BASH = `# bash completion for husk: source it, or put it into ~/.local/share/bash-completion/completions/husk
_husk() {
    local rest=\${COMP_LINE:0:COMP_POINT} word trimmed current prefix line files= index words=() candidates=()
    # bash splits words at = and : , husk does not: what no space stands between is one word
    for ((index = 0; index <= COMP_CWORD; index++)); do
        word=\${COMP_WORDS[index]}
        trimmed=\${rest#"\${rest%%[![:space:]]*}"}
        if ((index == COMP_CWORD)) && [[ \${#trimmed} -lt \${#word} || $trimmed != "$word"* ]]; then
            word=$trimmed
        fi
        if ((index > 0)) && [[ $rest == "$trimmed" && -n $word ]]; then
            words[\${#words[@]}-1]+=$word
        else
            words+=("$word")
        fi
        rest=\${trimmed#"$word"}
    done
    current=\${words[\${#words[@]}-1]}
    # readline replaces only what stands behind the last of its word breaks
    prefix=
    case $current in
        *[=:]*) prefix=\${current%"\${current##*[=:]}"} ;;
    esac
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ $line == ":file" ]]; then
            files=1
        else
            candidates+=("\${line%%$'\\t'*}")
        fi
    done < <("\${words[0]}" __complete "\${words[@]:1}" 2>/dev/null)
    for line in "\${candidates[@]}"; do
        [[ $line == *[=:] ]] && compopt -o nospace 2>/dev/null
        COMPREPLY+=("$(printf '%q' "\${line#"$prefix"}")")
    done
    if [[ -n $files ]]; then
        compopt -o filenames 2>/dev/null
        while IFS= read -r line; do
            COMPREPLY+=("$line")
        done < <(compgen -f -- "\${current#"$prefix"}")
    fi
}
complete -F _husk husk
`;

const ZSH = `#compdef husk
# zsh completion for husk: put it into a folder of $fpath as _husk, or source it after compinit
_husk() {
    local line files= 
    local -a candidates unfinished
    while IFS= read -r line; do
        if [[ $line == ":file" ]]; then
            files=1
        else
            # a candidate that ends in = or : goes on
            if [[ \${line%%$'\\t'*} == *[=:] ]]; then
                unfinished+=("\${\${line%%$'\\t'*}//:/\\\\:}")
            else
                line=\${line//:/\\\\:}
                candidates+=("\${line/$'\\t'/:}")
            fi
        fi
    done < <("\${words[1]}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)
    (( \${#candidates} )) && _describe 'husk' candidates
    (( \${#unfinished} )) && _describe 'husk' unfinished -S ''
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
