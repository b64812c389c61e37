/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* In place of every program of the model checker, in a sanitizer's build. */
#include "tap/tap.h"

int main(void)
{
	tap_skip_all("the model checker's hooks take the sanitizer's place");
}
