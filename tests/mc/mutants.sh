# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# Each memory order of shm/ weaker by one step, and each fence gone: a scenario
# of the model checker must fail then.  A mutant is known by its file, its
# function, and which of the ordered accesses in that function it is.
#
# mutants.sh            what mutants.txt says of each mutant is so: it is there,
#                       and the scenario that kills it still does
# mutants.sh --search   `make mutants`: try all scenarios on those that
#                       mutants.txt has no killer for; prints lines for it
#
# WBC_MC_CAP is the most executions that a scenario gets for one mutant, of
# each size of search (200000).  "capped" is a mutant that some scenario had
# not enough for; "survived", one that no execution of any scenario needs.
#
# The known-bad twins (twins.sh) are mutants too: protocol steps that are left
# out or swapped.  That each is killed is tested there; they are counted here.
. "$WBC_SRC/tests/tap/tap.sh"

[ -z "${WBC_SANITIZE-}" ] ||
	skip_all "the model checker's hooks take the sanitizer's place"

work=$(mktemp -d "${TMPDIR:-/tmp}/mutants.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
programs="checks edges edges_repair edges_round fetches pairs wakes index epochs
removal slots lanes rounds pages entries plain repairs sweeps trees"

# Each mutant of the source: "LINE FROM->TO", a tab, "FUNCTION#N FROM->TO".
# A fence that is relaxed is none.
enumerate()
{
	(cd "$WBC_SRC" && LC_ALL=C ${AWK:-awk} '
	function mutant(from, to) {
		print FILENAME ":" FNR, from "->" to "\t" FILENAME ":" name \
			"#" n[FILENAME, name], from "->" to
	}
	FNR == 1 { name = "?"; skip = 0 }
	/^#ifdef WBC_TSAN/ { skip = 1 }
	/^#(else|endif)/ { skip = 0 }
	/^[a-z].*\(/ {
		name = $0
		sub(/\(.*/, "", name)
		sub(/.*[ *]/, "", name)
	}
	skip || /^[ \t]*(\/?\*|#)/ { next }
	{
		rest = $0
		while (match(rest, /order_[a-z_]+\(/)) {
			call = substr(rest, RSTART + 6, RLENGTH - 7)
			rest = substr(rest, RSTART + RLENGTH)
			if (call ~ /^(load|store|compiler)$|relaxed$/)
				continue
			n[FILENAME, name]++
			if (call ~ /acquire$/)
				mutant("acquire", "relaxed")
			else if (call ~ /release$/)
				mutant("release", "relaxed")
			else if (call == "fence")
				mutant("seq_cst", "relaxed")
			else if (call == "load_seq")
				mutant("seq_cst", "acquire")
			else if (call ~ /_seq$/)
				mutant("seq_cst", "acq_rel")
			else {
				mutant("acq_rel", "acquire")
				mutant("acq_rel", "release")
			}
		}
	}' $(cd "$WBC_SRC" && ls shm/*.c shm/*.h | grep -v '^shm/order.h'))
}

# said FILE: the verdicts of a program, by the names of the mutants.
said()
{
	awk -F '\t' 'FNR == NR { name[$1] = $2; next }
		{ print $1 "\t" name[$2] "\t" $3 }' "$work/mutants" "$1"
}

enumerate >"$work/mutants"
grep -v '^#' "$WBC_SRC/tests/mc/mutants.txt" | grep . >"$work/table"
cut -f 2 "$work/mutants" | sort >"$work/all"
awk '{ print $4, $5 }' "$work/table" | sort >"$work/known"
n=$(grep -c . "$work/all")

if [ "${1-}" = --search ]; then
	awk '$1 == "killed" { print $4, $5 }' "$work/table" >"$work/dead"
	for program in $programs; do
		awk -F '\t' 'FNR == NR { dead[$1]; next }
			!($2 in dead) { print $1 }' "$work/dead" \
			"$work/mutants" >"$work/list"
		"$WBC_BUILD/tests/mc/$program" --mutate "$work/list" \
			>"$work/out" || exit 1
		said "$work/out" >>"$work/verdicts"
		said "$work/out" | awk -F '\t' -v p="$program" \
			'$1 == "killed" { print "killed", p, $3, $2 }'
		said "$work/out" | awk -F '\t' '$1 == "killed" { print $2 }' \
			>>"$work/dead"
	done
	sort -u "$work/dead" >"$work/d"
	comm -23 "$work/all" "$work/d" | while read -r mutant; do
		verdict=unmet
		for v in survived capped; do
			grep -qxF "$v	$mutant	-" "$work/verdicts" &&
				verdict=$v
		done
		echo "$verdict $mutant"
	done
	echo "# mutants: $(comm -12 "$work/all" "$work/d" | grep -c .)" \
		"of $n killed"
	exit 0
fi

# The table and the source have the same mutants, each once.
complete()
{
	diff "$work/known" "$work/all"
}

# kill PROGRAM: the mutants that it is to kill are killed.
kill_all()
{
	awk -v p="$1" '$1 == "killed" && $2 == p { print $4, $5 "\t" $3 }' \
		"$work/table" >"$work/wanted"
	awk -F '\t' 'FNR == NR { line[$2] = $1; next }
		$1 in line { print line[$1], $2 }' "$work/mutants" \
		"$work/wanted" >"$work/list"
	"$WBC_BUILD/tests/mc/$1" --mutate "$work/list" >"$work/out" || return 1
	said "$work/out" | grep -v '^killed'
	[ "$(grep -c '^killed' "$work/out")" = "$(grep -c . "$work/wanted")" ]
}

# What has no killer is in doc/ordering.md, by its function and number.
listed()
{
	local mutant missing=0

	for mutant in $(awk '$1 != "killed" { print $4 }' "$work/table"); do
		grep -qF "\`$mutant\`" "$WBC_SRC/doc/ordering.md" && continue
		echo "not in doc/ordering.md: $mutant"
		missing=1
	done
	return $missing
}

ok "P15: mutants.txt has each memory order and fence of shm/" complete
for program in $programs; do
	k=$(awk -v p="$program" '$1 == "killed" && $2 == p' "$work/table" |
		grep -c .)
	[ "$k" = 0 ] ||
		ok "P15: $k mutants are killed by scenarios of $program" \
			kill_all "$program"
done
ok "P15: doc/ordering.md lists each mutant that nothing kills" listed
twins=$(ls "$WBC_SRC"/tests/mc/twins/*.patch | grep -c .)
killed=$(($(grep -c '^killed' "$work/table") + twins))
proofs=$(grep -c '^proof' "$work/table")
ok "P15: $proofs of $((n + twins)) mutants, at most 3 %, need a proof" \
	test $((proofs * 100)) -le $(((n + twins) * 3))
ok "P15: every mutant is accounted for" test $((killed + proofs)) = $((n + twins))
echo "# mutants: $killed of $((n + twins)) killed, $n of them orders;" \
	"$proofs listed with a proof"
done_testing
