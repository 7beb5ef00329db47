#!/bin/bash
#SBATCH --job-name=primes
#SBATCH --ntasks=1
#SBATCH --time=0:02                       # two seconds, for work that has no end
#SBATCH --mem=64M
#SBATCH --output=logs/%x_%j.out

# Is ended by its time limit. What it found until then is in its output.
set -euo pipefail

awk 'BEGIN {
    for (n = 2; ; n++) {
        for (d = 2; d * d <= n && n % d; d++) ;
        if (d * d > n && ++found % 1000 == 0) { print found " primes, the last is " n; fflush() }
    }
}'
