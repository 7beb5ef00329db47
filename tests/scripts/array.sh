#!/bin/bash
#SBATCH --job-name=sweep
#SBATCH --array=1-100%10
#SBATCH --output=logs/%x_%A_%a.out
#SBATCH --error=logs/%x_%A_%a.err
./run $SLURM_ARRAY_TASK_ID
