# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# demo.sh [OPTIONS of wordcount] - what `make demo` runs
#
# Runs the example with the programs of the build tree.
set -eu

build=${WBC_BUILD:-$(cd "$(dirname "$0")/.." && pwd)}
wordcount=$build/examples/wordcount

for program in "$wordcount" "$build/flusher/wbc-flusher"; do
	if ! test -x "$program"; then
		echo "demo: $program is missing; run make (configured with the flusher)" >&2
		exit 1
	fi
done

PATH=$build/flusher:$build/tools:$PATH exec "$wordcount" "$@"
