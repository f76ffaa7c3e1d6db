# SPDX-License-Identifier: MIT
# What differs from run to run: numbers that the kernels give out, times.
s/^(.*\/(store|console)\/ring-ref = )"[0-9]+"/\1"N"/
s/^(.*\/((tx-|rx-)?ring-ref|event-channel(-tx|-rx)?) = )"[0-9]+"/\1"N"/
s/^(.*\/console\/tty = )"\/dev\/pts\/[0-9]+"/\1"\/dev\/pts\/N"/
s/^(.*\/start_time = )"[0-9.]+"/\1"N"/
s/^(.*\/device-model-pid = )"[0-9]+"/\1"N"/
# the conversation of gexec
s/^(.*\/data\/(cmd|output|result|poke) = )".*"  /\1"N"  /
