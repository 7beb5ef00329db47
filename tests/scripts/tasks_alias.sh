#!/bin/bash
#SBATCH --tasks=4
#SBATCH --tasks-per-node=4
true
