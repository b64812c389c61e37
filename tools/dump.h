/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* The commands of wbc-shmdump.  Each maps the segment read-only. */
#ifndef WBC_DUMP_H
#define WBC_DUMP_H

#include "cli.h"

int dump_summary(const struct cli_command *c, int argc, char **argv);
int dump_keys(const struct cli_command *c, int argc, char **argv);
int dump_procs(const struct cli_command *c, int argc, char **argv);
int dump_check(const struct cli_command *c, int argc, char **argv);

#endif
