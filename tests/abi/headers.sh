# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# Each public header, alone, as C11 and as C++11, by each compiler there is,
# with warnings as errors.
. "$WBC_SRC/tests/tap/tap.sh"

cd "$WBC_SRC/api" || exit 1
headers=$(echo wbc*.h)
flags='-fsyntax-only -Wall -Wextra -Wpedantic -Werror -Wundef -Wshadow'

# alone COMMAND LANGUAGE HEADER: twice, for the include guard.
alone()
{
	printf '#include "%s"\n#include "%s"\n' "$3" "$3" |
		$1 $flags -I. -x "$2" -
}

for header in $headers; do
	for cc in gcc clang; do
		if command -v $cc >/dev/null; then
			ok "$header alone is C11 to $cc" \
				alone "$cc -std=c11" c "$header"
		else
			skip "$header alone is C11 to $cc" "$cc is missing"
		fi
	done
	for cxx in g++ clang++; do
		if command -v $cxx >/dev/null; then
			ok "$header alone is C++11 to $cxx" \
				alone "$cxx -std=c++11" c++ "$header"
		else
			skip "$header alone is C++11 to $cxx" "$cxx is missing"
		fi
	done
	ok "$header has under 500 lines" test "$(wc -l <"$header")" -lt 500
done
done_testing
