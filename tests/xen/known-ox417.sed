# SPDX-License-Identifier: MIT
# oxenstored has the special nodes in the tree, where they are listed.
/^\/@(introduce|release)Domain = /d
# It writes the name of its executable; C xenstored and ours leave it empty.
s/^(\/tool\/xenstored = )".*"/\1""/
