# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors

# WBC_CHECK_LINK(FLAGS, IF-OK, IF-NOT)
# Does a program compile and link with FLAGS and no warning?  -Werror, because
# clang only warns of an option that it does not know.
AC_DEFUN([WBC_CHECK_LINK], [
  wbc_save_CFLAGS=$CFLAGS
  wbc_save_LDFLAGS=$LDFLAGS
  CFLAGS="-O2 -Werror $1"
  LDFLAGS="$LDFLAGS $1"
  AC_LINK_IFELSE([AC_LANG_SOURCE([[int main(void) { return 0; }]])],
    [wbc_linked=yes], [wbc_linked=no])
  CFLAGS=$wbc_save_CFLAGS
  LDFLAGS=$wbc_save_LDFLAGS
  AS_IF([test $wbc_linked = yes], [$2], [$3])
])

# WBC_CC_FLAGS(VARIABLE, FLAGS)
# Substitute VARIABLE by those of FLAGS that the compiler takes.  All of them
# are tried at once first: mostly they are all taken, and configure is quick.
AC_DEFUN([WBC_CC_FLAGS], [
  AC_MSG_CHECKING([which flags $CC takes for $1])
  wbc_all=$(echo m4_normalize([$2]))
  WBC_CHECK_LINK([$wbc_all], [$1=$wbc_all], [
    $1=
    for wbc_flag in $wbc_all; do
      WBC_CHECK_LINK([$wbc_flag],
        [$1="${$1:+$$1 }$wbc_flag"],
        [wbc_refused="$wbc_refused $wbc_flag"])
    done])
  AC_MSG_RESULT([all${wbc_refused:+ but$wbc_refused}])
  wbc_refused=
  AC_SUBST([$1])
])

# WBC_LD_FLAGS(VARIABLE, FLAGS)
# The same for the linker.
AC_DEFUN([WBC_LD_FLAGS], [WBC_CC_FLAGS([$1], [$2])])
