# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors
#
# declared.pl: the functions and data that a preprocessed header on stdin
# offers to other programs, one a line, sorted.
use strict;
use warnings;

local $/;
my $text = <STDIN>;
my %names;
while ($text =~ /__attribute__\(\(visibility\("default"\)\)\)([^;{]*)/g) {
	my $declaration = $1;
	$names{$1} = 1 if $declaration =~ /\b(\w+)\s*(?:\(|$)/;
}
print "$_\n" for sort keys %names;
