#!/bin/bash
#SBATCH --job-name=sensors
#SBATCH --array=1-12%6
#SBATCH -n 1
#SBATCH -t 00:02:00
#SBATCH --mem=64M
#SBATCH -o logs/%x_%A_%a.out

# Averages the readings of twelve sensors. Sensors 3, 7 and 11 count in raw units and need calibration.txt (a factor):
# as long as it is missing their tasks fail with code 4. Put it there, and run again only what failed:
#     echo 0.0625 > calibration.txt && jqueue requeue ID -t bad
# runs/ keeps a line for each attempt.
set -euo pipefail
export LC_ALL=C

sensor=$SLURM_ARRAY_TASK_ID
attempt=$(( ${SLURM_RESTART_COUNT:-0} + 1 ))
mkdir -p runs
echo "attempt $attempt of sensor $sensor in job $SLURM_JOB_ID" >> "runs/sensor_$sensor.log"

factor=1
case $sensor in
3 | 7 | 11)
    if [ ! -s calibration.txt ]; then
        echo "sensor $sensor counts in raw units: $PWD/calibration.txt is missing" >&2
        exit 4
    fi
    factor=$(cat calibration.txt)
    ;;
esac

awk -v seed="$sensor" -v factor="$factor" 'BEGIN {
    srand(seed * 7919)
    for (i = 0; i < 10; i++) rand()
    for (i = 0; i < 10000; i++) sum += (20 + 2 * (rand() - 0.5)) / factor
    printf "sensor %d: mean %.3f\n", seed, sum / 10000 * factor
}'
