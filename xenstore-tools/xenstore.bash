# bash completion for xenstore, its other names and xenstore-control
# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Options come from the programs' usage texts, paths and domids from the
# store, control commands from the daemon. What comes from outside is only
# ever compared and offered as text: nothing is expanded (no compgen -W), and
# names that are not made of a path's characters are not offered.

# Offers those of the words that begin with $cur; $found is the last of them.
# Readline replaces what follows the last of its word breaks, so the part
# before is cut off.
_xenstore_offer()
{
	local word head=$cur

	while [[ -n $head && $COMP_WORDBREAKS != *"${head: -1}"* ]]; do
		head=${head%?}
	done
	for word; do
		[[ $word == "$cur"* ]] || continue
		found=$word
		COMPREPLY+=("${word:${#head}}")
	done
}

# Names of the nodes below a path. A daemon that hangs must not hang the shell.
_xenstore_children()
{
	timeout 2 xenstore-list -- "$1" 2>/dev/null |
		LC_ALL=C grep -xE '[A-Za-z0-9_@-]+'
}

_xenstore_path()
{
	local dir names

	case $cur in
	'') COMPREPLY=(/) ; compopt -o nospace 2>/dev/null; return ;;
	*//*) return ;;
	*/*) dir=${cur%/*}/ ;;
	*) return ;;
	esac
	dir=${dir%/}
	mapfile -t names < <(_xenstore_children "${dir:-/}")
	_xenstore_offer "${names[@]/#/$dir/}"

	# The only one, and there is something below it: go on there.
	if [[ ${#COMPREPLY[@]} -eq 1 && -n $(_xenstore_children "$found") ]]
	then
		COMPREPLY[0]+=/
		compopt -o nospace 2>/dev/null
	fi
}

_xenstore_options()
{
	local usage

	usage=$("$@" -h 2>&1)
	# shellcheck disable=SC2046
	_xenstore_offer $(LC_ALL=C grep -oE '\[-[A-Za-z]' <<<"$usage" |
		tr -d '[')
}

# _xenstore_domids LETTER...: domids with each of the letters before them
_xenstore_domids()
{
	local domid

	compopt -o nosort 2>/dev/null
	for domid in $(_xenstore_children /local/domain); do
		[[ $domid =~ ^[0-9]+$ ]] && _xenstore_offer "${@/%/$domid}"
	done
}

# _xenstore_operands MODE WORD...: what the words before $cur ask for next
_xenstore_operands()
{
	local mode=$1 word skip='' operands=0

	shift
	for word; do
		if [[ -n $skip ]]; then
			skip=
		elif [[ $word == -[nd] ]]; then
			skip=1
		elif [[ $word != -* ]]; then
			((operands++))
		fi
	done
	[[ -n $skip ]] && return

	case $mode in
	write) ((operands % 2)) || _xenstore_path ;;
	chmod)
		if ((operands)); then
			_xenstore_domids n r w b
		else
			_xenstore_path
		fi
		;;
	devices) _xenstore_domids '' ;;
	top | load) ;;
	watch | follow)
		if [[ $cur == @* ]]; then
			_xenstore_offer @introduceDomain @releaseDomain
		else
			_xenstore_path
		fi
		;;
	*) _xenstore_path ;;
	esac
}

_xenstore()
{
	local cur found mode words program
	local modes=(chmod devices dump exists follow list load ls read rm top watch
		write)

	# Not COMP_WORDS: it is cut at @ as well.
	read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
	cur=
	if [[ ${COMP_LINE:0:COMP_POINT} != *[[:space:]] ]]; then
		cur=${words[-1]}
		unset 'words[-1]'
	fi
	COMPREPLY=()

	program=${words[0]##*/}
	mode=${program#xenstore-}
	if [[ $program != xenstore-* ]]; then
		mode=${words[1]}
		if [[ ${#words[@]} -lt 2 ]]; then
			_xenstore_offer "${modes[@]}"
			return
		fi
		words=("${words[@]:1}")
	fi
	[[ " ${modes[*]} " == *" $mode "* ]] || return

	if [[ $cur == -* ]]; then
		_xenstore_options xenstore "$mode"
	else
		_xenstore_operands "$mode" "${words[@]:1}"
	fi
}

_xenstore_control()
{
	local cur=${COMP_WORDS[COMP_CWORD]} found commands

	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		mapfile -t commands < <(timeout 2 xenstore-control help \
			2>/dev/null | LC_ALL=C grep -oE '^[a-z][a-z-]*')
		_xenstore_offer "${commands[@]}"
	elif [[ ${COMP_WORDS[1]} != live-update ]]; then
		return
	elif [[ $cur == -* ]]; then
		_xenstore_offer -c -F -t -v
	else
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}

complete -F _xenstore xenstore xenstore-{chmod,exists,list,ls,read,rm,watch,write}
complete -F _xenstore_control xenstore-control
