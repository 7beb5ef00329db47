#!/bin/bash
#SBATCH --job-name=words-merge
#SBATCH --ntasks 1
#SBATCH --time 5
#SBATCH --mem 128M
#SBATCH --output=words.txt

# Submit it behind the array:  jsubmit --dependency=afterok:ID merge.sh
# Adds the counts of all files up: one line of totals, then the words most used.
set -euo pipefail
export LC_ALL=C

expected=$(wc -l < texts.txt)
found=$(find counts -name 'task_*.txt' | wc -l)
if [ "$found" -ne "$expected" ]; then
    echo "merge: texts.txt names $expected files, but counts/ holds $found results" >&2
    exit 1
fi

find counts -name 'task_*.txt' -exec cat {} + |
    awk '{ count[$2] += $1 } END { for (word in count) print count[word], word }' |
    sort -k1,1nr -k2,2 > all-words.txt
awk -v files="$found" '{ words += $1 } END { printf "%d words, %d different, in %d files\n", words, NR, files }' all-words.txt
awk 'NR <= 12 { printf "%8d  %s\n", $1, $2 }' all-words.txt
