#!/bin/bash
# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# run.sh [-d FOLDER] SECONDS TARGET... - let libFuzzer loose on fuzz targets
#
# Builds a copy of the sources with clang, libFuzzer and the address and
# undefined behaviour sanitizers in FOLDER (./fuzz.build), then runs each
# target for so long, one after the other.  What it learns is kept in
# FOLDER/corpus/TARGET; what it finds is FOLDER/found/TARGET-*, and the exit
# status is 1.  An input is tried again, by any build, with
#
#     tests/fuzz/TARGET FILE
set -eu
source=$(cd "$(dirname "$0")/../.." && pwd)
folder=$PWD/fuzz.build
if [ "${1-}" = -d ]; then
	folder=$2
	shift 2
fi
if [ $# -lt 2 ]; then
	sed -n '/^# run.sh/,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
	exit 2
fi
seconds=$1
shift
mkdir -p "$folder/found"
folder=$(cd "$folder" && pwd)

copy()
{
	(cd "$source" && git ls-files -co --exclude-standard | tar -cT - -f -) |
		tar -xC "$folder/source" -f -
}

mkdir -p "$folder/source"
copy
cd "$folder/source"
if [ ! -f Makefile ]; then
	autoreconf -fi >"$folder/build.log" 2>&1
	./configure CC=clang CFLAGS='-O1 -g' --enable-asan --enable-ubsan \
		--enable-fuzzer >>"$folder/build.log" 2>&1
fi
make $(printf 'tests/fuzz/%s ' "$@") >>"$folder/build.log" 2>&1

rc=0
for target in "$@"; do
	mkdir -p "$folder/corpus/$target" "$folder/tmp"
	echo "# $target: $seconds seconds"
	TMPDIR=$folder/tmp \
		ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
		"tests/fuzz/$target" -max_total_time="$seconds" -timeout=60 \
		-max_len=4096 -len_control=0 -close_fd_mask=3 \
		-print_final_stats=1 -artifact_prefix="$folder/found/$target-" \
		"$folder/corpus/$target" "$source/tests/fuzz/corpus/$target" ||
		rc=1
	rm -rf "$folder/tmp"
done
exit $rc
