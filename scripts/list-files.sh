#!/usr/bin/env bash
# Lists the files of the tree, changed and new ones included, ignored ones not; each ends in a zero byte.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ -e .git ]] && git status >/dev/null 2>&1; then
  # A file deleted but not yet staged is still listed by git: leave out what is not there.
  git ls-files --cached --others --exclude-standard -z |
    while IFS= read -r -d '' file; do if [[ -e $file || -L $file ]]; then printf '%s\0' "$file"; fi; done
else
  # No clone but an unpacked archive or a copy.
  find . -mindepth 1 \( -name node_modules -o -name .git -o -path ./dist -o -path ./coverage \) -prune -o -type f -print0
fi
