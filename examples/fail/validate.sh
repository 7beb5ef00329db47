#!/bin/bash
#SBATCH --job-name=validate
#SBATCH --ntasks=1
#SBATCH --time=5
#SBATCH --mem=64M
#SBATCH --output=logs/%x_%j.out
#SBATCH --error=logs/%x_%j.err

# Ends with code 3: readings.csv has rows without a number, and this job says which.
set -uo pipefail

awk -F, 'NR > 1 && $3 !~ /^-?[0-9]+(\.[0-9]+)?$/ {
    printf "readings.csv:%d: \"%s\" is no temperature\n", NR, $3
    bad++
}
END { exit bad > 0 ? 3 : 0 }' readings.csv >&2
code=$?
[ "$code" -eq 0 ] && echo "readings.csv is fine"
exit "$code"
