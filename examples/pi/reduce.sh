#!/bin/bash -l
#SBATCH -J pi-reduce
#SBATCH -N1 -n1
#SBATCH -t 5
#SBATCH --mem=64M
#SBATCH -o pi.txt

# Submit it behind the array:  jsubmit --dependency=afterok:ID reduce.sh
# Reduces the results of all tasks to pi and its standard error, which comes from the spread between the tasks.
set -euo pipefail
export LC_ALL=C

tasks=${TASKS:-100}
files=(results/task_*.txt)
if [ "${#files[@]}" -ne "$tasks" ] || [ ! -e "${files[0]}" ]; then
    echo "reduce: expected $tasks results in $PWD/results, found ${#files[@]}" >&2
    exit 1
fi

cat "${files[@]}" | awk '
{
    estimate = 4 * $3 / $2
    n++; darts += $2; sum += estimate; squares += estimate * estimate
}
END {
    mean = sum / n
    error = sqrt((squares - n * mean * mean) / (n - 1) / n)
    printf "pi = %.5f +- %.5f (%d tasks, %d darts, off by %+.5f)\n", mean, error, n, darts, mean - 3.14159265358979
}'
