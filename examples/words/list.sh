#!/bin/bash
# Prints the text files below a folder, one a line: the input of the array.  ./list.sh ../.. > texts.txt
set -euo pipefail

root=$(cd "${1:?"usage: list.sh FOLDER > texts.txt"}" && pwd)
# Names that begin with a dot, build output, and whatever earlier runs left are not texts.
find "$root" \( -name '.?*' -o -name target -o -name node_modules \) -prune -o \
    -type f \( -name '*.md' -o -name '*.rs' -o -name '*.sh' -o -name LICENSE \) -print | LC_ALL=C sort
