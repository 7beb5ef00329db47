#!/bin/bash
#SBATCH --job-name=pi
#SBATCH --array=1-100
#SBATCH --nodes=1 --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem-per-cpu=64M
#SBATCH --time=00:02:00                   # a task takes well under a second
#SBATCH --output=logs/%x_%A_%a.out
##SBATCH --mail-type=END,FAIL

# One task of the array throws its own darts, with its own seed, and leaves one line in results/:
# the seed, the number of darts, and how many of them fell within the quarter circle.
set -euo pipefail
export LC_ALL=C

seed=${SLURM_ARRAY_TASK_ID:?"run me as an array: jsubmit estimate.sh"}
darts=${DARTS:-100000}
mkdir -p results

echo "job $SLURM_JOB_ID: task $seed of $SLURM_ARRAY_TASK_COUNT on ${SLURMD_NODENAME:-$(hostname)}"

awk -v seed="$seed" -v darts="$darts" '
BEGIN {
    srand(seed * 7919)                    # seeds that lie apart, so that neighbours do not begin alike
    for (i = 0; i < 10; i++) rand()
    for (i = 0; i < darts; i++) {
        x = rand(); y = rand()
        if (x * x + y * y <= 1) hits++
    }
    printf "%d %d %d\n", seed, darts, hits
}' > "results/.task_$seed"
# The name appears only when the line is whole.
mv "results/.task_$seed" "results/task_$seed.txt"
