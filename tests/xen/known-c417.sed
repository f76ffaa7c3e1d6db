# SPDX-License-Identifier: MIT
# Nothing: every tree is the same.
